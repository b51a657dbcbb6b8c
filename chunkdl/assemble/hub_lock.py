"""huggingface_hub's own lock on a blob, taken while we fetch or place it: a courtesy, never a guarantee.

A ``from_pretrained`` that starts beside us then waits instead of fetching the same bytes. Same
library, path and mode as ``WeakFileLock`` of huggingface_hub 2.4. Deliberately decides nothing about
correctness: on Lustre, GPFS and some NFS everybody "gets" the lock, and ownership of part files is
``transfer.ownership``'s.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

# huggingface_hub creates its locks so that a group that shares a cache can wait for each other.
_MODE = 0o664
# How often filelock looks again while it waits, seconds: its default of 0.05 is for short sections.
_POLL_S = 0.2


class HubLock:
    """The lock of one blob; usable from any thread, but not reentrant.

    As a context manager it tries once, never waits, and goes on without the lock if another has it.
    """

    def __init__(self, path: Path, *, mode: int = _MODE) -> None:
        self._path = path
        self._mode = mode
        self._lock: FileLock | None = None

    @property
    def held(self) -> bool:
        """True between a successful ``acquire`` and ``release``."""
        return self._lock is not None

    def acquire(self, wait_s: float = 0.0) -> bool:
        """Try for at most ``wait_s`` seconds (blocking); False if another holds it or locks do not work here."""
        if self._lock is not None:
            return True
        lock = FileLock(self._path, mode=self._mode, thread_local=False)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=max(0.0, wait_s), poll_interval=_POLL_S)
        except (Timeout, OSError, NotImplementedError):  # held, read-only cache, or a mount without flock
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Let others in; the file stays, as huggingface_hub leaves it. Never fails."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):
                lock.release()

    def __enter__(self) -> HubLock:  # noqa: PYI034  # no subclasses
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """True if another process holds the lock at ``path`` now; makes no lock file; False where locks do not work."""
    if not path.exists():
        return False
    lock = FileLock(path, mode=_MODE, thread_local=False)
    try:
        lock.acquire(timeout=0.0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # read-only, or a mount without flock: nobody can hold it there
        return False
    lock.release()
    return False
