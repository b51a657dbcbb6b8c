"""How fast bytes may flow at which time of the week, in rclone's notation: ``08:00,512k 12:00,10M 23:00,off``.

Decides what such a text means (rclone's documentation of ``--bwlimit``: each entry holds until the next, an entry
without a day is for every day, and before the first of the week the last one holds). Deliberately counts no bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.bandwidth import parse_rate
from chunkdl.core.week_schedule import DAY_MINUTES, WeekSchedule
from chunkdl.core.windows import DAYS, parse_days, parse_time
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from datetime import tzinfo

_HINT = 'write "10M", or a timetable such as "08:00,512k 12:00,10M 23:00,off" or "Mon-08:00,1M Sat-00:00,off"'


def parse_timetable(text: str, zone: tzinfo) -> WeekSchedule[float]:
    """Bytes a second for each minute of the week, 0.0 where there is no limit; one rate alone holds always.

    Raises:
        UsageError: no rate and no timetable; two entries for one minute; a bare number, which rclone reads as
            KiB and everybody else as bytes.
    """
    entries = text.split()
    if len(entries) == 1 and "," not in entries[0]:
        return WeekSchedule((0,), (_rate(entries[0], text),), zone)
    if not entries:
        raise UsageError("the timetable is empty", hint=_HINT)
    rates: dict[int, float] = {}
    for entry in entries:
        for minute, rate in _entry(entry, text):
            if minute in rates:
                raise UsageError(f"the timetable {text!r} has two limits for one time: {entry!r}", hint=_HINT)
            rates[minute] = rate
    if 0 not in rates:  # the week goes round
        rates[0] = rates[max(rates)]
    starts = tuple(sorted(rates))
    return WeekSchedule(starts, tuple(rates[each] for each in starts), zone)


def _entry(entry: str, whole: str) -> list[tuple[int, float]]:
    when, comma, rate = entry.partition(",")
    day, dash, clock = when.rpartition("-")
    if not comma or not clock:
        raise UsageError(f"{entry!r} in the timetable {whole!r} is no TIME,RATE", hint=_HINT)
    minute = parse_time(clock, whole)
    if minute == DAY_MINUTES:
        raise UsageError(f"{entry!r} in the timetable {whole!r}: write 00:00 of the day that follows", hint=_HINT)
    days = parse_days(day, whole) if dash else range(len(DAYS))
    return [(each * DAY_MINUTES + minute, _rate(rate, whole)) for each in days]


def _rate(text: str, whole: str) -> float:
    if ":" in text:
        raise UsageError(f"{text!r} in {whole!r}: only downloads are limited, give one rate", hint=_HINT)
    if text.replace(".", "", 1).isdecimal() and float(text):
        raise UsageError(f"{text!r} in {whole!r} has no unit: rclone means KiB, others bytes", hint=f"write {text}k")
    return parse_rate(text)
