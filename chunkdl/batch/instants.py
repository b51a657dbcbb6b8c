"""Times as people write them: ``2026-11-25 07:00``, ``yesterday``, ``12h``.

Decides what they mean for an instant, given now and a time zone. Pure.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from chunkdl.core.windows import DAYS
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from datetime import tzinfo

_HINT = "write 2026-11-25 07:00, or with an offset 2026-11-25T07:00+08:00"
_AGO = re.compile(r"(\d{1,5})\s*([mhdw])", re.IGNORECASE)
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# Far enough from both ends of the calendar that every zone can spell every instant.
_YEARS = range(1971, 9000)
_DAYS_AGO = {"today": 0, "yesterday": 1}
_SINCE_HINT = "write yesterday, today, 2026-11-21, '2026-11-21 22:00', 12h, 3d or 1w"


def instant_of(said: str | date, zone: tzinfo) -> float:
    """Seconds since the epoch; a day alone is its 00:00, and what has no offset is by the clock of ``zone``.

    Raises:
        UsageError: it is no date and time.
    """
    try:
        when = datetime.fromisoformat(said.strip()) if isinstance(said, str) else said
        if not isinstance(when, datetime):
            when = datetime.combine(when, time())
    except ValueError as error:
        raise UsageError(f"{said!r} is no date and time", hint=_HINT) from error
    if when.year not in _YEARS:
        raise UsageError(f"{said!r} is no date and time that anybody means", hint=_HINT)
    return (when if when.tzinfo else when.replace(tzinfo=zone)).timestamp()


def since(text: str, now: float, zone: tzinfo) -> float:
    """When a report begins: a day, a time, or so long ago; seconds since the epoch.

    Raises:
        UsageError: it is none of these, or still to come.
    """
    word = text.strip().lower()
    ago = _AGO.fullmatch(word)
    if ago:
        return max(0.0, now - int(ago[1]) * _UNITS_S[ago[2]])
    if word in _DAYS_AGO:
        day = datetime.fromtimestamp(now, zone).date() - timedelta(days=_DAYS_AGO[word])
        return instant_of(day, zone)
    try:
        found = instant_of(text, zone)
    except UsageError as error:
        raise UsageError(f"--since: {text!r} is no time", hint=_SINCE_HINT) from error
    if found > now:
        raise UsageError(f"--since: {text} is still to come", hint=_SINCE_HINT)
    return found


def spell_instant(instant: float, zone: tzinfo) -> str:
    """``2026-11-25 07:00`` by the clock of ``zone``."""
    return datetime.fromtimestamp(instant, zone).strftime("%Y-%m-%d %H:%M")


def spell_near(instant: float, now: float, zone: tzinfo) -> str:
    """``07:00`` today, ``Wed 07:00`` within six days before or after, else the date too."""
    when, today = datetime.fromtimestamp(instant, zone), datetime.fromtimestamp(now, zone).date()
    days = abs((when.date() - today).days)
    if days == 0:
        return when.strftime("%H:%M")
    return f"{DAYS[when.weekday()]} {when:%H:%M}" if days < len(DAYS) else spell_instant(instant, zone)
