"""Which lock files there are, as far as `chunkdl lock` wrote them down: whoever prunes caches keeps what they name.

Decides the list's form and place. Deliberately does not read the lock files themselves, and forgets none that it does
not see: the disk that it is on may be mounted again tomorrow.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from chunkdl.disk import store_errors, write_atomically
from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.own_folder import make_own

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the state folder: a JSON list of absolute paths, and what two that add to it take turns by.
KNOWN_LOCKS = "locks.json"
_TURN = "locks.lock"
# Reading and writing a small file takes milliseconds; whoever holds its turn for longer is stopped or on a dead mount.
_TURN_S = 5.0
_MAX_BYTES = 16 << 20  # some 100,000 paths


def known_locks(state_dir: Path) -> tuple[Path, ...]:
    """The known lock files that are there at this moment.

    Raises:
        UsageError: the list is no list. StoreError: it, or a lock file's folder, cannot be read.
    """
    found = []
    for each in map(Path, _recorded(state_dir)):
        with store_errors(each):
            if each.exists():
                found.append(each)
    return tuple(found)


def remember_lock(state_dir: Path, path: Path) -> None:
    """Write down that ``path`` is a lock file; where that fails, the lock is as good, but a prune may not heed it."""
    with suppress(ChunkdlError), store_errors(state_dir):
        make_own(state_dir)
        with _turn(state_dir):
            known = set(_recorded(state_dir))
            if str(path.absolute()) not in known:
                listed = json.dumps(sorted({*known, str(path.absolute())}), indent=1)
                write_atomically(state_dir / KNOWN_LOCKS, listed.encode())


@contextmanager
def _turn(state_dir: Path) -> Iterator[None]:
    """One after the other adds to the list; where that cannot be had, to add is still better than not to."""
    turn = FileLock(state_dir / _TURN, mode=0o600)
    with suppress(Timeout, NotImplementedError):  # the latter on a mount without locks
        turn.acquire(timeout=_TURN_S)
    try:
        yield
    finally:
        turn.release()


def _recorded(state_dir: Path) -> list[str]:
    """All that were ever written down, there or not."""
    path = state_dir / KNOWN_LOCKS
    with store_errors(path):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return []
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UsageError(
            f"{path}: not a list of lock files", hint="remove it, and run chunkdl lock again where you use it"
        )
    return found
