"""Which deadlines cannot be met at the measured rate, said while something can still be done about it.

Decides by adding up: what is left of everything that goes first, against what the windows and limits until then
let through. Pure, but no work for an event loop: with many windows it takes a good part of a second. A job whose size
is not known yet is left out of the sum, so that the warning errs on the late side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.policy import Policy

# Pieces of time in which neither window nor limit changes; two weeks of hourly changes are fewer.
_MOST_PIECES = 400
# What is missing changes with every second and every gust of the link; half as much again is news.
_MUCH_WORSE = 1.5


@dataclass(frozen=True, slots=True)
class Late:
    """A deadline that will be missed: ``missing_bytes`` do not fit into the time that is left."""

    job: Job
    missing_bytes: int


def late(jobs: Sequence[Job], policy: Policy, rate_bytes_per_s: float, now: float) -> list[Late]:
    """Jobs that will miss their deadline.

    Args:
        jobs: what is not done, the most urgent first; ``total_bytes`` and ``done_bytes`` of each as far as known.
        policy: windows and limits.
        rate_bytes_per_s: what the link gives without our limits; 0.0 if it is not known, and then nobody is late.
        now: seconds since the epoch.
    """
    if rate_bytes_per_s <= 0:
        return []
    deadlines = {each.wish.deadline for each in jobs if each.wish.deadline is not None and each.total_bytes}
    passing = passing_bytes(policy, rate_bytes_per_s, now, deadlines)
    found, before = [], 0
    for job in jobs:
        before += max(0, job.total_bytes - job.done_bytes)
        if job.wish.deadline in passing and job.total_bytes:
            missing = before - passing[job.wish.deadline]
            if missing > 0:
                found.append(Late(job, int(missing)))
    return found


def passing_bytes(
    policy: Policy, rate_bytes_per_s: float, start: float, stops: Collection[float]
) -> dict[float, float]:
    """How many bytes the windows and limits let through until each of ``stops``, at most at ``rate_bytes_per_s``.

    All in one pass over the pieces of time, since it is their bounds that take long to find. What lies too many pieces
    ahead is left out.
    """
    total, at, found, pieces = 0.0, start, dict[float, float](), 0
    next_change, pace = start, 0.0
    for stop in sorted(stops):
        while at < stop and pieces < _MOST_PIECES:
            if at >= next_change:
                next_change, pace, pieces = _next_change(policy, at), _pace(policy, rate_bytes_per_s, at), pieces + 1
            until = min(next_change, stop)
            total, at = total + (until - at) * pace, until
        if at < stop:
            break
        found[stop] = total
    return found


def _next_change(policy: Policy, at: float) -> float:
    changes = (policy.windows.next_change(at), policy.rates.next_change(at))
    return min((each for each in changes if each is not None), default=float("inf"))


def _pace(policy: Policy, rate_bytes_per_s: float, at: float) -> float:
    if not policy.windows.at(at):
        return 0.0
    return min(policy.rates.at(at) or rate_bytes_per_s, rate_bytes_per_s)


class Warned:
    """Which late jobs a person has heard of; one forecast after the other."""

    def __init__(self) -> None:
        """Of none yet."""
        self._missing: dict[str, int] = {}

    def news(self, late_now: Iterable[Late]) -> list[Late]:
        """Those to tell: late for the first time, again after it was not, or much later than when it was told."""
        before, self._missing = self._missing, {}
        told = []
        for each in late_now:
            worst = before.get(each.job.id)
            if worst is None or each.missing_bytes > worst * _MUCH_WORSE:
                told.append(each)
                worst = each.missing_bytes
            self._missing[each.job.id] = worst
        return told
