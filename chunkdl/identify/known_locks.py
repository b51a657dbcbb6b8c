"""Which lock files there are, as far as `chunkdl lock` wrote them down: whoever prunes caches keeps what they name.

Decides the list's form and place. Deliberately does not read the lock files themselves.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from chunkdl.disk import replacing, store_errors, write_all
from chunkdl.errors import ChunkdlError, UsageError

# In the state folder: a JSON list of absolute paths.
KNOWN_LOCKS = "locks.json"
_MAX_BYTES = 16 << 20  # some 100,000 paths


def known_locks(state_dir: Path) -> tuple[Path, ...]:
    """The known lock files that still exist.

    Raises:
        UsageError: the list is no list. StoreError: it cannot be read.
    """
    path = state_dir / KNOWN_LOCKS
    with store_errors(path):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            return ()
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UsageError(
            f"{path}: not a list of lock files", hint="remove it, and run chunkdl lock again where you use it"
        )
    return tuple(each for each in map(Path, found) if each.exists())


def remember_lock(state_dir: Path, path: Path) -> None:
    """Write down that ``path`` is a lock file; where that fails, the lock is as good, but a prune may not heed it."""
    with suppress(ChunkdlError), store_errors(state_dir):
        known = {str(each) for each in known_locks(state_dir)}
        if str(path.absolute()) not in known:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(state_dir / KNOWN_LOCKS) as fd:
                write_all(fd, json.dumps(sorted({*known, str(path.absolute())}), indent=1).encode(), 0)
