"""One lease against a scripted peer: every ending has its type, and no byte that arrived is lost."""

import asyncio
import hashlib
import random

import pytest

from chunkdl.assemble.digests import ContentHasher
from chunkdl.core import events as ev
from chunkdl.errors import BodyCutShort, ConnectFailed, HTTPStatus, RangeMismatch, Stalled
from chunkdl.model import ByteRange, Digest, DigestAlgorithm, Mirror, Source
from chunkdl.transfer.buffers import BufferPool
from chunkdl.transfer.content import Content, Identity
from chunkdl.transfer.lease import Delivery, LiveLease, ending_of, excused
from chunkdl.transfer.memory_part import MemoryPart
from chunkdl.transfer.threads import Threads
from tests.support.peers import turns_until

SIZE = 300_000
DATA = random.Random(3).randbytes(SIZE)
MIRROR = Mirror("https://m.example", "m.example")


class ScriptedBody:
    """Delivers ``DATA`` from ``start`` in the given steps; a step may be an exception or ``None`` (silence)."""

    host = "cdn.example:443"
    latency_s = 0.01
    excess = False

    def __init__(self, start, steps, *, ranged=True):
        self.start, self.ranged, self.received = start, ranged, 0
        self._steps = list(steps)
        self._flushed = asyncio.Event()
        self.reusable = None
        self.aborted = False

    async def read_into(self, view):
        step = self._steps.pop(0) if self._steps else 0
        if step is None:
            self._flushed.clear()
            await self._flushed.wait()
            return await self.read_into(view)
        if isinstance(step, Half):
            self._put(view, step.count)
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        return self._put(view, min(step, len(view)))

    def _put(self, view, count):
        at = self.start + self.received
        view[:count] = DATA[at : at + count]
        self.received += count
        return count

    def flush(self):
        self._flushed.set()

    async def close(self, *, reusable):
        self.reusable = reusable

    def abort(self):
        self.aborted = True


class Half:
    """So many bytes arrive in an unfinished read, then silence."""

    def __init__(self, count):
        self.count = count


class ScriptedClient:
    def __init__(self, answer):
        self._answer = answer
        self.asked = []

    async def open_body(self, source, asked, *, size, first_byte_s):
        self.asked.append((source.url, asked, size, first_byte_s))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def content_of():
    digest = Digest(DigestAlgorithm.SHA256, hashlib.sha256(DATA).hexdigest())
    return Content(
        Identity(digest, SIZE, 65_536, "model.bin"),
        part=MemoryPart(SIZE),
        new_hasher=lambda: ContentHasher(digest.algorithm, SIZE),
        commit=lambda proof: None,
    )


def lease_for(start, stop, *, whole=False, content=None):
    order = ev.OpenLease(7, 0, MIRROR.name, ByteRange(start, stop), first_byte_s=15.0, whole=whole)
    return LiveLease(order, content or content_of(), Source(MIRROR, "https://m.example/f"))


def deliver(lease, answer, meanwhile=None, limiter=None):
    """Run one delivery; returns the ending and what was posted before it."""
    posted = []

    async def work():
        threads = Threads()
        try:
            delivery = Delivery(lease, ScriptedClient(answer), threads, limiter, posted.append)
            task = asyncio.create_task(delivery.run(BufferPool(4 << 20)))
            if meanwhile is not None:
                await meanwhile(task)
            return await asyncio.wait_for(task, 10)
        finally:
            threads.close()

    return asyncio.run(work()), posted


def stored(lease):
    return [(each.start, each.stop) for each in lease.content.stored]


def test_a_whole_delivery_stores_proves_and_keeps_the_connection():
    lease, body = lease_for(1_000, 201_000), ScriptedBody(1_000, [50_000] * 4)
    ending, posted = deliver(lease, body)
    assert ending == ev.LeaseFinished(7)
    assert posted == [ev.LeaseAccepted(7, "cdn.example:443", 0.01, ranged=True)]
    assert stored(lease) == [(1_000, 201_000)]
    assert bytes(lease.content.part.data[1_000:201_000]) == DATA[1_000:201_000]
    assert {piece.host for piece in lease.content.provenance} == {"cdn.example:443"}
    assert body.reusable is True


def test_a_body_that_ends_early_keeps_what_came():
    lease = lease_for(0, 200_000)
    ending, _ = deliver(lease, ScriptedBody(0, [70_000, BodyCutShort("m.example ended")]))
    assert ending == ev.LeaseCutShort(7, 70_000, "m.example ended")
    assert stored(lease) == [(0, 70_000)]


def test_cancelling_in_the_middle_of_a_read_stores_what_had_arrived():
    lease = lease_for(0, 200_000)

    async def cancel_once_there(_task):
        await turns_until(lambda: lease.received_to >= 90_000)
        lease.cancel()

    body = ScriptedBody(0, [60_000, Half(30_000)])
    ending, _ = deliver(lease, body, cancel_once_there)
    assert ending == ev.LeaseCancelled(7, 90_000)
    assert stored(lease) == [(0, 90_000)]
    assert bytes(lease.content.part.data[:90_000]) == DATA[:90_000]
    assert body.aborted


def test_cancelling_before_the_answer_is_a_cancelled_lease_too():
    lease = lease_for(0, 200_000)
    lease.cancel()
    ending, posted = deliver(lease, ScriptedBody(0, [200_000]))
    assert ending == ev.LeaseCancelled(7, 0)
    assert posted == []


def test_a_shortened_lease_delivers_up_to_its_new_stop_and_gives_the_connection_up():
    lease = lease_for(0, 200_000)

    async def shorten_once_there(_task):
        await turns_until(lambda: lease.received_to >= 60_000)
        lease.shorten(100_000)

    body = ScriptedBody(0, [60_000, None, 140_000])
    ending, _ = deliver(lease, body, shorten_once_there)
    assert ending == ev.LeaseFinished(7)
    assert stored(lease)[0][0] == 0
    assert 100_000 <= stored(lease)[0][1] <= 200_000
    assert lease.stored_to == lease.submitted_to == 100_000
    assert body.reusable is False


def test_a_200_for_an_inner_range_says_that_the_source_only_streams():
    lease, body = lease_for(50_000, 100_000), ScriptedBody(0, [100_000], ranged=False)
    ending, posted = deliver(lease, body)
    assert ending == ev.LeaseUnranged(7, "cdn.example:443")
    assert posted == []
    assert stored(lease) == []
    assert body.reusable is False


def test_a_whole_stream_skips_to_the_wanted_range_and_counts_what_it_skipped():
    lease = lease_for(50_000, SIZE, whole=True)
    ending, _ = deliver(lease, ScriptedBody(0, [50_000, 100_000, 100_000, 50_000], ranged=False))
    assert ending == ev.LeaseFinished(7)
    assert stored(lease) == [(50_000, SIZE)]
    assert (lease.mark.skipped, lease.wasted_bytes) == (50_000, 50_000)


def test_what_is_skipped_is_paid_for():
    paid = []

    class Tenth:
        def portion(self, wanted_bytes):
            return min(wanted_bytes, 30_000)

        async def pay(self, read_bytes):
            paid.append(read_bytes)

    lease = lease_for(50_000, SIZE, whole=True)
    ending, _ = deliver(lease, ScriptedBody(0, [SIZE] * 11, ranged=False), limiter=Tenth())
    assert ending == ev.LeaseFinished(7)
    assert sum(paid) == SIZE
    assert max(paid) == 30_000


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (HTTPStatus("busy", status=429, retry_after_s=7.0), ev.LeaseThrottled(7, 7.0, "busy")),
        (HTTPStatus("busy", status=503), ev.LeaseThrottled(7, None, "busy")),
        (HTTPStatus("gone", status=404), ev.LeaseRefused(7, final=True, reason="gone")),
        (HTTPStatus("ill", status=500), ev.LeaseRefused(7, final=False, reason="ill")),
        (RangeMismatch("shifted"), ev.LeaseMisbehaved(7, 0, "shifted")),
        (ConnectFailed("refused"), ev.LeaseConnectFailed(7, "refused")),
        (Stalled("silent"), ev.LeaseConnectFailed(7, "silent")),
        (BodyCutShort("cut"), ev.LeaseCutShort(7, 0, "cut")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_of_an_exchange_has_its_ending(error, ending):
    lease = lease_for(0, 1_000)
    assert ending_of(error, lease) == ending
    assert deliver(lease, error) == (ending, [])


@pytest.mark.parametrize(
    ("ending", "meaning"),
    [
        (ev.LeaseConnectFailed(7, "no answer in 10 s"), ev.LeaseOverslept(7, 0)),
        (ev.LeaseCutShort(7, 900, "reset"), ev.LeaseOverslept(7, 900)),
        (ev.LeaseMisbehaved(7, 900, "shifted"), ev.LeaseMisbehaved(7, 900, "shifted")),
        (ev.LeaseFinished(7), ev.LeaseFinished(7)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_sleep_excuses_lost_connections_and_nothing_else(ending, meaning):
    assert excused(ending) == meaning
