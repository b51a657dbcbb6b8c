"""How each ending of a lease is entered in the books, and who is blamed for it.

Every ending has its own type (``events``) and its own method here. What blame means is ``blame``'s to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core import events as ev

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.core.blame import Blame
    from chunkdl.core.books import Books
    from chunkdl.core.state import Lease

# A lease that delivered for a second and is then cut is weather, not a failure.
_WEATHER_AFTER_S = 1.0


class Endings:
    """One method for each event that ends a lease."""

    def __init__(self, books: Books, blame: Blame) -> None:
        self._books = books
        self._blame = blame
        self._job = books.job

    def reactions(self) -> dict[type[ev.Event], Callable[..., None]]:
        """Which method takes which event, with the monotonic seconds as its second argument."""
        return {
            ev.LeaseFinished: self._finished,
            ev.LeaseCutShort: self._cut_short,
            ev.LeaseConnectFailed: self._connect_failed,
            ev.LeaseOverslept: self._overslept,
            ev.LeaseThrottled: self._throttled,
            ev.LeaseRefused: self._refused,
            ev.LeaseMisbehaved: self._misbehaved,
            ev.LeaseUnranged: self._unranged,
            ev.LeaseCancelled: self._cancelled,
        }

    def _finished(self, event: ev.LeaseFinished, now: float) -> None:
        lease = self._job.leases.get(event.lease)
        if lease is None:
            return
        twin = lease.twin
        self._books.end(lease, lease.stop, now, "finished, was sent more than asked" if event.excess else "finished")
        if twin is not None and twin.is_live:
            self._lost_race(twin, now)

    def _lost_race(self, loser: Lease, now: float) -> None:
        if loser.file.stored.covers(loser.stored_to, loser.stop):
            self._books.cancel(loser, now, "the other was first")
        elif loser.start < loser.received_to < loser.stop:
            self._books.shorten(loser, loser.received_to, now, "the other was first")

    def _cut_short(self, event: ev.LeaseCutShort, now: float) -> None:
        lease = self._ended(event.lease, event.stored_to, now, f"cut short: {event.reason}")
        if lease is None or not lease.wanted:
            return
        weather = lease.stored_to > lease.start and now - lease.opened_at >= _WEATHER_AFTER_S
        if weather:
            self._blame.weather(lease, event.reason)
        else:
            self._blame.failure(lease, now, event.reason)

    def _connect_failed(self, event: ev.LeaseConnectFailed, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"no answer: {event.reason}")
        if lease is not None and lease.wanted:
            self._blame.failure(lease, now, event.reason)

    def _overslept(self, event: ev.LeaseOverslept, now: float) -> None:
        self._ended(event.lease, event.stored_to, now, "ended while we slept")

    def _throttled(self, event: ev.LeaseThrottled, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"throttled: {event.reason}")
        if lease is not None:
            self._blame.throttle(lease, now, event)

    def _refused(self, event: ev.LeaseRefused, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"refused: {event.reason}")
        if lease is None:
            return
        if event.final:
            self._blame.refusal(lease, event.reason)
        elif lease.wanted:
            self._blame.failure(lease, now, event.reason)

    def _misbehaved(self, event: ev.LeaseMisbehaved, now: float) -> None:
        lease = self._ended(event.lease, event.stored_to, now, f"misbehaved: {event.reason}")
        if lease is not None:
            self._blame.misbehaviour(lease, now, event.reason)

    def _unranged(self, event: ev.LeaseUnranged, now: float) -> None:
        lease = self._job.leases.get(event.lease)
        if lease is None:
            return
        self._books.recharge(lease, event.host, now)
        self._books.end(lease, 0, now, f"{event.host} ignores ranges")
        self._books.streams(lease.file, lease.mirror)

    def _cancelled(self, event: ev.LeaseCancelled, now: float) -> None:
        self._ended(event.lease, event.stored_to, now, "closed")

    def _ended(self, number: int, stored_to: int, now: float, how: str) -> Lease | None:
        lease = self._job.leases.get(number)
        if lease is not None:
            self._books.end(lease, stored_to, now, how)
        return lease
