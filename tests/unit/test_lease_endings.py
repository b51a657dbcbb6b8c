"""What must hold however a lease and its neighbours end: nothing is overwritten, forgotten, or ended twice."""

import asyncio
import random
import threading

from chunkdl.core import events as ev
from chunkdl.errors import BodyCutShort
from chunkdl.transfer.buffers import BufferPool
from chunkdl.transfer.lease import Delivery
from chunkdl.transfer.threads import Threads
from tests.support.peers import LIMIT_S, Body, Peers, StrictPart, content_of, lease_on, turns_until

SIZE = 3 << 20
DATA = random.Random(5).randbytes(SIZE)
LIES = bytes(byte ^ 0xFF for byte in DATA)


def run(work):
    async def bounded():
        threads = Threads()
        try:
            return await asyncio.wait_for(work(threads), LIMIT_S)
        finally:
            threads.close()

    return asyncio.run(bounded())


def delivery_of(lease, threads, body, posted):
    return Delivery(lease, Peers(lambda *_: body), threads, None, posted.append).run(BufferPool(4 << 20))


def stored(content):
    return [(each.start, each.stop) for each in content.stored]


def test_a_cancellation_while_a_cut_lease_still_stores_is_no_error():
    gate = threading.Event()
    content = content_of(DATA, StrictPart(SIZE, gate=lambda _: gate.wait(LIMIT_S)))
    lease = lease_on(content, 0, SIZE)
    body = Body("cdn:1", DATA, 0, SIZE, silent_at=1 << 20, error=BodyCutShort("cut"))

    async def work(threads):
        task = asyncio.create_task(delivery_of(lease, threads, body, []))
        await turns_until(body.aborted.is_set)
        lease.cancel()
        lease.cancel()
        gate.set()
        return await task

    ending = run(work)
    assert (ending.lease, ending.stored_to) == (7, 1 << 20)
    assert stored(content) == [(0, 1 << 20)]


def test_what_was_received_never_shrinks_while_the_last_write_is_under_way():
    gate = threading.Event()
    content = content_of(DATA, StrictPart(SIZE, gate=lambda _: gate.wait(LIMIT_S)))
    lease = lease_on(content, 0, 1 << 20)

    async def work(threads):
        task = asyncio.create_task(delivery_of(lease, threads, Body("cdn:1", DATA, 0, SIZE), []))
        await turns_until(content.part.entered.is_set)
        marks = [lease.mark.received_to]
        gate.set()
        while not task.done():
            marks.append(lease.mark.received_to)
            await asyncio.sleep(0)
        return marks, task.result()

    marks, ending = run(work)
    assert ending == ev.LeaseFinished(7)
    assert set(marks) == {1 << 20}, "else the scheduler would give away bytes that are here"


def test_the_first_writer_of_a_byte_wins_so_that_what_was_hashed_stays():
    content = content_of(DATA)
    first = lease_on(content, 0, 2 << 20)
    liar = lease_on(content, 1 << 19, 2 << 20, number=8, hedge=True)

    async def work(threads):
        ending = await delivery_of(first, threads, Body("cdn:1", DATA, 0, SIZE), [])
        return ending, await delivery_of(liar, threads, Body("liar:1", LIES, 1 << 19, SIZE), [])

    assert run(work) == (ev.LeaseFinished(7), ev.LeaseFinished(8))
    assert bytes(content.part.data[: 2 << 20]) == DATA[: 2 << 20]
    assert {piece.host for piece in content.provenance} == {"cdn:1"}


def test_a_hedge_keeps_its_hands_off_bytes_that_its_twin_is_just_writing():
    gate = threading.Event()
    content = content_of(DATA, StrictPart(SIZE, gate=lambda offset: offset == 0 and gate.wait(LIMIT_S)))
    slow = lease_on(content, 0, 1 << 20)
    hedge = lease_on(content, 1 << 19, 2 << 20, number=8, hedge=True)

    async def work(threads):
        first = asyncio.create_task(delivery_of(slow, threads, Body("cdn:1", DATA, 0, SIZE), []))
        await turns_until(content.part.entered.is_set)
        second = await delivery_of(hedge, threads, Body("liar:1", LIES, 1 << 19, SIZE), [])
        gate.set()
        return await first, second

    assert run(work) == (ev.LeaseFinished(7), ev.LeaseFinished(8))
    assert bytes(content.part.data[: 1 << 20]) == DATA[: 1 << 20]
    pieces = [(piece.host, piece.range.start, piece.range.stop) for piece in content.provenance]
    assert pieces == [("cdn:1", 0, 1 << 20), ("liar:1", 1 << 20, 2 << 20)]
    assert all(piece.xxh3 is not None for piece in content.provenance)


def test_what_is_written_counts_as_stored_though_nothing_more_arrives():
    """Else a kill in a silence loses it, and the journal cannot speak of it."""
    content = content_of(DATA)
    lease = lease_on(content, 0, SIZE)

    async def work(threads):
        task = asyncio.create_task(delivery_of(lease, threads, Body("cdn:1", DATA, 0, SIZE, silent_at=1000), []))
        await turns_until(lambda: lease.stored_to == 1000)
        assert stored(content) == [(0, 1000)]
        lease.cancel()
        return await task

    assert run(work) == ev.LeaseCancelled(7, 1000)
