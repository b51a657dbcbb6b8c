"""One program run to its end, with what it cost: wall time, processor time, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# No single run of these benches takes minutes; one that does hangs.
LIMIT_S = 600.0
_LOOK_S = 0.005


@dataclass(frozen=True)
class Cost:
    """What one run took. ``ended`` is wall-clock time, to compare with a server's log."""

    wall_s: float
    cpu_s: float
    rss_bytes: int
    ended: float


def measure(command: Sequence[str], env: dict[str, str], meanwhile: Callable[[], None] = lambda: None) -> Cost:
    """Run ``command``, calling ``meanwhile`` often; a failure ends the bench with what the program said."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - began > LIMIT_S:
            process.kill()
            raise SystemExit(f"{command[0]} did not end within {LIMIT_S:.0f} s")
        meanwhile()
        time.sleep(_LOOK_S)
    ended, wall_s = time.time(), time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    process.stderr.close()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}: {said[-2000:]}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, ended)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def middle(values: Sequence[float], digits: int = 2) -> str:
    """The median, with the spread if there is more than one value."""
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"
