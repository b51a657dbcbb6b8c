"""From a request to what a hub would answer, out of what is offered.

Decides statuses, headers and pages. Pure: no request text ever becomes a path, it only looks something up.
What the stock clients need is in huggingface_hub's ``file_download.py`` and ``_tree_cache.py`` (2.4).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from chunkdl.core.asked_range import asked_range
from chunkdl.model import RepoType
from chunkdl.share import hub_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chunkdl.model import Digest, RemoteFile
    from chunkdl.share.offer import OfferedCommit, OfferedRepo

# The hub's own page of a listing.
PAGE_ENTRIES = 1000
PATHS_INFO = "paths-info"
_TYPES = {each.plural: each for each in RepoType}
# Revisions with slashes: refs/pr/1 is the longest that is common.
_REVISION_PARTS = 3
_MOST_ID_PARTS = 2
_OK, _PARTIAL, _NOT_MODIFIED, _NOT_FOUND, _NOT_ALLOWED, _UNSATISFIABLE = 200, 206, 304, 404, 405, 416


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Args:
        method: in capitals.
        parts: components of the path, each percent-decoded by itself: one may hold a slash.
        query: decoded.
        headers: names in lower case.
        base_url: under which the asker knows us.
        paths: what a question about several files names in its body.
    """

    method: str
    parts: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    paths: tuple[str, ...] = ()

    @property
    def about_paths(self) -> bool:
        """True for the one question that comes as a POST, as huggingface_hub's ``get_paths_info`` asks it."""
        return self.method == "POST" and self.parts[:1] == ("api",) and PATHS_INFO in self.parts[3:5]


def paths_named(body: str, content_type: str) -> tuple[str, ...]:
    """The paths that a question about several files names, in a form or as JSON; none if it is neither."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return tuple(value for name, value in parse_qsl(body) if name == "paths")
    try:
        said = json.loads(body)
    except ValueError:
        return ()
    paths = said.get("paths") if isinstance(said, dict) else None
    return tuple(map(str, paths)) if isinstance(paths, list) else ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes ``[start, stop)`` of one content of ``size`` bytes."""

    digest: Digest
    size: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say: a status, headers, and either ``body`` or a ``piece`` of a file."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    piece: Piece | None = None


class Catalogue:
    """Everything that is offered, by every id that it answers to."""

    def __init__(self, repos: Iterable[OfferedRepo], *, page_entries: int = PAGE_ENTRIES) -> None:
        self.repos = tuple(repos)
        self._page_entries = page_entries
        self._by_id: dict[tuple[RepoType, str], OfferedRepo] = {}
        for name in (False, True):  # a repository's own id goes before anybody's further name
            for each in self.repos:
                for repo_id in each.names if name else (each.repo_id,):
                    self._by_id.setdefault((each.repo_type, repo_id), each)
        self._files = {
            (each.repo_type, each.repo_id, commit.commit): {file.path: file for file in commit.files}
            for each in self.repos
            for commit in each.commits.values()
        }

        self._listings: dict[tuple[RepoType, str, str], hub_json.Listing] = {}

    def answer(self, asked: Asked) -> Answer:
        """Answer any request."""
        if asked.method not in {"GET", "HEAD"} and not asked.about_paths:
            return _error(_NOT_ALLOWED, "", "this mirror is read-only", {"Allow": "GET, HEAD"})
        match asked.parts:
            case ("api", plural, *rest) if plural in _TYPES:
                return self._api(asked, _TYPES[plural], rest)
            case (("datasets" | "spaces") as plural, *rest) if "resolve" in rest:
                return self._resolve(asked, _TYPES[plural], rest)
            case rest if "resolve" in rest[1:]:
                return self._resolve(asked, RepoType.MODEL, list(rest))
        return _error(_NOT_FOUND, "", "there is nothing here")

    def _api(self, asked: Asked, repo_type: RepoType, rest: list[str]) -> Answer:
        for count in (_MOST_ID_PARTS, 1):
            repo = self._by_id.get((repo_type, "/".join(rest[:count])))
            if repo is not None and len(rest) >= count:
                return self._about(asked, repo, rest[count:])
        return _no_repo()

    def _about(self, asked: Asked, repo: OfferedRepo, tail: list[str]) -> Answer:
        match tail:
            case []:
                return _json(hub_json.info(repo, repo.default))
            case ["refs"]:
                return _json(hub_json.refs(repo))
            case ["revision", *revision]:
                commit = repo.at("/".join(revision))
                return _json(hub_json.info(repo, commit)) if commit else _no_revision()
            case ["tree", *revision_and_folder]:
                commit, folder = _split(repo, revision_and_folder)
                return self._tree(asked, repo, commit, folder) if commit else _no_revision()
            case [word, *revision] if word == PATHS_INFO and asked.about_paths:
                commit = repo.at("/".join(revision))
                return _json(self._listing(repo, commit).of_paths(asked.paths)) if commit else _no_revision()
        return _error(_NOT_FOUND, "", "this mirror does not answer that")

    def _listing(self, repo: OfferedRepo, commit: OfferedCommit) -> hub_json.Listing:
        """Built when first asked for: a listing of 50,000 files comes in pages, and each page asks."""
        key = (repo.repo_type, repo.repo_id, commit.commit)
        if key not in self._listings:
            self._listings[key] = hub_json.Listing(commit)
        return self._listings[key]

    def _tree(self, asked: Asked, repo: OfferedRepo, commit: OfferedCommit, folder: str) -> Answer:
        recursive = asked.query.get("recursive", "").lower() in {"true", "1"}
        entries = self._listing(repo, commit).tree(folder, recursive=recursive)
        if folder and not entries:
            return _no_entry(commit)
        first = _from_cursor(asked.query.get("cursor", ""))
        page = _json(entries[first : first + self._page_entries])
        if first + self._page_entries >= len(entries):
            return page
        again = urlencode({**asked.query, "cursor": _to_cursor(first + self._page_entries)})
        path = "/".join(quote(each, safe="") for each in asked.parts)
        return replace(page, headers={**page.headers, "Link": f'<{asked.base_url}/{path}?{again}>; rel="next"'})

    def _resolve(self, asked: Asked, repo_type: RepoType, rest: list[str]) -> Answer:
        at = rest.index("resolve", 1) if "resolve" in rest[1:] else 0
        repo = self._by_id.get((repo_type, "/".join(rest[:at])))
        if repo is None:
            return _no_repo()
        commit, path = _split(repo, rest[at + 1 :])
        if commit is None:
            return _no_revision()
        file = self._files[repo.repo_type, repo.repo_id, commit.commit].get(path)
        return _content(asked, commit, file) if file else _no_entry(commit)


def _split(repo: OfferedRepo, parts: list[str]) -> tuple[OfferedCommit | None, str]:
    """Tell the revision, which may hold slashes, from the path after it."""
    for count in range(1, _REVISION_PARTS + 1):
        commit = repo.at("/".join(parts[:count]))
        if commit is not None:
            return commit, "/".join(parts[count:])
    return None, ""


def _content(asked: Asked, commit: OfferedCommit, file: RemoteFile) -> Answer:
    etag = f'"{file.digest.hex}"'
    headers = {
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "X-Repo-Commit": commit.commit,
        "X-Linked-Etag": etag,
        "X-Linked-Size": str(file.size),
    }
    if _lists(asked.headers.get("if-none-match", ""), etag):
        return Answer(_NOT_MODIFIED, headers)
    wanted = asked.headers.get("range", "") if asked.headers.get("if-range", etag) == etag else ""
    match asked_range(wanted, file.size):
        case None:
            return Answer(_OK, headers, piece=Piece(file.digest, file.size, 0, file.size))
        case (start, stop) if start < stop:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
            return Answer(_PARTIAL, headers, piece=Piece(file.digest, file.size, start, stop))
    return Answer(_UNSATISFIABLE, {"Content-Range": f"bytes */{file.size}"})


def _lists(tags: str, etag: str) -> bool:
    return any(each.strip().removeprefix("W/") in {etag, "*"} for each in tags.split(",") if each.strip())


def _json(value: Any) -> Answer:
    return Answer(_OK, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(value).encode())


def _no_repo() -> Answer:
    return _error(_NOT_FOUND, "RepoNotFound", "this repository was not exported")


def _no_revision() -> Answer:
    return _error(_NOT_FOUND, "RevisionNotFound", "this revision was not exported")


def _no_entry(commit: OfferedCommit) -> Answer:
    """Clients remember that a commit lacks a file if the answer names the commit: only what is whole may do that."""
    named = {"X-Repo-Commit": commit.commit} if commit.complete else {}
    return _error(_NOT_FOUND, "EntryNotFound", "this was not exported", named)


def _error(status: int, code: str, message: str, more: Mapping[str, str] = MappingProxyType({})) -> Answer:
    said = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **more}
    answer = _json({"error": message})
    return replace(answer, status=status, headers={**answer.headers, **said})


def _to_cursor(index: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % index).decode()


def _from_cursor(cursor: str) -> int:
    """The index that a cursor stands for; anything else begins anew."""
    try:
        return max(int(base64.urlsafe_b64decode(cursor)[:19] or 0), 0)
    except (ValueError, binascii.Error):
        return 0
