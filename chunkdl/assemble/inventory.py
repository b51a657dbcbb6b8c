"""One look at the cache before a plan is made: what is here, in part here, or to be had next door.

Reads names, sizes and journals, never content: what it finds elsewhere is hashed before it is used,
what a journal claims is proven on resume, and a blob of the right name and size is taken as the hub's
own client takes it. Deliberately decides nothing: ``core.planner`` does.
"""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.pointers import Pointers
from chunkdl.core.journal_codec import claims, decode
from chunkdl.core.planner import Inventory
from chunkdl.disk import free_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import stat_result
    from pathlib import Path

    from chunkdl.assemble.layout import HubCache, RepoFolder
    from chunkdl.model import ByteRange, Digest, RemoteFile

_REPO_FOLDER = re.compile(r"(?:models|datasets|spaces|kernels)--.+")

# huggingface_hub 1.32+ marks its store with this file and content; an unmarked folder is not its store.
_STORE_MARKER = (".huggingface-shared-blobs", b"1\n")
_XET_HASH = re.compile(r"[0-9a-f]{64}")


def take_inventory(cache: HubCache, repo: RepoFolder, files: Sequence[RemoteFile], commit: str) -> Inventory:
    """What of ``files`` is already on this disk; blocking, and cheap: names and sizes only.

    Nothing here fails: what cannot be read is not here.

    Raises:
        PlacementRefused: a hostile path or commit.
    """
    wanted = {each.digest: each for each in files}
    blobs = frozenset(digest for digest, each in wanted.items() if _size(repo.blob(digest)) == each.size)
    missing = [each for digest, each in wanted.items() if digest not in blobs]
    pointers = Pointers(repo, commit, use_symlinks=True)
    partials = {each.digest: claimed(repo.part(each.digest), repo.journal(each.digest), each) for each in missing}
    return Inventory(
        blobs=blobs,
        elsewhere=found_elsewhere(cache, repo, missing),
        partials={digest: ranges for digest, ranges in partials.items() if ranges},
        placed=frozenset(each.path for each in files if pointers.stands(each)),
        free_bytes=free_bytes(cache.root),
    )


def claimed(part_path: Path, journal_path: Path, file: RemoteFile) -> tuple[ByteRange, ...]:
    """What the journal says the part file holds; nothing unless both are about this very content."""
    part = _lstat(part_path)
    if part is None or not stat.S_ISREG(part.st_mode):
        return ()
    try:
        decoded = decode(journal_path.read_bytes())
    except OSError:
        return ()
    header = decoded.header
    if header is None or (header.digest, header.size) != (file.digest, file.size):
        return ()
    return tuple(each.range for each in claims(decoded.records) if each.range.stop <= part.st_size)


def found_elsewhere(cache: HubCache, repo: RepoFolder, missing: Sequence[RemoteFile]) -> dict[Digest, tuple[str, ...]]:
    """Files of the cache that may hold a missing content; empty contents are made, not sought."""
    sought = {each.digest.hex: each for each in missing if each.size}
    found: dict[Digest, tuple[str, ...]] = {}
    for path, file in _candidates(cache, repo, sought):
        if _size(path) == file.size:
            found[file.digest] = (*found.get(file.digest, ()), str(path))
    return found


def _candidates(cache: HubCache, repo: RepoFolder, sought: dict[str, RemoteFile]) -> Iterator[tuple[Path, RemoteFile]]:
    if not sought:
        return
    for other in _children(cache.root):
        if _REPO_FOLDER.fullmatch(other.name):
            for blob in _children(other / "blobs"):
                if file := sought.get(blob.name):
                    yield blob, file
    for snapshot in _children(repo.snapshots):  # real files, as HF_HUB_DISABLE_SYMLINKS leaves them
        for file in sought.values():
            path = snapshot.joinpath(*file.path.split("/"))
            if not path.is_symlink():  # a link says by its name what it is: another digest
                yield path, file
    yield from _shared(cache, sought.values())


def _shared(cache: HubCache, sought: Iterable[RemoteFile]) -> Iterator[tuple[Path, RemoteFile]]:
    """Entries of huggingface_hub's store of blobs shared by all repositories."""
    name, content = _STORE_MARKER
    marker = cache.shared_store / name
    with suppress(OSError):
        if marker.is_symlink() or marker.read_bytes() != content:
            return
        for file in sought:
            if file.xet_hash and _XET_HASH.fullmatch(file.xet_hash):
                yield cache.shared_store / file.xet_hash[:2] / file.xet_hash, file


def _children(folder: Path) -> list[Path]:
    """Entries in order of name, so that two runs find the same; none if it is no readable folder."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(path: Path) -> int | None:
    """Size of a regular file or of what a link leads to; None for anything else."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _lstat(path: Path) -> stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
