"""Times in the queue that a wrong clock left behind: a job must not wait a year because a clock was once a year ahead.

Decides from what cannot be: a pause after a failure is bounded, and a job that recurs is due at its next time at the
latest. Whatever lies beyond was written by a clock that has been set back since. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.batch.job import JobState
from chunkdl.batch.outcomes import LONGEST_PAUSE_S
from chunkdl.batch.recurring import next_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from chunkdl.batch.job import Job


def overdue_by_clock(jobs: Iterable[Job], now: float, zone: tzinfo) -> dict[str, float]:
    """Jobs whose time lies further ahead than any can; id → the time that it should have."""
    found = {}
    for job in jobs:
        if job.state is JobState.WAITING and job.not_before > now:
            latest = next_time(job.wish.every, now, zone) if job.wish.every and not job.failures else 0.0
            if job.not_before > max(latest, now + LONGEST_PAUSE_S):
                found[job.id] = latest
    return found
