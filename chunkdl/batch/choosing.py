"""Which jobs run now: pure, from what is runnable and what runs.

Decides order, how many at once, and who has to make room: a mirror test gets the link for itself, since transfers
beside it would falsify what it measures; a job of higher priority takes the place of a lower one, whose parts stay.
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
    places = max(0, at_once - len(running))
    stop = _to_displace(fetches[places:], running)
    return Moves(tuple(stop), tuple(fetches[: places + len(stop)]))


def _outranks(test: Job, others: Sequence[Job]) -> bool:
    """A test goes before fetches of its own priority: it takes minutes, they take hours and gain by it."""
    return all(test.wish.priority >= each.wish.priority for each in others)


def _to_displace(waiting: Sequence[Job], running: Mapping[str, Job]) -> list[str]:
    """For each of ``waiting`` the least urgent of ``running`` with a lower priority, as long as there is one."""
    by_rank = sorted(running.values(), key=lambda each: (each.wish.priority, -(each.wish.deadline or float("inf"))))
    displaced: list[str] = []
    for wanting, victim in zip(waiting, by_rank, strict=False):
        if victim.wish.priority >= wanting.wish.priority:
            break
        displaced.append(victim.id)
    return displaced
