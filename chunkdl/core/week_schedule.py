"""Values that change by the wall clock, week after week: when a download window is open, which limit holds.

Decides what a local time of the week means for an instant, over midnight and over changes of the clock: what
counts is what a clock on the wall shows. An hour that the clock repeats counts twice, one that it skips does not
occur, and whatever holds at the time that follows holds at once. Deliberately knows no current time and loads no
time zone: both are arguments.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

Value = TypeVar("Value")

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
# Whatever stands in a weekly schedule is met within a week; a second one, since a change of the clock may skip it,
# and a day, since the first is under way.
_HORIZON_DAYS = 15
# Instants are whole seconds: the finest step of any time zone's rules.
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WeekSchedule(Generic[Value]):
    """A value for each minute of the local week.

    Args:
        starts: minutes since Monday 00:00 at which a value begins, increasing, the first 0.
        values: what holds from there on, as many as ``starts``.
        zone: the clock on the wall.
    """

    starts: tuple[int, ...]
    values: tuple[Value, ...]
    zone: tzinfo

    def at(self, instant: float) -> Value:
        """What holds at ``instant``, in seconds since the epoch."""
        return self._at(datetime.fromtimestamp(instant, UTC))

    def next_change(self, instant: float) -> float | None:
        """The first later instant at which another value holds, seconds since the epoch; None if none ever does."""
        now = datetime.fromtimestamp(instant, UTC)
        value = self._at(now)
        later = (each for each in self._turning_points(now) if each > now and self._at(each) != value)
        found = next(later, None)
        return None if found is None else found.timestamp()

    def _at(self, when: datetime) -> Value:
        local = when.astimezone(self.zone)
        minute = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
        return self.values[bisect_right(self.starts, minute) - 1]

    def _turning_points(self, now: datetime) -> list[datetime]:
        """Every instant, in order, at which the local time may pass a start: by running, or because it is changed."""
        midnight = now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        days = range(-1, _HORIZON_DAYS)
        starts = {each for day in days for each in self._starts_on(midnight + timedelta(days=day))}
        return sorted(starts | {each for day in days for each in self._changes(now + timedelta(days=day))})

    def _starts_on(self, midnight: datetime) -> Iterator[datetime]:
        """The starts of a local day, twice where its clock shows them twice."""
        first = midnight.weekday() * DAY_MINUTES
        for start in self.starts:
            if first <= start < first + DAY_MINUTES:
                shown = midnight + timedelta(minutes=start - first)
                for fold in (0, 1):
                    yield shown.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)

    def _changes(self, before: datetime) -> Iterator[datetime]:
        """The instant within a day after ``before`` at which the clock is changed."""
        after = before + timedelta(days=1)
        old = self._offset(before)
        if old == self._offset(after):
            return
        while after - before > _SECOND:
            middle = before + (after - before) / 2
            before, after = (middle, after) if self._offset(middle) == old else (before, middle)
        yield after.replace(microsecond=0)

    def _offset(self, when: datetime) -> timedelta | None:
        return when.astimezone(self.zone).utcoffset()
