"""What time it is for files: the clock that stamps them, on network mounts the server's, not ours.

Decides nothing; ages of files that other processes wrote are told by it alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chunkdl.disk import create_new, new_name

if TYPE_CHECKING:
    from pathlib import Path


def now_in(folder: Path) -> float:
    """Seconds since the epoch by the clock that stamps files in ``folder``, asked by making one; or ``OSError``."""
    probe = new_name(folder / "clock")
    fd = create_new(probe)
    try:
        return os.fstat(fd).st_mtime
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
