"""Today as a bar: where the windows are open, which limit holds when, and where now is.

Decides by instants, so that a day of 23 or 25 hours is drawn as long as it is. Pure. Places are shares of the day.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from chunkdl.batch.status import zone_name
from chunkdl.spelling import spell_rate

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from chunkdl.batch.moment import Moment
    from chunkdl.core.week_schedule import WeekSchedule

Value = TypeVar("Value")

_TICK_HOURS = (0, 6, 12, 18, 24)
# A day has some changes; a timetable by the minute would have 1440, which nobody could see.
_MOST_PIECES = 300


def day_of(moment: Moment) -> dict[str, Any]:
    """The local day that ``moment`` is in."""
    zone = moment.policy.zone
    now = datetime.fromtimestamp(moment.at, zone)
    start, stop = _midnight(now.date(), zone), _midnight(now.date() + timedelta(days=1), zone)

    def share(instant: float) -> float:
        return round((instant - start) / (stop - start), 5)

    opened = [(a, b) for a, b, is_open in pieces(moment.policy.windows, start, stop) if is_open]
    limits = [(a, b, rate) for a, b, rate in pieces(moment.policy.rates, start, stop) if rate]
    return {
        "date": f"{now:%A} {now.day} {now:%B %Y}",
        "clock": f"{now:%H:%M:%S}",
        "zone": zone_name(moment.policy),
        "now": share(moment.at),
        "open": [[share(a), share(b)] for a, b in opened],
        "limits": [[share(a), share(b), spell_rate(rate)] for a, b, rate in limits],
        "ticks": [[share(_hour(now.date(), hour, zone)), f"{hour:02d}:00"] for hour in _TICK_HOURS],
        "label": "open all day" if opened == [(start, stop)] else _label(opened, stop, zone),
    }


def pieces(schedule: WeekSchedule[Value], start: float, stop: float) -> list[tuple[float, float, Value]]:
    """The stretches between two instants in which one value holds."""
    found: list[tuple[float, float, Value]] = []
    at = start
    while at < stop and len(found) < _MOST_PIECES:
        change = schedule.next_change(at)
        until = stop if change is None else min(change, stop)
        found.append((at, until, schedule.at(at)))
        at = until
    return found


def _midnight(day: date, zone: tzinfo) -> float:
    return datetime.combine(day, time(), zone).timestamp()


def _hour(day: date, hour: int, zone: tzinfo) -> float:
    return (datetime.combine(day, time(), zone) + timedelta(hours=hour)).timestamp()


def _label(opened: list[tuple[float, float]], stop: float, zone: tzinfo) -> str:
    """The bar in words."""
    said = [f"{_clock(a, zone)} to {'24:00' if b == stop else _clock(b, zone)}" for a, b in opened]
    return f"open today {', '.join(said)}" if said else "closed all day"


def _clock(instant: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(instant, zone).strftime("%H:%M")
