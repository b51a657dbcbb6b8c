"""What a cache can serve without any network: ref to commit to snapshot, as huggingface_hub looks it up.

Reads names and sizes only. Deliberately does not decide whether that is enough: the caller lays its
selection against ``files`` (or against ``listing``, if the whole commit's listing is known) and asks
``missing``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.listing import read_tree
from chunkdl.assemble.snapshot import DEFAULT_REVISION, read_ref
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile, is_commit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkdl.assemble.layout import RepoFolder


@dataclass(frozen=True, slots=True)
class CachedSnapshot:
    """A commit that the cache holds, whole or in part.

    Args:
        commit: what the revision meant when it was last asked for.
        path: the snapshot folder.
        files: repository paths that can be read, with their sizes in bytes.
        known: the same files as far as their digest is known (by the name of their blob, or the listing).
        listing: the whole listing of the commit if huggingface_hub or we recorded it, else None.
    """

    commit: str
    path: Path
    files: dict[str, int]
    known: tuple[RemoteFile, ...]
    listing: tuple[RemoteFile, ...] | None

    def missing(self, wanted: Iterable[RemoteFile]) -> tuple[str, ...]:
        """Paths of ``wanted`` that cannot be served, or not with their size."""
        return tuple(each.path for each in wanted if self.files.get(each.path) != each.size)


def cached_snapshot(repo: RepoFolder, revision: str | None) -> CachedSnapshot | None:
    """What the cache holds of a revision (None: ``main``); None if it holds no snapshot of it. Blocking.

    A dangling link, as a cleaned or half-copied cache leaves, is a missing file.

    Raises:
        PlacementRefused: a revision that is no plain relative path.
    """
    wanted = revision or DEFAULT_REVISION
    commit = wanted if is_commit(wanted) else (read_ref(repo, wanted) or "")
    if not is_commit(commit) or not repo.snapshot(commit).is_dir():
        return None
    listing = read_tree(repo.tree(commit))
    listed = {each.path: each for each in listing or ()}
    files, known = {}, []
    for path, entry in _entries(repo.snapshot(commit)):
        try:
            files[path] = entry.stat().st_size
        except OSError:
            continue
        file = listed.get(path) or _by_blob(repo, path, entry, files[path])
        if file is not None and file.size == files[path]:
            known.append(file)
    return CachedSnapshot(commit, repo.snapshot(commit), files, tuple(known), listing)


def _entries(snapshot: Path) -> list[tuple[str, Path]]:
    found = []
    for folder, _, names in os.walk(snapshot):
        for name in names:
            entry = Path(folder, name)
            found.append((entry.relative_to(snapshot).as_posix(), entry))
    return sorted(found)


def _by_blob(repo: RepoFolder, path: str, entry: Path, size: int) -> RemoteFile | None:
    """The file as the name of its blob tells: 64 hex digits are a sha256, 40 a git sha1."""
    try:
        name = Path(os.readlink(entry)).name  # noqa: PTH115  # the text, unresolved
    except OSError:  # a real file
        return None
    digest = digest_named(name)
    return RemoteFile(path, size, digest) if digest and os.path.lexists(repo.blob(digest)) else None


def digest_named(name: str) -> Digest | None:
    """The digest that the hub's client names a content after; None if that is no digest."""
    algorithm = DigestAlgorithm.SHA256 if len(name) == _SHA256_DIGITS else DigestAlgorithm.GIT_SHA1
    try:
        return Digest(algorithm, name)
    except ValueError:
        return None


_SHA256_DIGITS = 64
