"""What killed or interrupted processes left in the state folder: half-made files, flights that nobody went on with.

Decides what nobody can need any more. A flight's owner file without its process is the heir's sign that the work is
not done, so it stays while anybody may still be waiting for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.staging import sweep
from chunkdl.errors import StoreError
from chunkdl.file_clock import now_in
from chunkdl.transfer.ownership import Owned, Ownership

if TYPE_CHECKING:
    from collections.abc import Iterator

# Who waits looks each half second; an hour later nobody does.
_FORGOTTEN_AFTER_S = 3600.0


def tidy_state(state_dir: Path, flights: Path) -> None:
    """Sweep ``state_dir`` with its folders, and ``flights``, the folder of one origin. Blocking; never fails."""
    with suppress(OSError):
        for folder in (state_dir, *filter(Path.is_dir, state_dir.iterdir()), flights):
            sweep(folder)
    with suppress(OSError, StoreError):
        for path in _forgotten(flights):
            owned = Ownership.acquire(path, time.monotonic)
            if isinstance(owned, Owned):
                owned.release()


def _forgotten(flights: Path) -> Iterator[Path]:
    found = {path: path.stat().st_mtime for path in flights.glob("flight-*.owner")}
    if found:
        now = now_in(flights)
        yield from sorted(path for path, written in found.items() if now - written > _FORGOTTEN_AFTER_S)
