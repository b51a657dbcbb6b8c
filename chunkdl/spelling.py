"""How sizes, rates, durations and shares are spelt for people; machines get plain numbers elsewhere.

Decides units and rounding. Sizes are binary (KiB, MiB, GiB) because ``--limit-rate 20M`` is 1024-based
too, as in curl, aria2 and rclone: a limit and the rate shown beside it must agree. Nothing is rounded
up to completion: 99.99 % is spelt 99 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_MINUTE_S = 60
_HOUR_S = 3600


def spell_bytes(count: float) -> str:
    """Three significant digits at most: ``0 B``, ``812 B``, ``4.00 KiB``, ``420 MiB``."""
    value, unit = float(count), 0
    # 999.5 would be spelt "1000": the next unit reads better and keeps columns narrow.
    while value >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004
        value, unit = value / _STEP, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1 if value >= 9.995 else 2  # noqa: PLR2004
    return f"{value:.{digits}f} {_UNITS[unit]}"


def spell_rate(bytes_per_s: float) -> str:
    """Bytes a second: ``20.0 MiB/s``."""
    return f"{spell_bytes(bytes_per_s)}/s"


def spell_duration(seconds: float) -> str:
    """Two units at most: ``0.8 s``, ``14 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds a tenth still says something
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"


def spell_share(done: int, total: int) -> str:
    """Whole percent, rounded down; nothing to do is 100 %."""
    return f"{percent(done, total)}%"


def percent(done: int, total: int) -> int:
    """``done`` of ``total`` in whole percent, rounded down and never above 100."""
    return 100 if total <= 0 else min(100, max(0, done) * 100 // total)


def spell_count(count: int, noun: str) -> str:
    """``1 file``, ``3 files``; the noun must take a plain s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """``text`` on one line without control characters: names and messages come from strangers' servers."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


def spell_reference(text: str) -> str:
    """What was typed, without what may be a secret in an address: a password, and what stands behind ``?`` or ``#``."""
    scheme, there, rest = text.partition("://")
    if not there:
        return text
    base, question, _ = rest.partition("#")[0].partition("?")
    host, slash, path = base.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if question else ''}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that a mistyped ``word`` probably means; None if none is like it."""
    from difflib import get_close_matches  # noqa: PLC0415  only who has mistyped waits for it

    return next(iter(get_close_matches(word, list(known), n=1)), None)
