"""What measuring a mirror yields, and the few statistics made of it. Pure: times are arguments, units are seconds.

Decides how figures are summed up (medians over rounds, so that one hiccup is no verdict). Deliberately does not
judge: that is ``ranking``.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chunkdl.mirrors.holding import Holding
    from chunkdl.model import Mirror

# Loopback delivers a sample within one tick of the clock: no rate is computed over less than this.
_LEAST_S = 1e-3
# A sample that our own bounds cut short says nothing: less than this came at once out of buffers and initial
# windows (10 segments a connection, RFC 6928), unless it took its time.
_TELLING_BYTES = 64 << 10
_TELLING_S = 0.25
# The first quarter of a sample is not timed: TCP starts slowly, and what waits in buffers comes at once.
_UNTIMED_SHARE = 0.25
# Three quarters of the bytes in less than this part of the time: connections told of them at one moment, at the
# end, so that the marks say nothing of when they came.
_COARSE_SHARE = 0.25

Mark = tuple[float, int]  # a moment, and how many bytes had come by then


@dataclass(frozen=True, slots=True)
class Exchange:
    """One range request; its times are monotonic, and ``answered_at`` None means no answer.

    ``marks`` say how the bytes came, ``head`` is a hash of the first bytes, empty if too few came; ``error`` is
    empty unless it failed; ``heard`` is False if that was because nobody is there.
    """

    asked_at: float
    ended_at: float
    answered_at: float | None = None
    bytes: int = 0
    marks: tuple[Mark, ...] = ()
    ranged: bool = False
    host: str = ""
    tls: str = ""
    head: str = ""
    error: str = ""
    heard: bool = True  # False if the failure was that nobody is there

    @property
    def ttfb_s(self) -> float | None:
        """From the request to the headers of the last redirect's answer."""
        return None if self.answered_at is None else self.answered_at - self.asked_at


@dataclass(frozen=True, slots=True)
class Sample:
    """Exchanges that ran at the same time, in one round; ``start`` is the offset of the first in ``content``.

    ``several`` is what it was taken for: as many connections as the mirror allows, be that one, or one alone.
    """

    round: int
    content: str
    start: int
    exchanges: tuple[Exchange, ...]
    several: bool = False

    @property
    def connections(self) -> int:
        """How many were tried at once."""
        return len(self.exchanges)

    @property
    def bytes(self) -> int:
        """What they brought."""
        return sum(each.bytes for each in self.exchanges)

    @property
    def tells(self) -> bool:
        """True if it says something of the mirror: it failed, or it brought enough or lasted long enough for a rate."""
        if not self.exchanges or any(each.error for each in self.exchanges) or self.bytes >= _TELLING_BYTES:
            return True
        answered = [each.answered_at for each in self.exchanges if each.answered_at is not None]
        return not answered or max(each.ended_at for each in self.exchanges) - min(answered) >= _TELLING_S

    @property
    def goodput(self) -> float:
        """Bytes a second once they flow, all connections together; 0 if nothing came."""
        good = [each for each in self.exchanges if each.bytes and each.answered_at is not None]
        if not good:
            return 0.0
        began = min(each.answered_at for each in good if each.answered_at is not None)
        return steady_rate(_merged(good), began, max(each.ended_at for each in good))


@dataclass(frozen=True, slots=True)
class Trial:
    """Everything that was found out about one mirror. ``wrong_bytes`` counts ranges that were not the origin's."""

    mirror: Mirror
    holdings: tuple[Holding, ...]
    samples: tuple[Sample, ...] = ()
    wrong_bytes: int = 0

    @property
    def exchanges(self) -> list[Exchange]:
        """Every range request, in order."""
        return [each for sample in self.samples for each in sample.exchanges]

    @property
    def reachable(self) -> bool:
        """True if anything at that address answered anything."""
        return any(each.heard for each in self.holdings) or any(each.heard for each in self.exchanges)

    @property
    def final_host(self) -> str:
        """Where its bytes came from most often; empty if none did."""
        hosts = Counter(each.host for each in self.exchanges if each.host)
        return hosts.most_common(1)[0][0] if hosts else ""

    @property
    def tls(self) -> str:
        """Encryption of the connections that carried bytes; empty for none."""
        return next((each.tls for each in self.exchanges if each.tls), "")

    @property
    def ranges(self) -> bool | None:
        """True if every answer held to the range that was asked; None if there was no answer."""
        answered = [each.ranged for each in self.exchanges if each.answered_at is not None]
        return all(answered) if answered else None

    @property
    def failure_rate(self) -> float:
        """Failed requests of all; 1 for a mirror that could not even be asked."""
        tried = self.exchanges
        return sum(bool(each.error) for each in tried) / len(tried) if tried else float(not self.reachable)

    @property
    def ttfb_s(self) -> tuple[float | None, float | None]:
        """Median and 95th percentile of the time to the first byte, redirects included."""
        times = [each.ttfb_s for each in self.exchanges if each.ttfb_s is not None]
        return (median(times), percentile(times, 95)) if times else (None, None)

    def goodputs(self, *, several: bool) -> list[float]:
        """Of each round whose sample tells: over one connection, or over as many as the mirror allows."""
        return [each.goodput for each in self.samples if each.several is several and each.tells]

    def goodput(self, *, several: bool) -> float | None:
        """The median over the rounds, those that failed counted as nothing; None if it was never tried."""
        rates = self.goodputs(several=several)
        return median(rates) if rates else None

    @property
    def best_goodput(self) -> float:
        """What a fetch would get: over several connections, or over one if several bring nothing."""
        return self.goodput(several=True) or self.goodput(several=False) or 0.0

    @property
    def errors(self) -> list[tuple[str, int]]:
        """What failed and how often, most frequent first."""
        return Counter(each.error for each in self.exchanges if each.error).most_common()


def _merged(exchanges: Iterable[Exchange]) -> list[Mark]:
    """The marks of all, in the order of time, each with what all together had by then."""
    steps = [
        (at, came - before)
        for each in exchanges
        for (at, came), before in zip(each.marks, (0, *(came for _, came in each.marks)), strict=False)
    ]
    total, merged = 0, []
    for at, more in sorted(steps):
        total += more
        merged.append((at, total))
    return merged


def steady_rate(marks: Sequence[Mark], began: float, ended: float) -> float:
    """Bytes a second after the first quarter; over the whole time where the marks are too coarse to tell."""
    if not marks:
        return 0.0
    total = marks[-1][1]
    at, came = next(mark for mark in marks if mark[1] >= total * _UNTIMED_SHARE)
    if ended - at < max(_LEAST_S, _COARSE_SHARE * (ended - began)) or came == total:
        at, came = began, 0
    return (total - came) / max(ended - at, _LEAST_S)


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle; ``values`` is not empty."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed (nearest rank); ``values`` is not empty."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def heads(trial: Trial) -> dict[tuple[str, int], str]:
    """Content and offset → the hash of the first bytes there, of every range whose first bytes came."""
    return {
        (sample.content, sample.start): sample.exchanges[0].head
        for sample in trial.samples
        if sample.exchanges and sample.exchanges[0].head
    }


def count_wrong(trial: Trial, truth: Trial | None) -> int:
    """Ranges in which ``trial`` gave other bytes than ``truth``, which is the origin's; 0 without one."""
    if truth is None or truth is trial:
        return 0
    true = heads(truth)
    return sum(true.get(where, head) != head for where, head in heads(trial).items())
