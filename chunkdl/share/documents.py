"""Which JSON documents about an offer lie in a mirror folder, and what each is called.

Decides names, so that the writer and nginx's configuration agree. Folders are told by a digest of their names, which
could be anything; a number would shift when another export adds a folder, under an nginx that runs. ``flat`` lists
one folder, ``deep`` everything below it; transformers asks for the first, the hub's own client for the second.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from chunkdl.share import hub_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.share.offer import OfferedCommit, OfferedRepo

REFS = "refs.json"
FLAT, DEEP = "flat", "deep"
# 64 bits: no two of a commit's folders share them.
_DIGITS = 16


def info_name(commit: str) -> str:
    """Model info of a commit."""
    return f"{commit}-info.json"


def tree_name(commit: str, folder: str, depth: str) -> str:
    """The listing of one folder."""
    return f"{commit}-tree-{hashlib.sha256(folder.encode()).hexdigest()[:_DIGITS]}-{depth}.json"


def folders(commit: OfferedCommit) -> list[str]:
    """Every folder of a commit in the order of names, the empty name of the root first."""
    return ["", *hub_json.folders(commit)]


def last_name(commit: str) -> str:
    """The last of ``of_commit``: where it stands, all do."""
    return tree_name(commit, "", DEEP)


def of_commit(repo: OfferedRepo, commit: OfferedCommit) -> Iterator[tuple[str, Any]]:
    """Name and content of each document about one commit."""
    yield info_name(commit.commit), hub_json.info(repo, commit)
    listing = hub_json.Listing(commit)
    for folder in reversed(folders(commit)):
        for depth in (FLAT, DEEP):
            yield tree_name(commit.commit, folder, depth), listing.tree(folder, recursive=depth == DEEP)
