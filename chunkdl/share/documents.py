"""Which JSON documents about an offer lie in a mirror folder, and what each is called.

Decides names, so that the writer and nginx's configuration agree. Folders are numbered: their own names could
be anything. ``flat`` lists one folder, ``deep`` everything below it; transformers asks for the first, the
hub's own client for the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkdl.share import hub_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.share.offer import OfferedCommit, OfferedRepo

REFS = "refs.json"
FLAT, DEEP = "flat", "deep"


def info_name(commit: str) -> str:
    """Model info of a commit."""
    return f"{commit}-info.json"


def tree_name(commit: str, number: int, depth: str) -> str:
    """The listing of one folder, by its place in ``folders``."""
    return f"{commit}-tree-{number}-{depth}.json"


def folders(commit: OfferedCommit) -> list[str]:
    """Every folder of a commit in the order of names, the empty name of the root first."""
    return ["", *hub_json.folders(commit)]


def of_commit(repo: OfferedRepo, commit: OfferedCommit) -> Iterator[tuple[str, Any]]:
    """Name and content of each document about one commit."""
    yield info_name(commit.commit), hub_json.info(repo, commit)
    for number, folder in enumerate(folders(commit)):
        for depth in (FLAT, DEEP):
            listing = hub_json.tree(commit, folder, recursive=depth == DEEP)
            yield tree_name(commit.commit, number, depth), listing
