"""Which jobs run now: pure, from what is runnable and what runs.

Decides order, how many at once, and who has to make room: a mirror test gets the link for itself, since transfers
beside it would falsify what it measures. Whatever is of lower priority than what waits is stopped, its parts stay, and
begins again behind it: the engine serves files in the order in which they came to it, so a job that merely joined the
others would get what they leave. What has failed stops nobody: it may fail again, and takes a place that is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from chunkdl.batch.job import Job, JobKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# So many fetches at once keep one pool's connections busy over the metadata and the tail of each; more would only
# finish everything late instead of the first ones early.
JOBS_AT_ONCE = 3
# Metadata of a reference has 20 s (settings.METADATA_S); who has no plan by then holds up nobody behind it any more.
_PLAN_S = 20.0
_NOBODY: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Moves:
    """What to do now: ids of jobs to stop, and jobs to start when those have stopped."""

    stop: tuple[str, ...] = ()
    start: tuple[Job, ...] = ()


def choose(
    runnable: Sequence[Job],
    running: Mapping[str, Job],
    at_once: int = JOBS_AT_ONCE,
    unplanned_s: Mapping[str, float] = _NOBODY,
) -> Moves:
    """What follows from what may run and what does.

    Args:
        runnable: the most urgent first, none of them running.
        running: by id.
        at_once: how many fetches have a place.
        unplanned_s: id of a running job that has no plan yet → seconds since it began.
    """
    tests = [each for each in runnable if each.wish.task.kind is JobKind.MIRRORS_TEST]
    if any(each.wish.task.kind is JobKind.MIRRORS_TEST for each in running.values()):
        return Moves()  # it is short
    if tests and _outranks(tests[0], [*runnable, *running.values()]):
        return Moves(tuple(running), (tests[0],))
    fetches = [each for each in runnable if each.wish.task.kind is JobKind.FETCH]
    urgent = [each.wish.priority for each in fetches if not each.failures]
    stop = [each.id for each in running.values() if urgent and each.wish.priority < max(urgent)]
    places = max(0, at_once - len(running) + len(stop))
    first = [each for each in running.values() if unplanned_s.get(each.id, _PLAN_S) < _PLAN_S and not each.failures]
    behind = max((*urgent, *(each.wish.priority for each in first)), default=None)
    may_start = [each for each in fetches if behind is None or each.wish.priority >= behind]
    return Moves(tuple(stop), tuple(may_start[:places]))


def _outranks(test: Job, others: Sequence[Job]) -> bool:
    """A test goes before fetches of its own priority: it takes minutes, they take hours and gain by it."""
    return all(test.wish.priority >= each.wish.priority for each in others)
