"""What past runs taught about a mirror, as values: how it is blended, how it fades, when it is forgotten.

Decides by arithmetic alone; the clock is an argument and the file is ``memory``'s. Speeds differ by three
orders of magnitude by place and day, so what is old counts little, and nothing is held against anybody for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DAY_S = 86_400.0
# An earlier rate counts half of a new one, and half again for each day of its age: evenings repeat, weeks do not.
_RATE_KEPT = 0.5
_RATE_HALF_LIFE_S = _DAY_S
# A bad evening is forgiven within days, wrong bytes within weeks: caches heal, habits do not.
_FAILURE_HALF_LIFE_S = _DAY_S
_LIE_HALF_LIFE_S = 7 * _DAY_S
# Rates older than a week say nothing about today, entries older than a month nothing at all.
_RATE_LIFE_S = 7 * _DAY_S
_ENTRY_LIFE_S = 30 * _DAY_S
# Below this a count has faded: one failure after four days, one lie after a month.
_FADED = 0.06
# More (mirror, host, proxy) than anybody meets in a month; keeps the file at some hundred KiB.
MAX_ENTRIES = 500


@dataclass(frozen=True, slots=True, order=True)
class Way:
    """How bytes came: from which mirror (its URL), which final data host, through which proxy (empty: none)."""

    mirror: str
    host: str
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run saw of a way. ``rate_bytes_per_s`` is that of one connection, 0 if none was measured."""

    way: Way
    rate_bytes_per_s: float = 0.0
    failures: int = 0
    lies: int = 0


@dataclass(frozen=True, slots=True)
class Experience:
    """What all runs taught about a way, as of ``at`` (seconds since the epoch); counts fade, so they are floats."""

    rate_bytes_per_s: float = 0.0
    failures: float = 0.0
    lies: float = 0.0
    at: float = 0.0

    def faded(self, now: float) -> Experience:
        """The same, as much as it still counts at ``now``."""
        age_s = max(0.0, now - self.at)
        return Experience(
            self.rate_bytes_per_s if age_s < _RATE_LIFE_S else 0.0,
            _fade(self.failures, age_s, _FAILURE_HALF_LIFE_S),
            _fade(self.lies, age_s, _LIE_HALF_LIFE_S),
            self.at,
        )

    def joined(self, seen: Seen, now: float) -> Experience:
        """With what a run that ends ``now`` has seen."""
        old = self.faded(now)
        kept = _RATE_KEPT * 0.5 ** (max(0.0, now - self.at) / _RATE_HALF_LIFE_S)
        rate = old.rate_bytes_per_s or seen.rate_bytes_per_s
        if seen.rate_bytes_per_s and old.rate_bytes_per_s:
            rate = kept * old.rate_bytes_per_s + (1 - kept) * seen.rate_bytes_per_s
        return Experience(rate, old.failures + seen.failures, old.lies + seen.lies, now)


@dataclass(frozen=True, slots=True)
class Prior:
    """What a new run may start from: where the mirror led last, how fast a connection was, whether it lied."""

    host: str
    rate_bytes_per_s: float
    lied: bool


Book = dict[Way, Experience]


def _fade(count: float, age_s: float, half_life_s: float) -> float:
    faded = count * float(0.5 ** (age_s / half_life_s))
    return faded if faded >= _FADED else 0.0


def learn(book: Mapping[Way, Experience], seen: Iterable[Seen], now: float) -> Book:
    """``book`` with what a run has seen, without what is too old; the oldest go first if there are too many."""
    joined = dict(book)
    for each in seen:
        joined[each.way] = joined.get(each.way, Experience(at=now)).joined(each, now)
    living = [(way, known) for way, known in joined.items() if now - known.at < _ENTRY_LIFE_S]
    newest = sorted(living, key=lambda entry: (-entry[1].at, entry[0]))[:MAX_ENTRIES]
    return dict(sorted(newest))


def prior(book: Mapping[Way, Experience], mirror: str, proxy: str, now: float) -> Prior | None:
    """What to expect of ``mirror`` through ``proxy``: of the host that served it last with a known rate."""
    known = [(way, each.faded(now)) for way, each in book.items() if (way.mirror, way.proxy) == (mirror, proxy)]
    lied = any(each.lies for _, each in known)
    timed = [(each.at, way.host, each.rate_bytes_per_s) for way, each in known if each.rate_bytes_per_s]
    if timed:
        _, host, rate = max(timed)
        return Prior(host, rate, lied)
    return Prior("", 0.0, lied) if lied else None
