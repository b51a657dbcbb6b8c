"""When bytes may flow: windows of the week by the wall clock, as ``Mon-Fri 22:30-07:00``.

Decides what such a text means and refuses what means nothing. Deliberately decides nothing about what happens to a
download when its window closes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chunkdl.core.week_schedule import DAY_MINUTES, WEEK_MINUTES, WeekSchedule
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HINT = 'write "Mon-Fri 22:30-07:00", "Sat,Sun 00:00-24:00" or "01:00-06:00" for every day'
_WINDOW = re.compile(r"(?:(?P<days>\S+)\s+)?(?P<start>\S+?)\s*-\s*(?P<stop>\d\S*)")
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")


def parse_windows(texts: Sequence[str], zone: tzinfo) -> WeekSchedule[bool]:
    """The schedule that is True inside any of ``texts``; none at all means always.

    A window that ends before it starts goes on into the next day, and belongs to the day on which it starts.
    Windows may overlap: what one opens no other closes.

    Raises:
        UsageError: a text is no window, or one that is never open.
    """
    if not texts:
        return WeekSchedule((0,), (True,), zone)
    spans = [span for text in texts for span in _spans(text)]
    edges = sorted({0, *(edge % WEEK_MINUTES for span in spans for edge in span)})
    opened = [_is_open(minute, spans) for minute in edges]
    kept = [at for at in range(len(edges)) if at == 0 or opened[at] != opened[at - 1]]
    return WeekSchedule(tuple(edges[at] for at in kept), tuple(opened[at] for at in kept), zone)


def _is_open(minute: int, spans: Sequence[tuple[int, int]]) -> bool:
    """A span that begins on Sunday may end in the week that follows."""
    return any(start <= each < stop for start, stop in spans for each in (minute, minute + WEEK_MINUTES))


def _spans(text: str) -> list[tuple[int, int]]:
    """Half-open minutes since Monday 00:00, one span for each day that the window begins on."""
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a window: {text!r}", hint=_HINT)
    start, stop = parse_time(match["start"], text), parse_time(match["stop"], text)
    if start in {stop, DAY_MINUTES}:
        raise UsageError(f"the window {text!r} is never open", hint="a whole day is 00:00-24:00")
    length = stop - start if stop > start else stop + DAY_MINUTES - start
    days = parse_days(match["days"], text) if match["days"] else range(len(DAYS))
    return [(day * DAY_MINUTES + start, day * DAY_MINUTES + start + length) for day in days]


def parse_time(text: str, whole: str) -> int:
    """Minutes since midnight of ``22:30``; 24:00 is the end of the day. ``whole`` is what errors show."""
    match = _TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minutes <= DAY_MINUTES:
        raise UsageError(f"{text!r} in {whole!r} is no time of the day", hint=_HINT)
    return minutes


def parse_days(text: str, whole: str) -> tuple[int, ...]:
    """Days from 0 = Monday of ``Mon-Fri``, ``Sat,Sun`` or ``Fri-Mon,Wed``, in the order of the week."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start, stop = _day(first, whole), _day(last if dash else first, whole)
        found.update((start + step) % len(DAYS) for step in range((stop - start) % len(DAYS) + 1))
    return tuple(sorted(found))


def _day(text: str, whole: str) -> int:
    """English names in any case, short or whole."""
    name = text.strip().lower()
    whole_names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    found = [at for at, each in enumerate(whole_names) if name in {each, each[:3]}]
    if not found:
        raise UsageError(f"{text!r} in {whole!r} is no day of the week", hint=f"known: {', '.join(DAYS)}")
    return found[0]
