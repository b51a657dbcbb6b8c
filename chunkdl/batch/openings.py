"""When windows open, for schedulers that start programs by the clock: times of the day, each with its weekdays.

Decides what a start means on a machine whose clock shows another zone than the policy's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from chunkdl.core.week_schedule import DAY_MINUTES, WEEK_MINUTES
from chunkdl.core.windows import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from chunkdl.core.week_schedule import WeekSchedule

# A year and a day: every change of either clock is met.
_WEEKS = 53


@dataclass(frozen=True, slots=True, order=True)
class Opening:
    """A time of the day, in minutes since midnight, and the days on which it is one, from 0 = Monday."""

    minute: int
    days: tuple[int, ...]

    @property
    def daily(self) -> bool:
        """True if it is one on every day."""
        return len(self.days) == len(DAYS)

    @property
    def clock(self) -> str:
        """``22:30``."""
        return f"{self.minute // 60:02d}:{self.minute % 60:02d}"


def openings(windows: WeekSchedule[bool]) -> tuple[Opening, ...]:
    """When they open by their own clock; none if they are always open."""
    return _by_time(_minutes(windows))


def openings_here(windows: WeekSchedule[bool], here: tzinfo, now: float) -> tuple[Opening, ...]:
    """When they open by the clock of ``here``, for schedulers that know no other.

    Where the two clocks are changed on different days the earliest of the year's times is taken: a run that starts
    too early waits for the window, one that starts too late has lost an hour of it.
    """
    first = datetime.fromtimestamp(now, windows.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    monday = first - timedelta(days=first.weekday())
    return _by_time(_earliest(minute, monday, windows.zone, here) for minute in _minutes(windows))


def _minutes(windows: WeekSchedule[bool]) -> list[int]:
    """Minutes of the week at which something closed opens; the week goes round."""
    return [start for at, start in enumerate(windows.starts) if windows.values[at] and not windows.values[at - 1]]


def _earliest(minute: int, monday: datetime, zone: tzinfo, here: tzinfo) -> int:
    usual: int | None = None
    earliest = 0
    for week in range(_WEEKS):
        local = (monday + timedelta(weeks=week, minutes=minute)).replace(tzinfo=zone).astimezone(here)
        found = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
        usual = found if usual is None else usual
        # between half a week before and half a week after the first
        moved = (found - usual + WEEK_MINUTES // 2) % WEEK_MINUTES - WEEK_MINUTES // 2
        earliest = min(earliest, moved)
    assert usual is not None
    return (usual + earliest) % WEEK_MINUTES


def _by_time(minutes: Iterable[int]) -> tuple[Opening, ...]:
    days: dict[int, set[int]] = {}
    for each in minutes:
        days.setdefault(each % DAY_MINUTES, set()).add(each // DAY_MINUTES)
    return tuple(sorted(Opening(minute, tuple(sorted(on))) for minute, on in days.items()))
