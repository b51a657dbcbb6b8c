"""A job that runs: what of it the runner counts, and what it tells about it.

Decides how an attempt looks from outside while it lasts. Begun, stopped and written down elsewhere (``runner``).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chunkdl.batch.job import Job, JobState
from chunkdl.batch.moment import JobMoment
from chunkdl.errors import DiskFull
from chunkdl.observe import Notice, ReferencePlanned
from chunkdl.spelling import spell_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chunkdl.batch.outcomes import Outcome
    from chunkdl.batch.working import Fetching, Testing
    from chunkdl.observe import Observer, WatchedEvent

# The end of an attempt waits so often and so long for room on a full disk: ten minutes.
_WRITE_TRIES, _WRITE_AGAIN_S = 120, 5.0


@dataclass(slots=True)
class Attempt:
    """One attempt under way.

    ``why`` says what stopped it. While ``ending`` is set its end is being written down, and nobody cancels it any
    more; ``over`` is done when it has given its place back. ``began_s`` is monotonic.
    """

    number: int
    job: Job
    work: Fetching | Testing
    why: str = "stopped"
    task: asyncio.Task[None] | None = None
    ending: bool = False
    over: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    began_s: float = field(default_factory=time.monotonic)
    rate_bytes_per_s: float = 0.0
    _seen_bytes: int = 0

    def measure(self, passed_s: float) -> None:
        """What came in the last ``passed_s`` seconds, as a rate."""
        fetched = self.work.fetched_bytes
        self.rate_bytes_per_s = max(0, fetched - self._seen_bytes) / passed_s
        self._seen_bytes = fetched

    def moment(self, job: Job) -> JobMoment:
        """``job`` as the queue has it, with our figures as soon as there are any."""
        if not self.work.total_bytes:
            return JobMoment(job, job.done_bytes, job.total_bytes)
        return JobMoment(job, self.work.done_bytes, self.work.total_bytes, self.rate_bytes_per_s)


async def written_down(attempt: Attempt, write: Callable[[], Awaitable[Job]], say: Callable[[Notice], None]) -> Job:
    """The job after ``write``, which is tried again while the disk is full; at once and for the last time if cancelled.

    Raises:
        StoreError: it could not be written.
    """
    tries = _WRITE_TRIES
    while True:
        attempt.ending = True
        tries -= 1
        try:
            return await write()
        except DiskFull as error:
            if tries <= 0:
                raise
            say(Notice(error.code, f"it is tried again: {error.message}"))
        attempt.ending = False
        try:
            await asyncio.sleep(_WRITE_AGAIN_S)
        except asyncio.CancelledError:
            tries = 1


def watching(work: Fetching, say: Callable[[Notice], None]) -> Observer:
    """Takes the size of a job from its plan, and passes on what a person should know, with the job's name."""

    def watch(event: WatchedEvent) -> None:
        if isinstance(event, ReferencePlanned):
            work.planned, work.total_bytes = True, event.plan.bytes_total
        elif isinstance(event, Notice):
            say(replace(event, message=f"{work.job.name}: {event.message}"))

    return watch


def spell_end(job: Job, outcome: Outcome) -> str:
    """What came of an attempt, now that the queue has it; empty if that is for nobody to know."""
    if job.state is JobState.CANCELLED:
        return "cancelled"
    if outcome.stopped:
        return ""
    if outcome.done:
        doubt = ", not authenticated" if outcome.authenticated is False else ""
        return f"done, {spell_bytes(outcome.bytes_fetched)} fetched{doubt}"
    later = (
        "fails until somebody looks" if job.state is JobState.WAITING and not outcome.transient else "tried again later"
    )
    return f"{'parked' if job.state is JobState.PARKED else later}: {outcome.reason}"
