"""Which repository, revision and file a request is about, and whether its asker is about to read the bytes.

Decides by the spelling of the hub's addresses alone; whether any of it exists is not known here. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.model import RepoType
from chunkdl.share.answers import PATHS_INFO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.share.answers import Asked

_TYPES = {each.plural: each for each in RepoType}
# What follows an id in addresses of the hub's API that a download asks for.
_ABOUT = frozenset({"revision", "tree", "refs", PATHS_INFO})
# refs/pr/1 may come as three components, where a client did not encode the slashes.
_REF_PARTS = 3
# huggingface_hub sends it with every request of a download since 1.32; other HEADs only want to know.
_DOWNLOADS = "x-hf-download-counter"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about.

    Args:
        repo_type: model, dataset or space.
        repo_id: as the asker spells it.
        revision: None if none was said.
        path: the file that is asked for; None for questions about the repository.
        reads: its bytes are wanted, now or as soon as this is answered.
        token: the asker's own, for the origin alone.
    """

    repo_type: RepoType
    repo_id: str
    revision: str | None = None
    path: str | None = None
    reads: bool = False
    token: str | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"<Question {self.repo_type} {self.repo_id} @{self.revision} {self.path or ''}>"


def question_of(asked: Asked) -> Question | None:
    """What a request is about; None for what no download needs."""
    if asked.method not in {"GET", "HEAD"} and not asked.about_paths:
        return None
    found = _question(asked.parts)
    if found is None:
        return None
    token = asked.headers.get("authorization", "")
    return replace(
        found,
        token=token[len(_BEARER) :].strip() or None if token.lower().startswith(_BEARER) else None,
        reads=found.path is not None and (asked.method == "GET" or _DOWNLOADS in asked.headers),
    )


def _question(parts: tuple[str, ...]) -> Question | None:
    match parts:
        case ("api", plural, *rest) if plural in _TYPES:
            return _about(_TYPES[plural], rest)
        case (("datasets" | "spaces") as plural, *rest):
            return _file(_TYPES[plural], rest)
    return _file(RepoType.MODEL, parts)


def _about(repo_type: RepoType, rest: list[str]) -> Question | None:
    count = 1 if len(rest) == 1 or rest[1:2] == ["refs"] or (len(rest) > 2 and rest[1] in _ABOUT) else 2  # noqa: PLR2004
    repo_id, tail = "/".join(rest[:count]), rest[count:]
    if not repo_id:  # a search among all of them
        return None
    match tail:
        case [] | ["refs"]:
            return Question(repo_type, repo_id)
        case ["revision", *revision] if revision:
            return Question(repo_type, repo_id, "/".join(revision))
        case [word, *revision] if word == PATHS_INFO and revision:
            return Question(repo_type, repo_id, "/".join(revision))
        case ["tree", *revision_and_folder] if revision_and_folder:
            return Question(repo_type, repo_id, _split(revision_and_folder)[0])
    return None


def _file(repo_type: RepoType, rest: Sequence[str]) -> Question | None:
    at = next((at for at in (1, 2) if len(rest) > at and rest[at] == "resolve"), None)
    if at is None or len(rest) == at + 1:
        return None
    revision, path = _split(list(rest[at + 1 :]))
    return Question(repo_type, "/".join(rest[:at]), revision, path) if revision and path else None


def _split(parts: list[str]) -> tuple[str, str]:
    """Revision, and what follows it."""
    count = _REF_PARTS if parts[0] == "refs" and len(parts) >= _REF_PARTS else 1
    return "/".join(parts[:count]), "/".join(parts[count:])
