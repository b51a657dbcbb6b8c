"""What a hub's JSON and headers say, checked before anything is built on it.

Decides which listings are believable at all: sizes, digests, LFS pointers. Deliberately makes no request
and trusts no field that it has not looked at; paths are judged by ``core.paths``, for the whole listing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkdl.core.content_headers import MAX_SIZE
from chunkdl.errors import MirrorMisbehaved, NotTheFile
from chunkdl.identify.references import is_repo_id
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile, is_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.model import Mirror

_XET_HASH = re.compile(r"[0-9a-f]{64}")
_NEXT_LINK = re.compile(r"<([^<>]*)>\s*;[^,<]*\brel\s*=\s*\"?next\b", re.IGNORECASE)
_QUERY = re.compile(r"[\x21-\x7e]{1,4096}")  # printable ASCII; a cursor has some hundred characters


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """One revision of a repository as a hub describes it.

    ``last_modified`` is ISO 8601 text or empty; ``answered_by`` the URL that spoke, after redirects.
    """

    canonical_id: str
    commit: str
    last_modified: str = ""
    private: bool = False
    gated: bool = False
    disabled: bool = False
    answered_by: str = ""


def parse_json(body: bytes, mirror: Mirror) -> Any:
    """The body as JSON; ``NotTheFile`` for anything else (a captive portal's page, a cut-off answer)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotTheFile(
            f"{mirror.name} answered something that is no JSON",
            hint="a login page or a proxy may be in the way: open any web page in a browser, and check HTTPS_PROXY",
            mirror=mirror.name,
        ) from error


def parse_info(body: bytes, asked_id: str, mirror: Mirror) -> RepoInfo:
    """Read model info; an ``id`` that no hub could have is ignored for the one that was asked."""
    data = parse_json(body, mirror)
    commit = data.get("sha") if isinstance(data, dict) else None
    if not isinstance(commit, str) or not is_commit(commit):
        raise refused(mirror, f"names no commit for {asked_id}")
    canonical, modified = data.get("id"), data.get("lastModified")
    return RepoInfo(
        canonical_id=canonical if isinstance(canonical, str) and is_repo_id(canonical) else asked_id,
        commit=commit,
        last_modified=modified[:40] if isinstance(modified, str) and modified[:40].isprintable() else "",
        private=data.get("private") is True,
        gated=data.get("gated") not in (None, False),
        disabled=data.get("disabled") is True,
    )


def parse_tree_page(body: bytes, mirror: Mirror) -> list[RemoteFile]:
    """The files of one page of ``/tree``.

    Raises:
        MirrorMisbehaved: an entry without believable size or digest, or an LFS entry whose ``oid`` is not
            the git sha1 of its pointer text.
    """
    page = parse_json(body, mirror)
    if not isinstance(page, list):
        raise refused(mirror, "sent a listing that is no list")
    entries = [each for each in page if not isinstance(each, dict) or each.get("type") == "file"]
    return [_file(each, mirror) for each in entries]


def parse_siblings(body: bytes, commit: str, mirror: Mirror) -> list[tuple[str, RemoteFile | None]]:
    """The files that model info of ``commit`` names, with what ``?blobs=true`` says of each, or None if nothing.

    Raises:
        MirrorMisbehaved: no list, another commit, or a description that a tree would be refused for.
    """
    info = parse_json(body, mirror)
    siblings = info.get("siblings") if isinstance(info, dict) else None
    if not isinstance(siblings, list):
        raise refused(mirror, "has no tree API and names no files")
    if info.get("sha") != commit:
        raise refused(mirror, f"names files of another commit than {commit}")
    return [_sibling(each, mirror) for each in siblings]


def _sibling(entry: Any, mirror: Mirror) -> tuple[str, RemoteFile | None]:
    path = entry.get("rfilename") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        raise refused(mirror, "names a file without a path")
    lfs, size = entry.get("lfs"), entry.get("size")
    described = {"path": path, "size": size, "oid": entry.get("blobId")}
    if isinstance(lfs, dict):  # the digest's key is sha256 here, and oid in a tree
        described["lfs"] = {"size": size, **lfs, "oid": lfs.get("sha256")}
    digest = described["lfs"]["oid"] if isinstance(lfs, dict) else described["oid"]
    return path, None if digest is None or size is None else _file(described, mirror)


def _file(entry: Any, mirror: Mirror) -> RemoteFile:
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        raise refused(mirror, "lists a file without a path")
    lfs = entry.get("lfs")
    if not isinstance(lfs, dict):
        digest = _digest(DigestAlgorithm.GIT_SHA1, entry.get("oid"), path, mirror)
        return RemoteFile(path, read_size(entry.get("size"), path, mirror), digest)
    return _lfs_file(entry, lfs, path, mirror)


def _lfs_file(entry: Mapping[str, Any], lfs: Mapping[str, Any], path: str, mirror: Mirror) -> RemoteFile:
    digest = _digest(DigestAlgorithm.SHA256, lfs.get("oid"), path, mirror)
    size = read_size(lfs.get("size"), path, mirror)
    oid = entry.get("oid")
    if oid is not None:
        _check_pointer(oid, digest, size, lfs.get("pointerSize"), path, mirror)
    xet = entry.get("xetHash")
    return RemoteFile(
        path,
        size,
        digest,
        pointer_oid=oid,
        xet_hash=xet if isinstance(xet, str) and _XET_HASH.fullmatch(xet) else None,
    )


def pointer_text(digest: Digest, size: int) -> bytes:
    """What git stores for an LFS file: three lines in this order, each ended by one newline."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest.hex}\nsize {size}\n".encode()


def git_blob_sha1(content: bytes) -> str:
    """Git's name for ``content``."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _check_pointer(oid: Any, digest: Digest, size: int, pointer_size: Any, path: str, mirror: Mirror) -> None:
    """A free consistency check of the listing: ``oid`` must be the sha1 of the pointer that the entry implies.

    A pointer that somebody wrote by hand (other line ends, an older specification) has another length. It
    cannot be checked; the origin's word is taken for it, a mirror's is not.
    """
    text = pointer_text(digest, size)
    odd = isinstance(pointer_size, int) and pointer_size != len(text)
    if not isinstance(oid, str) or (git_blob_sha1(text) != oid and not (odd and mirror.is_origin)):
        raise refused(mirror, f"lists {path!a} with a digest that does not fit its pointer", path)


def _digest(algorithm: DigestAlgorithm, value: Any, path: str, mirror: Mirror) -> Digest:
    try:
        return Digest(algorithm, value if isinstance(value, str) else "")
    except ValueError:
        raise refused(mirror, f"lists {path!a} without a usable digest", path) from None


def read_size(value: Any, path: str, mirror: Mirror) -> int:
    """The size that a listing gives ``path``, in bytes; MirrorMisbehaved if it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SIZE:
        raise refused(mirror, f"lists {path!a} without a usable size", path)
    return value


def next_query(headers: Mapping[str, str], mirror: Mirror) -> str | None:
    """The query of the next page's link, byte for byte, or None on the last page.

    Only the query counts: mirrors pass the hub's own host through, name plain HTTP, or join two URLs. The
    page is asked from the hub that was asked before, so that neither a token nor the listing goes elsewhere.
    """
    link = headers.get("link", "")
    match = _NEXT_LINK.search(link)
    if match is None:
        return None
    query = match[1].partition("?")[2].partition("#")[0]
    if not _QUERY.fullmatch(query):
        raise refused(mirror, "links to a next page that cannot be asked for")
    return query


def refused(mirror: Mirror, what: str, path: str | None = None) -> MirrorMisbehaved:
    """The error for a listing that cannot be believed, because its mirror does ``what``."""
    return MirrorMisbehaved(f"{mirror.name} {what}: its listing is refused", mirror=mirror.name, file=path)
