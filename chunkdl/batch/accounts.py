"""What came while a window is open: written down every few seconds, and the rate that forecasts use.

Decides how often. One for each pool, whose hosts begin at nothing.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from chunkdl.batch.queue import Queue
from chunkdl.batch.spending import Spending, by_mirror, day_of
from chunkdl.errors import StoreError
from chunkdl.observe import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from chunkdl.batch.bookkeeping import Books
    from chunkdl.observe import HostStatus, WatchedEvent

# What a kill makes a report miss, and a budget overrun. A write costs an fsync.
_BOOK_S = 2.0
# Two looks further apart than this had a pause between them, in which nobody was active.
_LONGEST_STEP_S = 2.0
# Forecasts use the last minutes, so that one stall does not cry wolf.
_RATE_OVER_S = 300.0


class Accounts:
    """Hears of progress; ``book`` at each look."""

    def __init__(self, books: Books, clock: Callable[[], float]) -> None:
        """``clock`` is the wall's: budgets are about days."""
        self.progress: Progress | None = None
        self.spent: dict[str, int] = {}
        self._books = books
        self._clock = clock
        self._spending = Spending()
        self._goodputs: deque[tuple[float, float]] = deque()
        self._looked_at = self._booked_at = time.monotonic()

    def watch(self, event: WatchedEvent) -> None:
        """What the pool tells."""
        if isinstance(event, Progress):
            self.progress = event

    @property
    def hosts(self) -> tuple[HostStatus, ...]:
        """Final data hosts, with their rates."""
        return self.progress.hosts if self.progress is not None else ()

    @property
    def goodput_bytes_per_s(self) -> float:
        """At this moment."""
        return self.progress.goodput_bytes_per_s if self.progress is not None else 0.0

    @property
    def usual_bytes_per_s(self) -> float:
        """Over the last minutes; 0.0 while nothing is known."""
        return sum(each for _, each in self._goodputs) / len(self._goodputs) if self._goodputs else 0.0

    async def book(self, zone: tzinfo, *, at_once: bool = False) -> None:
        """Write down what came, and learn what was spent today.

        Raises:
            StoreError: it cannot be written now; the next call tries again.
        """
        now = time.monotonic()
        if self.progress is not None:
            self._spending.see(self.progress.hosts, min(now - self._looked_at, _LONGEST_STEP_S))
            self._goodputs.append((now, self.progress.goodput_bytes_per_s))
        while self._goodputs and self._goodputs[0][0] < now - _RATE_OVER_S:
            self._goodputs.popleft()
        self._looked_at = now
        if at_once or now - self._booked_at >= _BOOK_S or not self.spent:
            self._booked_at = now
            await self._write(zone)

    async def _write(self, zone: tzinfo) -> None:
        at = self._clock()
        day, hosts = day_of(at, zone), self._spending.take()
        if hosts:
            try:
                await self._books.call(Queue.book, day, at, by_mirror(hosts), hosts)
            except StoreError:
                self._spending.give_back(hosts)
                raise
        self.spent = await self._books.call(Queue.spent, day)
