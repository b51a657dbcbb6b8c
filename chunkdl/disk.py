"""Files as the operating systems really offer them: the one module that knows how they differ.

Decides how to write at an offset, sync, rename, link and measure on Linux, macOS and Windows, and
what a failing call means for the user. Deliberately does not know what the files hold.

Functions raise plain ``OSError``; callers put ``store_errors`` around a whole step, so that what is
reported names the file that the user knows. Primitives that some system lacks are arguments with
native defaults: the contract tests pass the fallbacks of macOS and Windows on Linux.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import threading
import time
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.at_work import at_work
from chunkdl.errors import DiskFull, StoreBroken, StoreDenied
from chunkdl.process_identity import stamp
from chunkdl.sparse import data_extents
from chunkdl.still_wanted import check_wanted

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    BytesLike = bytes | bytearray | memoryview
    WriteAt = Callable[[int, BytesLike, int], int]
    ReadAt = Callable[[int, memoryview, int], int]

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})

# Every new file asks for rw for all and gets what the umask leaves, as a shared cache needs.
_MODE = 0o666
_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

# Suffix of what is written before it is renamed; a file left by a killed process is known by it.
NEW_SUFFIX = ".chunkdl-new"
# What ``new_name`` adds at most: eight digits, and the two numbers of a stamp at their longest (2**32 processes, which
# is more than any system has, and 2**64 ticks).
NEW_NAME_BYTES = len(f".{8 * 'f'}.{8 * 'f'}-{2**32}-{2**64}{NEW_SUFFIX}")

# Virus scanners and indexers hold a file for some tens of milliseconds: 10 tries from 5 ms, doubling
# up to 0.5 s, wait 2.1 s together. pip and npm use the same order of time.
_REPLACE_TRIES = 10
_REPLACE_FIRST_WAIT_S = 0.005
_REPLACE_MAX_WAIT_S = 0.5
_SHARING_WINERRORS = frozenset({5, 32, 33})  # access denied, sharing violation, lock violation

# linux/fs.h: _IOW(0x94, 9, int). Where the encoding differs the call fails and we copy.
_FICLONE = 0x40049409
# One buffer of a copy by hand: large enough that calls cost nothing, small beside the memory goal.
_COPY_BYTES = 1 << 20
# One call of the kernel's own copying, which cannot be stopped: half a second of a slow disk.
_COPY_STEP_BYTES = 64 << 20


@contextmanager
def store_errors(path: Path, file: str | None = None) -> Iterator[None]:
    """Turn ``OSError`` into the branch of ``StoreError`` that says what the user can do.

    Args:
        path: what was being touched, for the message.
        file: repository path of the file it belongs to, for reports.

    Raises:
        DiskFull: ENOSPC, EDQUOT. StoreDenied: EROFS, EACCES, EPERM. StoreBroken: everything else.
    """
    try:
        with at_work(path):
            yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _FULL:
            hint = "free some space or quota and run the same command again: what is stored stays"
            raise DiskFull(f"cannot store {path}: {why}", hint=hint, file=file) from error
        if error.errno in _DENIED:
            hint = "check owner and permissions, or choose another folder with --cache-dir or --local-dir"
            raise StoreDenied(f"not allowed to use {path}: {why}", hint=hint, file=file) from error
        hint = "check the disk or mount, or choose another folder with --cache-dir or --local-dir"
        if error.errno in _TOO_MANY:
            hint = "allow this process more open files (ulimit -n 1024) and run the same command again"
        raise StoreBroken(f"storage failed at {path}: {why}", hint=hint, file=file) from error


_seek_turn = threading.Lock()  # the position of a descriptor is shared by all threads


def seek_and_write(fd: int, view: BytesLike, offset: int) -> int:
    """Write at ``offset`` where the system has no positional write (Windows); returns bytes written."""
    with _seek_turn:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, view)


def seek_and_read(fd: int, view: memoryview, offset: int) -> int:
    """Read at ``offset`` where the system has no positional read (Windows); returns bytes read."""
    with _seek_turn:
        os.lseek(fd, offset, os.SEEK_SET)
        data = os.read(fd, len(view))
    view[: len(data)] = data
    return len(data)


def _pread_into(fd: int, view: memoryview, offset: int) -> int:
    return os.preadv(fd, [view], offset)


_WRITE_AT: WriteAt = os.pwrite if hasattr(os, "pwrite") else seek_and_write
_READ_AT: ReadAt = _pread_into if hasattr(os, "preadv") else seek_and_read


def write_all(fd: int, view: BytesLike, offset: int, *, write_at: WriteAt = _WRITE_AT) -> None:
    """Write all of ``view`` at ``offset``; safe from several threads. ``OSError`` if not all fits."""
    left = memoryview(view)
    while left:
        written = write_at(fd, left, offset)
        if written <= 0:  # no system should; without this line a broken one would spin us
            raise OSError(errno.EIO, "a write made no progress")
        left, offset = left[written:], offset + written


def read_into(fd: int, view: memoryview, offset: int, *, read_at: ReadAt = _READ_AT) -> int:
    """Fill ``view`` from ``offset`` on; returns the bytes read, fewer only at the end of the file."""
    done = 0
    while done < len(view):
        got = read_at(fd, view[done:], offset + done)
        if got == 0:
            break
        done += got
    return done


_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None) if sys.platform != "win32" else None


def fsync_file(fd: int, *, full: int | None = _FULL_SYNC) -> None:
    """Make a file's bytes and length survive a power cut; on macOS that takes the command F_FULLFSYNC."""
    if full is not None and sys.platform != "win32":
        with suppress(OSError):  # network mounts refuse it; fsync is what they have
            fcntl.fcntl(fd, full)
            return
    os.fsync(fd)


_SYNC_DATA: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def sync_data(fd: int, *, fdatasync: Callable[[int], None] = _SYNC_DATA) -> None:
    """Start and await write-back of a file's bytes, leaving times alone where the system can."""
    fdatasync(fd)


def fsync_folder(path: Path) -> None:
    """Make names in a folder survive a power cut; nothing where folders cannot be synced."""
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _SAFE & ~os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some FUSE and SMB mounts
            raise
    finally:
        os.close(fd)


def replace(
    src: Path,
    dst: Path,
    *,
    rename: Callable[[Path, Path], None] = os.replace,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Rename over whatever is at ``dst``, atomically.

    Windows refuses while anybody has either file open: retried with growing pauses, about 2 s in all.
    """
    wait_s = _REPLACE_FIRST_WAIT_S
    for _ in range(_REPLACE_TRIES - 1):
        try:
            return rename(src, dst)
        except OSError as error:
            if getattr(error, "winerror", None) not in _SHARING_WINERRORS:
                raise
        sleep(wait_s)
        wait_s = min(2 * wait_s, _REPLACE_MAX_WAIT_S)
    return rename(src, dst)


def open_part(path: Path) -> int:
    """Open or create a file for reading and writing in place; returns a descriptor.

    Never through a link, never anything but a regular file, and never one that has a second name: a
    hard link made by a backup (``cp -al``) or by somebody else is left alone, and we start a new file.
    """
    for _ in range(3):  # a second name appearing twice in a row is no accident
        fd = _open_regular(path)
        if os.fstat(fd).st_nlink <= 1:
            return fd
        os.close(fd)
        path.unlink(missing_ok=True)
    raise OSError(errno.EPERM, "somebody keeps linking this file")


def _open_regular(path: Path) -> int:
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise OSError(errno.ELOOP, "is a symbolic link")
    fd = _open_own(path, os.O_RDWR | os.O_CREAT)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EPERM, "not a regular file")
    return fd


def _open_own(path: Path, flags: int) -> int:
    """Open a file to be written; in a group's folder, one that only somebody else may write is replaced by our copy.

    Such files are left by members whose umask is the usual 022.
    """
    try:
        return os.open(path, flags | _SAFE, _MODE)
    except PermissionError:
        with suppress(PermissionError):
            _make_ours(path)
            return os.open(path, flags | _SAFE, _MODE)
        raise


def _make_ours(path: Path) -> None:
    theirs = open_to_read(path)
    try:
        with replacing(path, sync=False) as ours:
            clone_or_copy(theirs, ours)
    finally:
        os.close(theirs)


def create_new(path: Path) -> int:
    """Create a file that must not exist yet; returns a descriptor. ``FileExistsError`` otherwise."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, _MODE)


def open_existing(path: Path) -> int:
    """Open what is there for reading and writing, never through a link; returns a descriptor."""
    return os.open(path, os.O_RDWR | _SAFE)


def open_to_read(path: Path) -> int:
    """Open what is there for reading alone, never through a link; returns a descriptor."""
    return os.open(path, os.O_RDONLY | _SAFE)


def open_nofollow(path: str, flags: int) -> int:
    """An ``opener`` for ``open`` and ``aiofiles.open``: umask mode, never through a link, and ours to write."""
    return _open_own(Path(path), flags)


def new_name(path: Path) -> Path:
    """A name beside ``path`` that no other process uses, to be renamed when complete.

    It says who made it, so that what a killed process leaves is known from what a living one is at.
    """
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.{stamp()}{NEW_SUFFIX}")


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[int]:
    """Fill the descriptor; on leaving, the new file stands at ``path``, synced unless told otherwise.

    After a crash there is the old file or the new one, never a part. If filling fails nothing changes.
    """
    temporary = new_name(path)
    fd = create_new(temporary)
    try:
        try:
            yield fd
            if sync:
                fsync_file(fd)
        finally:
            os.close(fd)  # before the rename: Windows renames no open file
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: BytesLike) -> None:
    """Put ``data`` at ``path``: after a crash there is the old file or the new one, never a part."""
    with replacing(path) as fd:
        write_all(fd, data, 0)


class SourceUnreadable(OSError):
    """A copy failed where it reads: what was to be copied is broken or forbidden, the target as good as ever."""


@contextmanager
def reading_source() -> Iterator[None]:
    """Tell failures of the source from those of the target; one that is not there stays ``FileNotFoundError``."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceUnreadable(error.errno, error.strerror) from error


class Means(StrEnum):
    """How a second name for the same bytes was made."""

    LINKED = "linked"
    REFLINKED = "reflinked"
    COPIED = "copied"


def share_blocks(src_fd: int, dst_fd: int) -> None:
    """Share the blocks of ``src_fd`` copy-on-write (btrfs, XFS, bcachefs); ``OSError`` where that is not offered."""
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "no reflinks here")
    fcntl.ioctl(dst_fd, _FICLONE, src_fd)


def clone_or_copy(src_fd: int, dst_fd: int, *, clone: Callable[[int, int], None] = share_blocks) -> Means:
    """Make the empty file ``dst_fd`` equal to ``src_fd``, holes kept; works for unlinked files too."""
    with suppress(OSError):
        clone(src_fd, dst_fd)
        return Means.REFLINKED
    size = os.fstat(src_fd).st_size
    os.ftruncate(dst_fd, size)
    for start, stop in data_extents(src_fd, size):
        _copy_extent(src_fd, dst_fd, start, stop)
    return Means.COPIED


def _copy_extent(src_fd: int, dst_fd: int, start: int, stop: int) -> None:
    with suppress(OSError, AttributeError):  # not offered here, or across these two file systems
        while start < stop:
            check_wanted()
            copied = os.copy_file_range(src_fd, dst_fd, min(_COPY_STEP_BYTES, stop - start), start, start)
            if copied == 0:
                break
            start += copied
    buffer = memoryview(bytearray(min(_COPY_BYTES, stop - start)))
    while start < stop:
        check_wanted()
        with reading_source():
            got = read_into(src_fd, buffer[: stop - start], start)
        if got == 0:
            raise SourceUnreadable(errno.EIO, "the file became shorter while it was copied")
        write_all(dst_fd, buffer[:got], start)
        start += got


def free_bytes(path: Path, *, measure: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage) -> int | None:
    """Bytes that this user may still store below ``path``, which need not exist yet.

    None if the answer is no answer: some network and FUSE mounts report zeros or nonsense. Quotas
    do not show here.
    """
    for folder in (path, *path.parents):
        try:
            total, _, free = measure(folder)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return free if total > 0 and 0 <= free <= total else None
    return None
