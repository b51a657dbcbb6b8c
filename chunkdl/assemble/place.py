"""Proven bytes become blobs of the Hugging Face cache; what stands under a final name is whole and true.

Only functions that take or make a ``Verified`` create a final file. Decides what happens when the
name is taken: by a link into huggingface_hub's shared store (the link is replaced, never written
through), by somebody's equal blob (success), by anything that hinders (a ``StoreError``).
Deliberately does not know where bytes come from, and fsyncs no folder: ``place_snapshot`` does that
once for all blobs, before the first link.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.digests import hash_file
from chunkdl.assemble.snapshot import place_snapshot, placement_notices
from chunkdl.assemble.staging import put_file, staging, write_new
from chunkdl.disk import SourceUnreadable, clone_or_copy, create_new, fsync_file, replace, store_errors
from chunkdl.errors import StoreBroken, StoreError
from chunkdl.second_name import link_or_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chunkdl.assemble.layout import HubCache, RepoFolder
    from chunkdl.model import Digest, Verified

__all__ = ["commit_blob", "place_small", "place_snapshot", "placement_notices", "prepare", "reuse_blob"]

# Byte for byte what huggingface_hub 2.4 writes (``_local_folder.py``), so that both may come first.
CACHEDIR_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by huggingface_hub.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)


def prepare(cache: HubCache, repo: RepoFolder) -> None:
    """Make the folders that a transfer needs; existing ones stay as they are.

    ``snapshots/`` comes first and stays empty until the end: a repository folder without one is
    corrupt to huggingface_hub's scanner, and one with a commit but without a ref falls to its prune.
    Modes are what the umask leaves, and a parent's setgid bit is inherited.

    Raises:
        StoreError: a folder can neither be made nor used.
    """
    with store_errors(repo.path):
        repo.snapshots.mkdir(parents=True, exist_ok=True)
        repo.blobs.mkdir(exist_ok=True)
    if not cache.tag.exists():
        with suppress(OSError):  # a courtesy to backup programs, as in huggingface_hub
            put_file(cache.tag, CACHEDIR_TAG, stage_in=repo.blobs)


def commit_blob(part_fd: int, part_path: Path, verified: Verified, blob_path: Path) -> None:
    """Give a part file its final name, through the descriptor that its bytes were proven with.

    If the part file lost its name meanwhile (``hf cache rm``, another process that took over), the
    bytes are saved through the descriptor, unless an equal blob stands there by now. Blocking: takes
    as long as the disk needs for what was not yet written back.

    Raises:
        StoreError: the bytes could not be synced, renamed or saved.
    """
    with store_errors(blob_path):
        fsync_file(part_fd)
        mine = os.fstat(part_fd)
        if mine.st_size != verified.size:
            raise StoreBroken(
                f"{part_path} has {mine.st_size} bytes instead of the {verified.size} that were proven",
                hint="another program writes to the cache; run the same command again",
            )
        if _is(part_path, mine):
            _install(part_path, verified, blob_path)
        elif not _is(blob_path, mine):
            _save(part_fd, verified, blob_path)


def place_small(data: bytes | bytearray | memoryview, verified: Verified, blob_path: Path) -> None:
    """Write a content that was received and proven in memory.

    Raises:
        StoreError: it could not be written; nothing is left behind.
        ValueError: ``verified`` is about another size.
    """
    if len(data) != verified.size:
        raise ValueError(f"{len(data)} bytes are not the {verified.size} that were proven")
    with store_errors(blob_path):
        blob_path.parent.mkdir(parents=True, exist_ok=True)
        with staging(blob_path.parent) as new:
            write_new(new, data)
            _install(new, verified, blob_path)


def reuse_blob(
    src: Path,
    digest: Digest,
    size: int,
    blob_path: Path,
    on_bytes: Callable[[int], None] | None = None,
    take: Callable[[Path, Path], object] = link_or_copy,
) -> Verified | None:
    """Take over a file that should hold ``digest``: hard link, else reflink, else copy, or as ``take`` says.

    The new name is made first and *its* bytes are hashed, so that what was proven is what is placed.
    ``on_bytes`` hears of the hashing and may raise to stop it.

    Returns:
        The proof, or None if the file is gone, unreadable or wrong: then the bytes must be fetched.

    Raises:
        StoreError: our side of the copy failed.
    """
    if not os.access(src, os.R_OK):
        return None
    with store_errors(blob_path):
        blob_path.parent.mkdir(parents=True, exist_ok=True)
        with staging(blob_path.parent) as new:
            try:
                take(src, new)
            except (FileNotFoundError, SourceUnreadable):  # cleaned away since it was seen, or on a bad sector
                return None
            verified = _proof(new, digest, size, on_bytes)
            if verified is not None:
                _sync(new)
                _install(new, verified, blob_path)
            return verified


def _sync(path: Path) -> None:
    """What was linked may be seconds old and in memory alone: huggingface_hub syncs none of its files."""
    if os.name != "nt":  # there it takes a descriptor that may write
        with path.open("rb") as file:
            fsync_file(file.fileno())


def _install(new: Path, verified: Verified, blob_path: Path) -> None:
    """Rename over whatever is there; where that is refused, an equal blob already there is success."""
    try:
        blob_path.parent.mkdir(parents=True, exist_ok=True)
        replace(new, blob_path)  # replaces a link, never follows it
    except OSError:  # some FUSE and SMB mounts, or Windows while a reader has the old blob open
        if _proof(blob_path, verified.digest, verified.size) is None:
            raise
        new.unlink(missing_ok=True)


def _save(part_fd: int, verified: Verified, blob_path: Path) -> None:
    if _proof(blob_path, verified.digest, verified.size) is not None:
        return
    blob_path.parent.mkdir(parents=True, exist_ok=True)
    with staging(blob_path.parent) as new:
        fd = create_new(new)
        try:
            clone_or_copy(part_fd, fd)
            fsync_file(fd)
        finally:
            os.close(fd)
        _install(new, verified, blob_path)


def _proof(path: Path, digest: Digest, size: int, on_bytes: Callable[[int], None] | None = None) -> Verified | None:
    """Hash a file that need not be there; one that cannot be read proves nothing."""
    try:
        return hash_file(path, digest, size, on_bytes)
    except StoreError:
        return None


def _is(path: Path, status: os.stat_result) -> bool:
    """True if ``path`` itself, not what a link points to, is that very file."""
    try:
        return os.path.samestat(path.lstat(), status)
    except OSError:
        return False
