"""The incomplete file: bytes written once, in place, at their offsets, by several threads.

Decides nothing about which bytes; it guards the descriptor. A close while a thread still writes
takes effect when that thread is out, because the number of a closed descriptor soon names another
file. A part file that somebody deleted is brought back from the open descriptor.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Self

from chunkdl import disk
from chunkdl.errors import StoreBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Nothing that we wait for takes this long on a healthy disk; then the mount is dead, and we say so.
_QUIET_LIMIT_S = 60.0


class PartFile:
    """An open part file of a known size; every method may be called from any thread.

    Threads may read and write at once as long as their ranges are distinct. All methods raise
    ``StoreError`` if storage refuses and ``ValueError`` after ``close``.
    """

    def __init__(self, path: Path, fd: int, size: int) -> None:
        """Own ``fd``; use ``open``."""
        self.path = path
        self.size = size
        self._fd = fd
        self._calls = 0
        self._moving = False
        self._closed = False
        self._turn = Condition()

    @classmethod
    def open(cls, path: Path, size: int) -> Self:
        """Open or create the file at ``path`` with exactly ``size`` bytes, the missing ones a hole.

        By ftruncate: posix_fallocate makes glibc write every block on NFS and Lustre.
        """
        with disk.store_errors(path):
            fd = disk.open_part(path)
            try:
                if os.fstat(fd).st_size != size:
                    os.ftruncate(fd, size)
            except OSError:
                os.close(fd)
                raise
        return cls(path, fd, size)

    def __repr__(self) -> str:
        """The name, its size and whether it is open."""
        return f"<PartFile {self.path.name} {self.size} bytes {'closed' if self._closed else f'fd {self._fd}'}>"

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def fd(self) -> int:
        """The descriptor, for placement; stays the same after ``rescue``, and is ours to close."""
        if self._closed:
            raise ValueError(f"part file is closed: {self.path}")
        return self._fd

    @contextmanager
    def _in_use(self) -> Iterator[int]:
        with self._turn:
            self._await(lambda: not self._moving)
            fd = self.fd
            self._calls += 1
        try:
            with disk.store_errors(self.path):
                yield fd
        finally:
            with self._turn:
                self._calls -= 1
                self._left()

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Nobody else inside, and nobody comes in."""
        with self._turn:
            self._await(lambda: not self._moving)
            fd = self.fd
            self._moving = True
        try:
            with self._turn:
                self._await(lambda: not self._calls)
            yield fd
        finally:
            with self._turn:
                self._moving = False
                self._left()

    def _await(self, condition: Callable[[], bool]) -> None:
        if not self._turn.wait_for(condition, timeout=_QUIET_LIMIT_S):
            raise StoreBroken(f"storage hangs at {self.path}", hint="check the disk or mount that holds it")

    def _left(self) -> None:
        self._turn.notify_all()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closed and not self._calls and not self._moving:
            with disk.store_errors(self.path):  # network file systems say so late that what was written found no room
                os.close(self._fd)

    def write_at(self, view: disk.BytesLike, offset: int) -> None:
        """Store all of ``view`` at ``offset``; ``ValueError`` if it does not lie inside the file."""
        if not 0 <= offset <= self.size - len(view):
            raise ValueError(f"write outside of {self.path.name}: {len(view)} bytes at {offset} of {self.size}")
        with self._in_use() as fd:
            disk.write_all(fd, view, offset)

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from ``offset``; returns the bytes read, fewer only at the end of the file."""
        with self._in_use() as fd:
            return disk.read_into(fd, view, offset)

    def sync(self) -> None:
        """Make bytes and length survive a power cut."""
        with self._in_use() as fd:
            disk.fsync_file(fd)

    def sync_data(self) -> None:
        """Write back what is dirty and wait for it, so that the final sync is short."""
        with self._in_use() as fd:
            disk.sync_data(fd)

    def vanished(self) -> bool:
        """True if the file has lost its name, as after ``hf cache rm`` beside us; its bytes are still here.

        NFS keeps a deleted open file under another name, so the link count alone does not tell.
        """
        with self._in_use() as fd:
            return os.fstat(fd).st_nlink == 0 or not os.path.lexists(self.path)

    def rescue(self, path: Path) -> None:
        """Bring the bytes back under ``path`` (a folder that went too is made again), in a file of their own.

        Waits for the writes under way; later ones, and ``fd``, mean the new file. Also the way to get
        away from an inode that a former owner might still write to.
        """
        with self._alone() as fd, disk.store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with disk.replacing(path, sync=False) as fresh:
                disk.clone_or_copy(fd, fresh)
                os.dup2(fresh, fd, inheritable=False)
            self.path = path

    def close(self) -> None:
        """Close the descriptor, or let the last thread inside do so; calling twice is harmless, after an error too."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._close_if_unused()
