"""One runner a queue: whoever holds the operating system's lock owns all its jobs at once.

Decides nothing about jobs. A lock of the system ends with its process, so that a restart within milliseconds goes
on; only where the file system knows no locks does an owner file with signs of life stand in for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from chunkdl.disk import store_errors
from chunkdl.errors import StoreBroken, StoreError
from chunkdl.own_folder import make_own
from chunkdl.transfer.ownership import Owned, Ownership

if TYPE_CHECKING:
    from pathlib import Path

_LOCK_FILE = "batch.lock"
_OWNER_FILE = "batch.owner"
# Whoever looks whether a runner lives holds the lock for an instant; a runner that begins just then waits so long.
_GLANCE_S = 0.5


class RunnerLock:
    """The right to run the queue in ``state_dir``. All methods block shortly."""

    def __init__(self, state_dir: Path) -> None:
        """Nothing is taken yet."""
        self._state_dir = state_dir
        self._lock = FileLock(state_dir / _LOCK_FILE, mode=0o600, thread_local=False)
        self._owned: Owned | None = None

    def acquire(self) -> None:
        """Take it, or say who has it.

        Raises:
            StoreBroken: another runner is at work.
            StoreError: the folder cannot be used.
        """
        with store_errors(self._state_dir):
            make_own(self._state_dir)
            try:
                self._lock.acquire(timeout=_GLANCE_S)
            except Timeout:
                raise _busy(self._state_dir) from None
            except NotImplementedError:  # a mount without flock
                self._own()

    def _own(self) -> None:
        found = Ownership.acquire(self._state_dir / _OWNER_FILE, time.monotonic)
        if not isinstance(found, Owned):
            raise _busy(self._state_dir)
        self._owned = found

    def show_life(self, done_jobs: int) -> None:
        """Every few seconds, where an owner file stands in: others take over from whoever is silent."""
        if self._owned is not None:
            with suppress(StoreError):
                self._owned.publish(done_jobs)

    def release(self) -> None:
        """Let another runner begin; never fails."""
        with suppress(OSError, StoreError):
            self._lock.release()
            if self._owned is not None:
                self._owned.release()


def runner_lives(state_dir: Path) -> bool:
    """Whether somebody holds the right at this moment; True where locks do not tell. Blocks shortly."""
    path = state_dir / _LOCK_FILE
    if not path.exists():
        return False
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except (Timeout, NotImplementedError, OSError):
        return True
    lock.release()
    return False


def _busy(state_dir: Path) -> StoreBroken:
    return StoreBroken(
        f"another batch runner is at work in {state_dir}",
        hint="chunkdl batch status shows what it does; jobs that are added reach it by themselves",
    )
