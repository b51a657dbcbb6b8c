"""Which jobs run now: pure, from what is runnable and what runs.

Decides order, how many at once, and who has to make room: a mirror test gets the link for itself, since transfers
beside it would falsify what it measures. Whatever is of lower priority than what waits is stopped, its parts stay, and
begins again behind it at the next look: the engine serves files in the order in which they came to it, so a job that
merely joined the others would get what they leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.batch.job import Job, JobKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# So many fetches at once keep one pool's connections busy over the metadata and the tail of each; more would only
# finish everything late instead of the first ones early.
JOBS_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class Moves:
    """What to do now: ids of jobs to stop, and jobs to start when those have stopped."""

    stop: tuple[str, ...] = ()
    start: tuple[Job, ...] = ()


def choose(runnable: Sequence[Job], running: Mapping[str, Job], at_once: int = JOBS_AT_ONCE) -> Moves:
    """What follows from ``runnable`` (the most urgent first, none of them running) and ``running`` by id."""
    tests = [each for each in runnable if each.wish.task.kind is JobKind.MIRRORS_TEST]
    if any(each.wish.task.kind is JobKind.MIRRORS_TEST for each in running.values()):
        return Moves()  # it is short
    if tests and _outranks(tests[0], [*runnable, *running.values()]):
        return Moves(tuple(running), (tests[0],))
    fetches = [each for each in runnable if each.wish.task.kind is JobKind.FETCH]
    highest = max((each.wish.priority for each in fetches), default=0)
    stop = [each.id for each in running.values() if fetches and each.wish.priority < highest]
    places = max(0, at_once - len(running) + len(stop))
    # Those that were stopped were here first among their equals: with them the others wait for the next look.
    may_start = [each for each in fetches if each.wish.priority == highest] if stop else fetches
    return Moves(tuple(stop), tuple(may_start[:places]))


def _outranks(test: Job, others: Sequence[Job]) -> bool:
    """A test goes before fetches of its own priority: it takes minutes, they take hours and gain by it."""
    return all(test.wish.priority >= each.wish.priority for each in others)
