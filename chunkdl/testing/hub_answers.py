"""The hub's protocol: from a request and some repositories to the answer an honest mirror would give.

Decides statuses, headers, redirects and pages as the public hub does (observed and documented behaviour
of huggingface.co, 2025 and 2026). Deliberately does not know about sockets, rates, faults or the clock.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from chunkdl.model import RepoType
from chunkdl.testing.answers import Answer, Kind
from chunkdl.testing.ranged import ranged_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.testing.answers import Request
    from chunkdl.testing.hub_repo import HubFile, HubRepo

_TYPES = {kind.plural: kind for kind in RepoType}


@dataclass(frozen=True)
class Hub:
    """What an honest mirror knows.

    Args:
        repos: what it holds.
        base_url: its own address, for absolute links.
        token: what opens gated and private repositories; None opens them to any token.
        page_entries: entries a page of a listing; the hub's is 1000.
        signed_url: makes the URL for a digest, if LFS content lies on a CDN.
        redirects_small: whether plain git files are redirected (307) to ``/api/resolve-cache``.
    """

    repos: Sequence[HubRepo]
    base_url: str
    token: str | None = None
    page_entries: int = 1000
    signed_url: Callable[[str], str] | None = None
    redirects_small: bool = True

    def answer(self, request: Request) -> Answer:
        """Answer a request to the hub's own port; ``path_prefix`` is already gone."""
        match request.parts:
            case ["api", "resolve-cache", plural, *rest] if plural in _TYPES:
                return self._resolve_cache(request, _TYPES[plural], rest)
            case ["api", plural, *rest] if plural in _TYPES:
                return self._api(request, _TYPES[plural], rest)
            case [("datasets" | "spaces") as plural, *rest] if "resolve" in rest:
                return self._resolve(request, _TYPES[plural], rest)
            case rest if "resolve" in rest:
                return self._resolve(request, RepoType.MODEL, rest)
        return _missing(request, Kind.OTHER, "", "Not found")

    def content_of(self, request: Request, digest: str) -> Answer:
        """Answer a request whose signature was good, on the CDN's port."""
        named = (file for repo in self.repos for version in (repo, *repo.older) for file in version.entries.values())
        file = next((file for file in named if file.lfs and file.digest == digest), None)
        if file is None:
            return _missing(request, Kind.CONTENT, "", "Not found")
        return ranged_answer(request, file, {})

    # ---- /api ------------------------------------------------------------------------------------

    def _api(self, request: Request, repo_type: RepoType, rest: list[str]) -> Answer:
        found = self._find(repo_type, rest)
        if found is None or self._hides(found[0], request):
            return self._no_repo(request, Kind.INFO)
        repo, asked_id, tail = found
        if asked_id != repo.id:
            return self._moved(request, asked_id, repo.id, Kind.INFO)
        return self._about(request, repo, tail)

    def _about(self, request: Request, repo: HubRepo, tail: list[str]) -> Answer:
        """Answer a question about a repository that is here, is visible, and was called by its own name."""
        match tail:
            case []:
                return self._info(request, repo, repo.branches[0])
            case ["revision", revision]:
                return self._info(request, repo, revision)
            case ["tree", revision, *folder]:
                return self._tree(request, repo, revision, "/".join(folder))
            case ["paths-info", revision] if request.method == "POST":
                return self._paths_info(request, repo, revision)
            case ["refs"]:
                return Answer(Kind.INFO, _subject(request), 200, body=repo.refs())
        return _missing(request, Kind.OTHER, "", "Not found")

    def _info(self, request: Request, repo: HubRepo, revision: str) -> Answer:
        version = repo.at(revision)
        if version is None:
            return _missing(request, Kind.INFO, "RevisionNotFound", f"Invalid rev id: {revision}")
        return Answer(Kind.INFO, _subject(request), 200, body=version.info(blobs="blobs" in request.query))

    def _tree(self, request: Request, repo: HubRepo, revision: str, folder: str) -> Answer:
        version = repo.at(revision)
        if version is None:
            return _missing(request, Kind.TREE, "RevisionNotFound", f"Invalid rev id: {revision}")
        query = request.query
        entries = version.tree(folder, recursive=query.get("recursive", "").lower() == "true")
        if folder and not entries:
            return _missing(request, Kind.TREE, "EntryNotFound", f"{folder} does not exist")
        first = _from_cursor(query.get("cursor", ""))
        page = entries[first : first + self.page_entries]
        answer = Answer(Kind.TREE, _subject(request), 200, body=page)
        if first + self.page_entries < len(entries):
            again = urlencode({**query, "cursor": _to_cursor(first + self.page_entries)})
            answer.headers["Link"] = f'<{self.base_url}{request.path}?{again}>; rel="next"'
        return answer

    def _paths_info(self, request: Request, repo: HubRepo, revision: str) -> Answer:
        version = repo.at(revision)
        if version is None:
            return _missing(request, Kind.TREE, "RevisionNotFound", f"Invalid rev id: {revision}")
        wanted = parse_qs(request.body.decode()).get("paths", [])
        listed = [entry for entry in version.tree() if entry["path"] in wanted]
        return Answer(Kind.TREE, _subject(request), 200, body=listed)

    # ---- /resolve --------------------------------------------------------------------------------

    def _resolve(self, request: Request, repo_type: RepoType, rest: list[str]) -> Answer:
        found = self._find(repo_type, rest)
        if found is None or self._hides(found[0], request):
            return self._no_repo(request, Kind.RESOLVE)
        repo, asked_id, tail = found
        if asked_id != repo.id:
            return self._moved(request, asked_id, repo.id, Kind.RESOLVE)
        version, file, failure = _look_up(request, repo, tail[1:])
        if version is None or file is None:
            return failure
        if repo.gated and not self._admits(request):
            return _gated(request, repo, file)
        return self._resolved(request, version, file)

    def _resolved(self, request: Request, repo: HubRepo, file: HubFile) -> Answer:
        """Send content at once or redirect to it; the metadata stands on the first answer."""
        headers = {"X-Repo-Commit": repo.commit, "X-Linked-Size": str(file.size)}
        if file.lfs:
            headers["X-Linked-Etag"] = f'"{file.digest}"'
            if self.signed_url is None:
                return ranged_answer(request, file, headers)
            headers["Location"] = self.signed_url(file.digest)
            return Answer(Kind.RESOLVE, file.path, 302, headers)
        if not self.redirects_small:
            return ranged_answer(request, file, headers)
        path = quote(f"{repo.repo_type.plural}/{repo.id}/{repo.commit}/{file.path}")
        # The hub repeats the request's path in the query; what matters is that clients must keep the query.
        query = urlencode({request.path: "", "etag": f'"{file.digest}"'})
        headers["Location"] = f"{self._base_path}/api/resolve-cache/{path}?{query}"
        return Answer(Kind.RESOLVE, file.path, 307, headers, body=b"Temporary Redirect. Redirecting\n")

    def _resolve_cache(self, request: Request, repo_type: RepoType, rest: list[str]) -> Answer:
        found = next(
            ((repo, rest[size:]) for size in (1, 2) if (repo := self._named(repo_type, "/".join(rest[:size])))), None
        )
        if found is None:
            return self._no_repo(request, Kind.CONTENT)
        version, file, failure = _look_up(request, found[0], found[1])
        if version is None or file is None:
            return failure
        if request.query.get("etag") != f'"{file.digest}"':
            return Answer(Kind.CONTENT, file.path, 400, {"X-Error-Message": "the query was dropped or changed"})
        return ranged_answer(request, file, {"X-Repo-Commit": version.commit})

    # ---- who may see what ------------------------------------------------------------------------

    @property
    def _base_path(self) -> str:
        """The prefix under which the mirror lives, without host; mostly empty."""
        return urlsplit(self.base_url).path

    def _find(self, repo_type: RepoType, rest: list[str]) -> tuple[HubRepo, str, list[str]] | None:
        """Return the repository that the path begins with, the id that was used, and what follows it."""
        for size in (2, 1):
            asked_id = "/".join(rest[:size])
            repo = self._named(repo_type, asked_id)
            if repo is not None and len(rest) >= size:
                return repo, asked_id, rest[size:]
        return None

    def _named(self, repo_type: RepoType, asked_id: str) -> HubRepo | None:
        fitting = (repo for repo in self.repos if repo.repo_type == repo_type and asked_id in (repo.repo_id, repo.id))
        return next(fitting, None)

    def _admits(self, request: Request) -> bool:
        return request.token is not None and self.token in (None, request.token)

    def _hides(self, repo: HubRepo, request: Request) -> bool:
        return repo.private and not self._admits(request)

    def _no_repo(self, request: Request, kind: Kind) -> Answer:
        """Answer 401 to strangers and 404 to the known, so that nobody learns which private names exist."""
        if request.token is None:
            headers = _error("RepoNotFound", "Invalid username or password.")
            return Answer(kind, _subject(request), 401, headers, {"error": "Invalid username or password."})
        return _missing(request, kind, "RepoNotFound", "Repository not found")

    def _moved(self, request: Request, asked_id: str, canonical_id: str, kind: Kind) -> Answer:
        """Redirect a legacy id as the hub does: 307, relative, with a text body; the query stays."""
        location = self._base_path + request.target.replace(quote(asked_id), quote(canonical_id), 1)
        body = f"Temporary Redirect. Redirecting to {location}".encode()
        return Answer(kind, _subject(request), 307, {"Location": location, "Content-Type": "text/plain"}, body)


def _look_up(request: Request, repo: HubRepo, tail: list[str]) -> tuple[HubRepo | None, HubFile | None, Answer]:
    """Return commit and file for ``revision/path…``, or else the answer that says which is missing."""
    version = repo.at(tail[0]) if tail else None
    path = "/".join(tail[1:])
    if version is None:
        return None, None, _missing(request, Kind.RESOLVE, "RevisionNotFound", f"Invalid rev id: {tail[:1]}")
    failure = _missing(request, Kind.RESOLVE, "EntryNotFound", "Entry not found")
    failure.subject, failure.headers["X-Repo-Commit"] = path, version.commit
    return version, version.entries.get(path), failure


def _gated(request: Request, repo: HubRepo, file: HubFile) -> Answer:
    message = f"Access to model {repo.id} is restricted. You must have access to it and be authenticated."
    status = 401 if request.token is None else 403
    return Answer(Kind.RESOLVE, file.path, status, _error("GatedRepo", message), message.encode())


def _missing(request: Request, kind: Kind, code: str, message: str) -> Answer:
    return Answer(kind, _subject(request), 404, _error(code, message), {"error": message})


def _error(code: str, message: str) -> dict[str, str]:
    return {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}


def _subject(request: Request) -> str:
    return request.path.lstrip("/")


def _to_cursor(index: int) -> str:
    return base64.urlsafe_b64encode(b"%d" % index).decode()


def _from_cursor(cursor: str) -> int:
    """Return the index that a cursor stands for; anything else begins anew."""
    try:
        return int(base64.urlsafe_b64decode(cursor) or 0)
    except (ValueError, binascii.Error):
        return 0
