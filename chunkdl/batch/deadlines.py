"""Which deadlines cannot be met at the measured rate, said while something can still be done about it.

Decides by adding up: what is left of everything that goes first, against what the windows and limits until then
let through. Pure; a job whose size is not known yet is left out of the sum, so that the warning errs on the late side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.policy import Policy

# Pieces of time in which neither window nor limit changes; two weeks of hourly changes are fewer.
_MOST_PIECES = 400


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
    found, before = [], 0
    for job in jobs:
        before += max(0, job.total_bytes - job.done_bytes)
        if job.wish.deadline is not None and job.total_bytes:
            missing = before - passing_bytes(policy, rate_bytes_per_s, now, job.wish.deadline)
            if missing > 0:
                found.append(Late(job, int(missing)))
    return found


def passing_bytes(policy: Policy, rate_bytes_per_s: float, start: float, stop: float) -> float:
    """How many bytes the windows and limits let through between two instants, at most at ``rate_bytes_per_s``."""
    total, at = 0.0, start
    for _ in range(_MOST_PIECES):
        if at >= stop:
            break
        changes = (policy.windows.next_change(at), policy.rates.next_change(at), stop)
        until = min(each for each in changes if each is not None)
        if policy.windows.at(at):
            limit = policy.rates.at(at)
            total += (min(until, stop) - at) * (min(limit, rate_bytes_per_s) if limit else rate_bytes_per_s)
        at = until
    return total
