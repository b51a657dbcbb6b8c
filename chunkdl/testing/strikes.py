"""Which faults strike which answer: matching and counting, for one mirror.

Decides by the data that every fault carries (path, where, skip, every, times). Deliberately does not
know what a fault does.
"""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from chunkdl.testing.faults import Fault, as_fault
from chunkdl.testing.faults.base import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.testing.answers import Answer
    from chunkdl.testing.hub_repo import HubRepo


class Strikes:
    """Counts how often each fault was near, and keeps the repositories as the faults show them."""

    def __init__(self) -> None:
        self._given: object = None
        self._faults: tuple[Fault, ...] = ()
        self._seen: Counter[int] = Counter()
        self.view: tuple[HubRepo, ...] = ()

    def follow(self, faults: Sequence[Fault | str], repos: Sequence[HubRepo]) -> None:
        """Take note of what the mirror's faults and repositories are now; counts begin anew if they changed."""
        given = (tuple(faults), tuple(map(id, repos)))
        if given == self._given:
            return
        self._given = given
        self._faults = tuple(as_fault(each) for each in faults)
        self._seen.clear()
        self.view = tuple(self._as_shown(repo) for repo in repos)

    def due(self, answer: Answer) -> Iterator[Fault]:
        """Yield the faults that strike this answer, in the order in which they were given."""
        for index, fault in enumerate(self._faults):
            if _concerns(fault, answer) and self._strikes_now(index, fault):
                yield fault

    def _as_shown(self, repo: HubRepo) -> HubRepo:
        for fault in self._faults:
            repo = fault.view(repo)
        return repo

    def _strikes_now(self, index: int, fault: Fault) -> bool:
        turn = self._seen[index] - fault.skip
        self._seen[index] += 1
        return turn >= 0 and turn % fault.every == 0 and (fault.times is None or turn // fault.every < fault.times)


def _concerns(fault: Fault, answer: Answer) -> bool:
    return answer.kind in GROUPS[fault.where] and fnmatchcase(answer.subject, fault.path)
