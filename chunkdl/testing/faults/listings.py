"""Faults in metadata: pages, names and digests that a mirror should not have said."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from chunkdl.testing.content import SeededContent
from chunkdl.testing.faults.base import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.testing.answers import Answer, Request
    from chunkdl.testing.hub_repo import HubRepo


@dataclass(frozen=True)
class LinkNextForeignHost(Fault):
    """Name a page on another host as the listing's next."""

    name = "link-next-foreign-host"
    where: str = "tree"
    host: str = "http://127.0.0.2:9"

    def bend(self, answer: Answer, request: Request) -> None:
        """Point Link elsewhere."""
        answer.headers["Link"] = f'<{self.host}{request.path}?recursive=true&cursor=x>; rel="next"'


@dataclass(frozen=True)
class CyclicListing(Fault):
    """Name every page of the listing as its own next."""

    name = "cyclic-listing"
    where: str = "tree"

    def bend(self, answer: Answer, request: Request) -> None:
        """Point Link at this page."""
        host = request.headers.get("host", "")
        answer.headers["Link"] = f'<{request.scheme}://{host}{request.target}>; rel="next"'


@dataclass(frozen=True)
class HugeListing(Fault):
    """Put ``size_bytes`` of blanks before the listing, which JSON allows."""

    name = "huge-listing"
    where: str = "tree"
    size_bytes: int = 80 << 20

    def bend(self, answer: Answer, request: Request) -> None:
        """Blow the body up."""
        del request
        answer.body = b" " * self.size_bytes + json.dumps(answer.body).encode()


@dataclass(frozen=True)
class GzipBomb(Fault):
    """Send ``size_bytes`` of blanks, compressed a thousandfold, as if they were JSON."""

    name = "gzip-bomb"
    where: str = "tree"
    size_bytes: int = 256 << 20

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the body."""
        del request
        answer.body = _bomb(self.size_bytes)
        answer.headers["Content-Encoding"] = "gzip"


@dataclass(frozen=True)
class TruncatedListing(Fault):
    """Send half of the listing's JSON with a length to match."""

    name = "truncated-listing"
    where: str = "tree"

    def bend(self, answer: Answer, request: Request) -> None:
        """Cut the body."""
        del request
        encoded = answer.encoded()
        answer.body = encoded[: len(encoded) // 2] if isinstance(encoded, bytes) else encoded


@dataclass(frozen=True)
class NoTree(Fault):
    """Have no tree API, and say so as a web framework does for a path without a route: no hub's error code."""

    name = "no-tree"
    where: str = "tree"
    status: int = 404

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer."""
        del request
        answer.replace(self.status, {"detail": "Not Found"})


@dataclass(frozen=True)
class NoBlobs(Fault):
    """Ignore ``?blobs=true``: model info names files and says nothing of them."""

    name = "no-blobs"
    where: str = "info"

    def bend(self, answer: Answer, request: Request) -> None:
        """Leave only the names."""
        del request
        if isinstance(answer.body, dict) and "siblings" in answer.body:
            answer.body["siblings"] = [{"rfilename": each["rfilename"]} for each in answer.body["siblings"]]


@dataclass(frozen=True)
class HostilePath(Fault):
    """List one more file, whose name is ``listed``."""

    name = "hostile-path"
    where: str = "tree"
    listed: str = "../../evil.txt"

    def bend(self, answer: Answer, request: Request) -> None:
        """Add an entry."""
        del request
        if isinstance(answer.body, list):
            oid = hashlib.sha1(b"blob 4\0evil", usedforsecurity=False).hexdigest()
            answer.body.append({"type": "file", "oid": oid, "size": 4, "path": self.listed})
        for files in _modelscope_files(answer):
            sha256 = hashlib.sha256(b"evil").hexdigest()
            files.append({"Type": "blob", "Path": self.listed, "Size": 4, "Sha256": sha256})


@dataclass(frozen=True)
class WrongPointer(Fault):
    """List LFS files with an ``oid`` that is not their pointer's."""

    name = "wrong-pointer"
    where: str = "tree"

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite the entries."""
        del request
        for entry in answer.body if isinstance(answer.body, list) else ():
            if "lfs" in entry:
                entry["oid"] = entry["oid"][::-1]


@dataclass(frozen=True)
class WrongDigest(Fault):
    """List the files that match ``listed`` under digests of other contents, consistently."""

    name = "wrong-digest"
    listed: str = "*"

    def view(self, repo: HubRepo) -> HubRepo:
        """Replace the contents by others of the same size."""
        changed = {path: _other(repo, path) for path in _matching(repo, self.listed)}
        return replace(repo, files={**repo.files, **changed})


@dataclass(frozen=True)
class EnvelopeError(Fault):
    """Fail under HTTP 200, as ModelScope's envelope allows: ``code`` inside, no data."""

    name = "envelope-error"
    where: str = "tree"
    code: int = 10010205001
    message: str = "system busy"

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer."""
        del request
        answer.replace(200, {"Code": self.code, "Success": False, "Message": self.message, "RequestId": "0"})


@dataclass(frozen=True)
class WrongSha256(Fault):
    """List the files that match ``listed`` on ModelScope with a sha256 that is not theirs; bytes stay right."""

    name = "wrong-sha256"
    where: str = "tree"
    listed: str = "*"

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite the entries."""
        del request
        for entry in (each for files in _modelscope_files(answer) for each in files):
            if entry["Sha256"] and fnmatchcase(entry["Path"], self.listed):
                entry["Sha256"] = entry["Sha256"][::-1]


@dataclass(frozen=True)
class MissingFile(Fault):
    """Lack the files that match ``missing``, in the listing and in fact."""

    name = "missing-file"
    missing: str = "*.safetensors"

    def view(self, repo: HubRepo) -> HubRepo:
        """Leave the files out."""
        gone = _matching(repo, self.missing)
        return replace(repo, files={path: each for path, each in repo.files.items() if path not in gone})


@dataclass(frozen=True)
class Lagging(Fault):
    """Know another commit only, by default one made up; the files are the same."""

    name = "lagging"
    commit: str = ""

    def view(self, repo: HubRepo) -> HubRepo:
        """Rename the commit."""
        made_up = hashlib.sha1(f"before {repo.commit}".encode(), usedforsecurity=False).hexdigest()
        return replace(repo, commit=self.commit or made_up, older=())


@cache
def _bomb(size_bytes: int) -> bytes:
    """One gzip member that inflates to so many blanks; made once, since that takes a second."""
    deflater = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # 16: a gzip header
    piece = b" " * (1 << 20)
    parts = [deflater.compress(piece[: size_bytes - done]) for done in range(0, size_bytes, len(piece))]
    return b"".join([*parts, deflater.flush()])


def _modelscope_files(answer: Answer) -> Iterator[list[dict[str, Any]]]:
    """The list of files of a ModelScope listing, if this is one."""
    data = answer.body.get("Data") if isinstance(answer.body, dict) else None
    if isinstance(data, dict) and "Files" in data:
        yield data["Files"]


def _matching(repo: HubRepo, glob: str) -> list[str]:
    return [path for path in repo.files if fnmatchcase(path, glob)]


def _other(repo: HubRepo, path: str) -> SeededContent:
    """Make content of the same size from a seed that tests do not use."""
    return SeededContent(seed=-1, size=repo.entries[path].size)
