"""One lease being carried out: a request, a stream of bytes into the part file, one ending.

Decides nothing: the scheduler granted the range and may shorten or cancel it meanwhile. Every way that
it can end is *returned* as an event of its own type; an exception that escapes is a bug or the local
disk, and is not for the scheduler. Bytes that arrived are kept whatever the ending.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from chunkdl.core.events import (
    LeaseAccepted,
    LeaseCancelled,
    LeaseConnectFailed,
    LeaseCutShort,
    LeaseFinished,
    LeaseMisbehaved,
    LeaseOverslept,
    LeaseRefused,
    LeaseThrottled,
    LeaseUnranged,
    Mark,
)
from chunkdl.errors import (
    BodyCutShort,
    ConnectFailed,
    FileReplaced,
    HTTPStatus,
    MirrorMisbehaved,
    Stalled,
    TransportError,
)
from chunkdl.transfer.runs import RunHasher
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.core.events import Event, OpenLease
    from chunkdl.core.journal_codec import Record
    from chunkdl.http.body import Body
    from chunkdl.http.client import HttpClient
    from chunkdl.model import ByteRange, Source
    from chunkdl.transfer.buffers import BufferPool
    from chunkdl.transfer.content import Content
    from chunkdl.transfer.threads import Threads

# Below this much room in a buffer the next read goes to the other one: a recv of a few bytes costs as
# much as one of 64 KiB (measured: half of all recv_into calls on loopback returned less than 64 KiB).
_MIN_READ_BYTES = 64 << 10

# 429 and 503 ask for less, and say so; every other bad status is a refusal.
_THROTTLING = frozenset({429, 503})


class Limiter(Protocol):
    """Permission to read: the rate limit of the run, a host or a job."""

    def portion(self, wanted_bytes: int) -> int:
        """How many of ``wanted_bytes`` to read before paying; at least 1."""

    async def pay(self, read_bytes: int) -> None:
        """Book what was read and wait until more is allowed."""


class LiveLease:
    """The part of a lease that others see while it runs."""

    def __init__(self, order: OpenLease, content: Content, source: Source) -> None:
        """``order`` is the grant; ``source`` the URL that it is for."""
        self.order = order
        self.content = content
        self.source = source
        self.stop = order.range.stop
        self.submitted_to = self.stored_to = order.range.start
        self.held_by_us = True  # until the connection is open
        self.skipped_bytes = 0
        self.wasted_bytes = 0
        self.body: Body | None = None
        self.cancelled = False
        self._scope: asyncio.Timeout | None = None

    def __repr__(self) -> str:
        """One status line."""
        order, mirror = self.order, self.source.mirror.name
        return f"<Lease {order.lease} {mirror} [{order.range.start}, {self.stop}) stored to {self.stored_to}>"

    @property
    def received_to(self) -> int:
        """How far bytes have arrived in memory, at this moment."""
        if self.body is None:
            return self.submitted_to
        arrived = self.body.start + self.body.received
        return min(self.stop, max(self.submitted_to, arrived))

    @property
    def mark(self) -> Mark:
        """What the scheduler is told before each decision."""
        return Mark(self.order.lease, self.received_to, self.stored_to, self.held_by_us, self.skipped_bytes)

    def shorten(self, stop: int) -> None:
        """Deliver only up to ``stop``."""
        self.stop = max(stop, self.submitted_to)
        self.flush()

    def cancel(self) -> None:
        """Close the connection, keep what arrived; more than once is the same."""
        first, self.cancelled = not self.cancelled, True
        if first and self._scope is not None:
            self._scope.reschedule(0)  # any moment in the past: the scope ends at the next turn of the loop

    def flush(self) -> None:
        """Have what has arrived written now, however little it is."""
        if self.body is not None:
            self.body.flush()

    def enter(self, scope: asyncio.Timeout) -> None:
        """From here on ``cancel`` has something to end."""
        self._scope = scope
        if self.cancelled:
            scope.reschedule(0)

    def leave(self) -> None:
        """Nothing is left to cancel."""
        self._scope = None


class Delivery:
    """Carries out one lease with one connection and a pair of buffers."""

    def __init__(
        self,
        lease: LiveLease,
        client: HttpClient,
        threads: Threads,
        limiter: Limiter | None,
        post: Callable[[Event], None],
    ) -> None:
        """``post`` takes the acceptance; the ending is returned by ``run``."""
        self._lease = lease
        self._client = client
        self._threads = threads
        self._limiter = limiter
        self._post = post
        self._runs = RunHasher(lease.order.range.start, lease.content.identity.segment_bytes)
        self._write: asyncio.Future[list[Record]] | None = None
        self._write_stop = lease.order.range.start
        self._view = memoryview(b"")  # what the current read fills, until it is submitted

    async def run(self, pool: BufferPool) -> Event:
        """Deliver, and say how it ended; raises ``StoreError``, and ``UsageError`` for a proxy that cannot be used."""
        lease, ending = self._lease, None
        async with pool.pair() as buffers:
            try:
                if not lease.cancelled:
                    ending = await self._deliver_until_cancelled(buffers)
            except TransportError as error:
                await self._rescue()
                ending = ending_of(error, lease)
            finally:
                await self._rescue()
        return ending or LeaseCancelled(lease.order.lease, lease.stored_to)

    async def _deliver_until_cancelled(self, buffers: tuple[memoryview, memoryview]) -> Event | None:
        """The ending, or None if ``LiveLease.cancel`` came first."""
        lease = self._lease
        try:
            async with asyncio.timeout(None) as scope:
                lease.enter(scope)
                try:
                    return await self._deliver(buffers)
                finally:
                    lease.leave()  # a scope that has ended cannot be told to end
        except TimeoutError:
            if not lease.cancelled:
                raise
            return None

    async def _deliver(self, buffers: tuple[memoryview, memoryview]) -> Event:
        lease, order = self._lease, self._lease.order
        asked = None if order.whole else order.range
        body = await self._client.open_body(
            lease.source, asked, size=lease.content.identity.size, first_byte_s=order.first_byte_s
        )
        lease.body = body
        if body.start != order.range.start and not order.whole:
            await body.close(reusable=False)
            lease.body = None
            return LeaseUnranged(order.lease, body.host)
        lease.held_by_us = False
        self._post(LeaseAccepted(order.lease, body.host, body.latency_s, body.ranged))
        await self._skip(body, order.range.start - body.start, buffers[0])
        await self._stream(body, buffers)
        lease.body = None
        await body.close(reusable=lease.stop == order.range.stop and not order.whole)
        await self._settle()
        return LeaseFinished(order.lease, excess=body.excess)

    async def _skip(self, body: Body, count: int, scratch: memoryview) -> None:
        """Read past bytes that a stream without ranges sends before ours."""
        while count > 0:
            got = await self._read(body, scratch[:count])
            if got == 0:
                raise BodyCutShort(f"{self._lease.source.mirror.name} ended before the wanted range began")
            count -= got
            self._lease.skipped_bytes += got
            self._lease.wasted_bytes += got

    async def _stream(self, body: Body, buffers: tuple[memoryview, memoryview]) -> None:
        lease, current, room = self._lease, 0, buffers[0]
        while lease.submitted_to < lease.stop:
            if len(room) < _MIN_READ_BYTES:
                current ^= 1
                room = buffers[current]
            got = await self._read(body, room[: lease.stop - lease.submitted_to])
            if got == 0:
                raise BodyCutShort(
                    f"{lease.source.mirror.name} closed at byte {lease.submitted_to} of {lease.content.identity.path}"
                )
            await self._settle()
            self._submit(room[:got])
            room = room[got:]

    async def _read(self, body: Body, view: memoryview) -> int:
        """One read, and the wait that a rate limit asks for it."""
        limiter = self._limiter
        self._view = view if limiter is None else view[: limiter.portion(len(view))]
        got = await body.read_into(self._view)
        if limiter is not None:
            self._lease.held_by_us = True
            await limiter.pay(got)
            self._lease.held_by_us = False
        return got

    def _submit(self, view: memoryview) -> None:
        """Start writing ``view`` at the lease's position; at most one write is under way."""
        lease = self._lease
        self._view = view[:0]
        useful = view[: max(0, lease.stop - lease.submitted_to)]
        lease.wasted_bytes += len(view) - len(useful)
        if not useful:
            return
        host = lease.body.host if lease.body is not None else lease.source.mirror.name
        start, lease.submitted_to = lease.submitted_to, lease.submitted_to + len(useful)
        self._write_stop = lease.submitted_to
        fresh = lease.content.reserve(start, lease.submitted_to)
        self._write = self._threads.submit(self._threads.disk, self._store, useful, start, fresh, host)
        self._write.add_done_callback(self._collect)

    def _store(self, view: memoryview, offset: int, fresh: Sequence[ByteRange], host: str) -> list[Record]:
        """In a disk thread: write, then hash what was written; what a twin has brought already stays as it is."""
        records = []
        for each in fresh:
            part = view[each.start - offset : each.stop - offset]
            self._lease.content.part.write_at(part, each.start)
            records += self._runs.feed(part, each.start, host)
        return records

    async def _settle(self) -> None:
        """Wait for the write under way, and raise what it met."""
        write = self._write
        if write is None:
            return
        self._lease.held_by_us = not write.done()
        try:
            await settled(write)
        finally:
            self._collect(write)
            self._write = None
            self._lease.held_by_us = False

    def _collect(self, write: asyncio.Future[list[Record]]) -> None:
        """A write that has ended well has stored its bytes: seen at once, however long the next read takes."""
        if write is self._write and not write.cancelled() and write.exception() is None:
            self._write = None
            self._lease.content.took(write.result())
            self._lease.stored_to = self._write_stop

    async def _rescue(self) -> None:
        """Close the connection and store what had arrived: no byte on this side of the wire is lost."""
        lease, body = self._lease, self._lease.body
        if body is not None:
            arrived = lease.received_to - lease.submitted_to
            body.abort()
            await self._settle()
            if arrived > 0 and len(self._view) >= arrived:
                self._submit(self._view[:arrived])
            lease.body = None
        await self._settle()


def ending_of(error: TransportError, lease: LiveLease) -> Event:
    """Name the ending that an exchange's failure means."""
    number, reason = lease.order.lease, error.message
    if isinstance(error, HTTPStatus):
        return _refusal(error, number)
    if isinstance(error, FileReplaced):
        return LeaseRefused(number, final=True, reason=error.message)
    if isinstance(error, MirrorMisbehaved):
        return LeaseMisbehaved(number, lease.stored_to, reason)
    if isinstance(error, ConnectFailed | Stalled) and lease.stored_to == lease.order.range.start:
        return LeaseConnectFailed(number, reason)
    return LeaseCutShort(number, lease.stored_to, reason)


def excused(ending: Event) -> Event:
    """What ``ending`` means of a lease during which this process slept: a connection lost then blames nobody."""
    match ending:
        case LeaseConnectFailed(number):
            return LeaseOverslept(number, 0)
        case LeaseCutShort(number, stored_to):
            return LeaseOverslept(number, stored_to)
    return ending


def _refusal(error: HTTPStatus, number: int) -> Event:
    if error.status in _THROTTLING:
        return LeaseThrottled(number, error.retry_after_s, error.message)
    return LeaseRefused(number, final=not error.retryable, reason=error.message)
