"""The engine against scripted peers: when a fetch is over nothing touches its content, and one bad file stays one."""

import asyncio
import random
import threading
import time

import pytest
import xxhash

from chunkdl.core.journal_codec import Record
from chunkdl.errors import ConnectFailed, DiskFull, HTTPStatus, IntegrityError, StoreBroken, TransferFailed, UsageError
from chunkdl.model import ByteRange
from chunkdl.transfer.pulse import Pulse
from tests.support.peers import LIMIT_S, Body, Peers, StrictPart, content_of, engine_run, source_at, turns_until

SIZE = 12 << 20
DATA = random.Random(9).randbytes(SIZE)
SMALL = DATA[:5000]


def honest(mirror, asked, _count):
    return Body(f"{mirror}:1", DATA, asked.start, asked.stop)


class Told:
    """A ledger that only says that it was asked."""

    def __init__(self, told=None):
        self._told = told if told is not None else []

    async def append(self, records):
        self._told.append("append")

    async def rewrite(self, records):
        self._told.append("rewrite")


def is_forgotten(engine):
    return not (engine.contents or engine._sources or engine._outcomes)


def test_a_content_arrives_is_proven_placed_once_and_forgotten():
    placed = []
    content = content_of(DATA, commit=placed.append)

    async def work(engine):
        proof = await engine.fetch(content, [source_at("a"), source_at("b")])
        assert is_forgotten(engine)
        return proof

    proof = engine_run(work, Peers(honest))
    assert placed == [proof]
    assert bytes(content.part.data) == DATA


def test_a_disk_that_fails_ends_the_file_only_when_no_writer_is_left():
    """Else the part is closed under a writer, and its complaint ends the whole run."""
    writing, failed, go_on = threading.Event(), threading.Event(), threading.Event()

    def fail(offset):
        if offset == 0:
            assert writing.wait(LIMIT_S)
            failed.set()
            raise DiskFull("full")

    def gate(offset):
        if offset != 0 and not failed.is_set():
            writing.set()
            assert go_on.wait(LIMIT_S)

    part = StrictPart(SIZE, fail=fail, gate=gate)
    content = content_of(DATA, part)

    async def work(engine):
        fetching = asyncio.create_task(engine.fetch(content, [source_at("a"), source_at("b")]))
        await turns_until(lambda: content.abandoned or fetching.done())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not fetching.done(), "somebody still writes"
        go_on.set()
        with pytest.raises(DiskFull):
            await fetching
        part.close()
        assert is_forgotten(engine)
        return await engine.fetch(content_of(SMALL), [source_at("a")])

    assert engine_run(work, Peers(honest)).size == len(SMALL)


def test_a_cancelled_fetch_has_stored_what_had_arrived_and_the_run_goes_on():
    def silent_in_the_middle(mirror, asked, _count):
        middle = (asked.start + asked.stop) // 2
        return Body(f"{mirror}:1", DATA, asked.start, asked.stop, silent_at=middle if asked.stop > 5000 else None)

    peers = Peers(silent_in_the_middle)
    part = StrictPart(SIZE)
    content = content_of(DATA, part)

    async def work(engine):
        fetching = asyncio.create_task(engine.fetch(content, [source_at("a")]))
        await peers.opened.wait()
        await turns_until(lambda: engine.leases and all(each.received_to > 0 for each in engine.leases.values()))
        fetching.cancel()
        await asyncio.wait([fetching])
        part.close()
        assert fetching.cancelled()
        assert is_forgotten(engine)
        assert not engine.leases
        assert content.stored.total == sum(body.received for body in peers.bodies) > 0
        return await engine.fetch(content_of(SMALL), [source_at("a")])

    assert engine_run(work, peers).size == len(SMALL)


def test_a_setting_that_cannot_work_fails_the_file_and_not_the_run():
    def misconfigured(mirror, asked, _count):
        if mirror == "bad":
            raise UsageError("aiohttp-socks is not installed")
        return honest(mirror, asked, _count)

    async def work(engine):
        with pytest.raises(UsageError):
            await engine.fetch(content_of(DATA), [source_at("bad")])
        return await engine.fetch(content_of(SMALL), [source_at("good")])

    assert engine_run(work, Peers(misconfigured)).size == len(SMALL)


def test_a_bug_in_a_lease_is_loud():
    def broken(*_):
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        engine_run(lambda engine: engine.fetch(content_of(DATA), [source_at("a")]), Peers(broken))
    assert caught.group_contains(ZeroDivisionError)


def test_a_source_that_will_never_serve_ends_in_a_failure_that_names_it():
    def refusing(mirror, *_):
        raise HTTPStatus(f"{mirror} says 404", status=404)

    async def work(engine):
        with pytest.raises(TransferFailed, match="gone says 404"):
            await engine.fetch(content_of(DATA), [source_at("gone")])
        assert is_forgotten(engine)
        return await engine.fetch(content_of(SMALL), [])

    with pytest.raises(ExceptionGroup) as caught:
        engine_run(work, Peers(refusing))
    assert caught.group_contains(TransferFailed), "no source at all is a failure too"


def test_what_fails_while_we_sleep_is_held_against_nobody():
    asleep_s, asked_for = 0.0, []

    def dead_after_a_nap(name, asked, number):
        nonlocal asleep_s
        asked_for.append(asked)
        if len(asked_for) == 1:
            asleep_s = 3600.0
        if len(asked_for) <= 2:
            raise ConnectFailed(f"{name} did not answer")
        return honest(name, asked, number)

    async def work(engine):
        await engine.fetch(content_of(DATA), [source_at("a")])
        return engine.scheduler.hosts()

    hosts = engine_run(work, Peers(dead_after_a_nap), clock=lambda: time.monotonic() + asleep_s)
    assert len(asked_for) > 2
    assert {host.errors for host in hosts} == {1}, "the second failure came while we were awake"


def test_another_process_that_took_over_ends_the_file_with_that_and_asks_once():
    async def taken_over():
        raise StoreBroken("another process has taken the part file over")

    def slow(mirror, asked, _count):
        return Body(f"{mirror}:1", DATA, asked.start, asked.stop, silent_at=asked.start + 1000)

    async def work(engine):
        with pytest.raises(StoreBroken):
            await engine.fetch(content_of(DATA, guard=taken_over, ledger=Told()), [source_at("a")])
        assert is_forgotten(engine)

    engine_run(work, Peers(slow))


def test_a_write_back_of_a_content_that_is_being_closed_is_no_error():
    """The pulse goes through contents one by one; those that end meanwhile are none of its business."""
    hold = threading.Event()

    class SlowSync(StrictPart):
        def sync_data(self):
            super().sync_data()
            self.entered.set()
            assert hold.wait(LIMIT_S)

    stuck, quick = SlowSync(SIZE), StrictPart(SIZE)

    def silent(mirror, asked, _count):
        return Body(f"{mirror}:1", DATA, asked.start, asked.stop, silent_at=asked.start)

    async def work(engine):
        fetches = [
            asyncio.create_task(engine.fetch(content_of(DATA, part, ledger=Told()), [source_at("a")]))
            for part in (stuck, quick)
        ]
        await turns_until(lambda: len(engine.contents) == 2)
        pulse = Pulse(engine)
        pulse._synced_at = float("-inf")
        pulse._write_back()
        await turns_until(stuck.entered.is_set)
        fetches[1].cancel()
        await asyncio.wait([fetches[1]])
        quick.close()
        hold.set()
        await pulse._last_sync
        fetches[0].cancel()
        await asyncio.wait(fetches)

    engine_run(work, Peers(silent))


def test_placement_that_is_under_way_ends_before_a_cancelled_fetch_does():
    begun, go_on = threading.Event(), threading.Event()
    part = StrictPart(len(SMALL))
    done = []

    def commit(proof):
        begun.set()
        assert go_on.wait(LIMIT_S)
        part._check()
        done.append(proof)

    async def work(engine):
        fetching = asyncio.create_task(engine.fetch(content_of(SMALL, part, commit=commit), [source_at("a")]))
        await turns_until(begun.is_set)
        fetching.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        await asyncio.wait([fetching])
        part.close()

    engine_run(work, Peers(honest))
    assert len(done) == 1


def test_nothing_is_recorded_beside_or_after_placement():
    """A late record would bring the journal back, and the guard the part file."""
    begun, go_on = threading.Event(), threading.Event()
    told = []

    def commit(_proof):
        told.append("commit begins")
        begun.set()
        assert go_on.wait(LIMIT_S)
        told.append("commit ends")

    content = content_of(DATA, ledger=Told(told), commit=commit)

    async def work(engine):
        fetching = asyncio.create_task(engine.fetch(content, [source_at("a")]))
        await turns_until(begun.is_set)
        content.took([Record(ByteRange(0, 10), bytes(16), "late")])
        flushing = asyncio.create_task(content.flush())
        for _ in range(5):
            await asyncio.sleep(0)
        go_on.set()
        await fetching
        await flushing

    engine_run(work, Peers(honest))
    assert told[-2:] == ["commit begins", "commit ends"]


def test_claims_that_do_not_hold_come_back_together():
    """After a power cut, or with the part file deleted: not one a round trip."""
    step = 1 << 18
    claims = [
        Record(ByteRange(at, at + step), xxhash.xxh3_128_digest(DATA[at : at + step]), "h")
        for at in range(0, SIZE, step)
    ]
    content = content_of(DATA, claims=claims)  # its part is empty: every claim is wrong
    peers = Peers(honest)

    async def work(engine):
        return await engine.fetch(content, [source_at("a"), source_at("b")])

    assert engine_run(work, peers).size == SIZE
    assert len(peers.bodies) < len(claims) // 2


def test_a_file_that_is_wrong_everywhere_ends_as_such():
    lies = bytes(len(SMALL))

    def lying(mirror, asked, _count):
        return Body(f"{mirror}:1", lies, asked.start, asked.stop)

    async def work(engine):
        with pytest.raises(IntegrityError):
            await engine.fetch(content_of(SMALL), [source_at("a")])
        assert is_forgotten(engine)

    engine_run(work, Peers(lying))


def test_progress_is_whole_at_the_end():
    seen = []

    async def work(engine):
        engine.tally.planned(2, SIZE + len(SMALL))
        await engine.fetch(content_of(DATA), [source_at("a")])
        await engine.fetch(content_of(SMALL), [source_at("a")])

    engine_run(work, Peers(honest), observer=seen.append)
    last = seen[-1]
    assert (last.done_bytes, last.total_bytes, last.fetched_bytes) == (SIZE + len(SMALL),) * 3
    assert (last.files_done, last.files_total) == (2, 2)
