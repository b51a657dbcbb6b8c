"""A clock that stands still while this process does: stopped by Ctrl-Z or SIGSTOP, swapped out, its machine asleep.

Decides what time a mirror is answerable for. A run reads its clock at least ten times a second; where two readings
are seconds apart nobody was there to take bytes, and neither a deadline nor a rate may count that against a host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Twenty beats missed. Far above what a loaded machine does to an event loop, below every limit of a stall (5 s).
GAP_S = 2.0
# A gap counts as one beat: the time between two readings that a run can see.
_BEAT_S = 0.1


class AwakeClock:
    """Monotonic seconds without the gaps; for the event loop's thread alone, and while the run's pulse beats."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is monotonic seconds that may jump ahead."""
        self._clock = clock
        self._last = clock()
        self._asleep_s = 0.0

    @property
    def asleep_s(self) -> float:
        """Seconds slept through so far: what differs from an earlier reading spans a sleep."""
        self()
        return self._asleep_s

    def __call__(self) -> float:
        """Seconds that we were awake, from an arbitrary beginning."""
        now = self._clock()
        gap_s, self._last = now - self._last, now
        if gap_s > GAP_S:
            self._asleep_s += gap_s - _BEAT_S
        return now - self._asleep_s
