"""When a batch run is over, and with which exit code.

Decides from the mode, the queue and the window; pure. Exit codes as the design has them: 0 all done, 20 some are
parked, 21 work is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from chunkdl.batch.job import Job, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL_DONE, SOME_PARKED, WORK_LEFT = 0, 20, 21


class Mode(StrEnum):
    """``ONCE`` waits for nothing; ``WINDOW`` waits for the window to open and ends when it closes; ``WATCH`` stays."""

    ONCE = "once"
    WINDOW = "window"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. ``worked`` is False if it began no job at all.

    ``parked`` counts what somebody has to look at, recurring jobs included that will only fail again.
    """

    exit_code: int
    left: int
    parked: int
    worked: bool = False


def ending_of(
    mode: Mode, jobs: Iterable[Job], now: float, *, opened: bool, until: float | None, was_open: bool = False
) -> Ending | None:
    """The ending if nothing more is to be begun, None while the run goes on. Running jobs are the caller's affair.

    Args:
        mode: as ordered.
        jobs: the whole queue.
        now: seconds since the epoch.
        opened: True while bytes may flow.
        until: the ordered end.
        was_open: the window was open at some time of this run.
    """
    jobs = tuple(jobs)
    left = [each for each in jobs if each.state in {JobState.WAITING, JobState.RUNNING} and not _rests(each, now)]
    parked = sum(each.state is JobState.PARKED or (_rests(each, now) and each.failed) for each in jobs)
    code = WORK_LEFT if left else SOME_PARKED if parked else ALL_DONE
    ending = Ending(code, len(left), parked)
    if until is not None and now >= until:
        return ending
    if mode is Mode.WATCH:
        return None
    if not left:
        return ending
    if mode is Mode.ONCE:
        runnable = opened and any(each.not_before <= now for each in left)
        return None if runnable else ending
    return ending if was_open and not opened else None


def _rests(job: Job, now: float) -> bool:
    """A job that recurs and waits for its next time is not work that is left, unless its last attempt failed."""
    return job.wish.every is not None and job.not_before > now and not job.failures
