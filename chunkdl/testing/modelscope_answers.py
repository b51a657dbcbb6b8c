"""ModelScope's protocol: from a request and some repositories to the answer an honest server would give.

Decides envelopes, listings with their silent cap, pages, revisions and both ways to bytes as modelscope-hub 0.5.1
expects them. Deliberately does not know about sockets, rates, faults or the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chunkdl.model import Hub, RepoType
from chunkdl.testing.answers import Answer, Delivery, Kind
from chunkdl.testing.ranged import ranged_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.testing.answers import Request
    from chunkdl.testing.hub_repo import HubFile, HubRepo

_TYPES = {kind.plural: kind for kind in (RepoType.MODEL, RepoType.DATASET)}
_DEFAULT = Hub.MODELSCOPE.default_revision
_REQUEST_ID = "00000000-0000-4000-8000-000000000000"  # every answer carries one; nobody looks at it
_OK = 200


@dataclass(frozen=True)
class ModelScope:
    """What an honest server knows.

    Args:
        repos: what it holds; the first branch is called ``master`` if it is called ``main``.
        token: what opens private repositories.
        cap_entries: a listing of a model that is longer ends there, without a word.
        signed_url: makes the URL for a digest, if LFS content lies on a CDN.
        web_route: whether ``/models/…/resolve/…`` works.
    """

    repos: Sequence[HubRepo]
    token: str | None = None
    cap_entries: int = 3000
    signed_url: Callable[[str], str] | None = None
    web_route: bool = True

    def answer(self, request: Request) -> Answer:
        """Answer a request to the server's own port; ``path_prefix`` is already gone."""
        match request.parts:
            case ["api", "v1", plural, owner, name, *rest] if plural in _TYPES:
                repo = self._visible(request, _TYPES[plural], f"{owner}/{name}")
                return self._about(request, repo, rest)
            case [plural, owner, name, "resolve", revision, *path] if plural == RepoType.MODEL.plural:
                repo = self._visible(request, _TYPES[plural], f"{owner}/{name}")
                return self._web(request, repo, revision, "/".join(path))
        return _failure(request, Kind.OTHER, 404, "no such interface")

    def content_of(self, request: Request, digest: str) -> Answer:
        """Answer a request whose signature was good, on the CDN's port."""
        named = (file for repo in self.repos for version in (repo, *repo.older) for file in version.entries.values())
        file = next((file for file in named if file.content.sha256 == digest), None)
        if file is None:
            return _failure(request, Kind.CONTENT, 404, "no such object")
        return ranged_answer(request, file, {"X-Linked-ETag": digest})

    def _about(self, request: Request, repo: HubRepo | None, rest: list[str]) -> Answer:
        kind = {"repo": Kind.RESOLVE, "revisions": Kind.INFO}.get("/".join(rest), Kind.TREE)
        if repo is None:
            return _failure(request, kind, 404, "the repository does not exist")
        match rest:
            case ["revisions"]:
                return _success(request, Kind.INFO, {"RevisionMap": _refs(repo)})
            case ["repo", "files"] if repo.repo_type is RepoType.MODEL:
                return self._listing(request, repo)
            case ["repo", "tree"] if repo.repo_type is RepoType.DATASET:
                return self._listing(request, repo)
            case ["repo"]:
                return self._by_api(request, repo)
        return _failure(request, Kind.OTHER, 404, "no such interface")

    def _listing(self, request: Request, repo: HubRepo) -> Answer:
        query = request.query
        version = _at(repo, query.get("Revision", _DEFAULT))
        if version is None:
            return _failure(request, Kind.TREE, 404, "the revision does not exist")
        recursive = query.get("Recursive", "").lower() == "true"
        entries = [_entry(each, version) for each in version.tree(query.get("Root", ""), recursive=recursive)]
        if repo.repo_type is RepoType.DATASET:
            size = int(query.get("PageSize", "100"))
            first = (int(query.get("PageNumber", "1")) - 1) * size
            entries = entries[first : first + size]
        return _success(request, Kind.TREE, {"Files": entries[: self.cap_entries]})

    def _by_api(self, request: Request, repo: HubRepo) -> Answer:
        """What is not redirected comes whole, whatever Range says."""
        query = request.query
        version = _at(repo, query.get("Revision", _DEFAULT))
        file = version.entries.get(query.get("FilePath", "")) if version else None
        if file is None:
            return _failure(request, Kind.RESOLVE, 404, "the file does not exist")
        if file.lfs and self.signed_url is not None:
            return self._redirected(file)
        headers = {"Content-Type": "application/octet-stream"}
        return Answer(Kind.CONTENT, file.path, _OK, headers, Delivery(file.content, 0, file.size))

    def _web(self, request: Request, repo: HubRepo | None, revision: str, path: str) -> Answer:
        version = _at(repo, revision) if repo is not None and self.web_route else None
        file = version.entries.get(path) if version else None
        if file is None:
            page = b"<!doctype html><title>404</title>"
            return Answer(Kind.RESOLVE, path, 404, {"Content-Type": "text/html"}, page)
        if file.lfs and self.signed_url is not None:
            return self._redirected(file)
        return ranged_answer(request, file, {})

    def _redirected(self, file: HubFile) -> Answer:
        assert self.signed_url is not None, "asked only where there is a CDN"
        headers = {"X-Linked-ETag": file.content.sha256, "Location": self.signed_url(file.content.sha256)}
        return Answer(Kind.RESOLVE, file.path, 302, headers)

    def _visible(self, request: Request, repo_type: RepoType, repo_id: str) -> HubRepo | None:
        """A private repository does not exist for strangers."""
        repo = next((each for each in self.repos if each.repo_type == repo_type and each.id == repo_id), None)
        admitted = request.token is not None and self.token in (None, request.token)
        hidden = repo is not None and repo.private and not admitted
        return None if hidden else repo


def _at(repo: HubRepo, revision: str) -> HubRepo | None:
    found = repo.at(revision)
    return repo if found is None and revision == _DEFAULT and repo.branches[0] == "main" else found


def _shown(branch: str, repo: HubRepo) -> str:
    return _DEFAULT if branch == "main" == repo.branches[0] else branch


def _refs(repo: HubRepo) -> dict[str, list[dict[str, Any]]]:
    versions = (repo, *repo.older)
    branches = [(_shown(name, repo), each) for each in versions for name in each.branches]
    tags = [(name, each) for each in versions for name in each.tags]
    named = {"Branches": branches, "Tags": tags}
    return {
        kind: [{"Revision": name, "CreatedAt": _epoch(each)} for name, each in found] for kind, found in named.items()
    }


def _entry(entry: dict[str, Any], repo: HubRepo) -> dict[str, Any]:
    """A tree entry of the hub in ModelScope's words; every file has a sha256 here."""
    path = str(entry["path"])
    folder = entry["type"] == "directory"
    return {
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Type": "tree" if folder else "blob",
        "Size": 0 if folder else repo.entries[path].size,
        "Sha256": "" if folder else repo.entries[path].content.sha256,
        "IsLFS": not folder and repo.entries[path].lfs,
        "Revision": repo.commit,
        "CommittedDate": _epoch(repo),
    }


def _epoch(repo: HubRepo) -> int:
    return int(datetime.fromisoformat(repo.last_modified).timestamp())


def _success(request: Request, kind: Kind, data: dict[str, Any]) -> Answer:
    body = {"Code": _OK, "Success": True, "Message": "success", "RequestId": _REQUEST_ID, "Data": data}
    return Answer(kind, request.path.lstrip("/"), _OK, body=body)


def _failure(request: Request, kind: Kind, status: int, message: str) -> Answer:
    body = {"Code": status, "Success": False, "Message": message, "RequestId": _REQUEST_ID}
    return Answer(kind, request.path.lstrip("/"), status, body=body)
