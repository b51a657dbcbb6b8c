"""The engine where peers or disks do not keep to what is expected: silent, late, or sending too much."""

import asyncio
import random
import threading
import time

import pytest

from chunkdl.core import events as ev
from chunkdl.core.bandwidth import TokenBucket
from chunkdl.core.journal_codec import Record
from chunkdl.core.policy import SchedulerConfig
from chunkdl.errors import HTTPStatus
from chunkdl.model import ByteRange
from chunkdl.observe import Notice
from chunkdl.transfer.limiter import RateLimiter
from chunkdl.transfer.threads import Threads
from tests.support.peers import LIMIT_S, Body, Peers, StrictPart, content_of, engine_run, source_at, turns_until

MIB = 1 << 20
DATA = random.Random(9).randbytes(28 * MIB)


@pytest.mark.parametrize("sources", [("a", "b"), ("a",)], ids="+".join)
def test_under_a_limit_that_binds_a_silent_connection_is_still_found_out(sources):
    """Nobody pays any more, and nothing else would ever say that the limit no longer holds anybody back."""
    data = DATA[: 3 * MIB]

    def silent_once(mirror, asked, _count):
        first = mirror == "a" and not any(each.host == "a:1" for each in peers.bodies)
        middle = (asked.start + asked.stop) // 2 if first else None
        return Body(f"{mirror}:1", data, asked.start, asked.stop, silent_at=middle)

    peers, content = Peers(silent_once), content_of(data, StrictPart(len(data)))
    limiter = RateLimiter(TokenBucket(2e6), time.monotonic)

    async def work(engine):
        return await engine.fetch(content, [source_at(each) for each in sources])

    impatient = SchedulerConfig(stall_s=0.3, stall_idle_s=0.2, probe_bytes=MIB)
    assert engine_run(work, peers, config=impatient, limiter=limiter).size == len(data)
    assert bytes(content.part.data) == data


class LateDisk(Threads):
    """The first write that has nothing to write, as what it brings is claimed to be here, waits until it may go on."""

    def __init__(self):
        super().__init__()
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def submit(self, pool, call, *args, **kwargs):
        if getattr(call, "__name__", "") != "_store" or args[2] or self.begun.is_set():
            return super().submit(pool, call, *args, **kwargs)

        def late():
            assert self.may_go_on.wait(LIMIT_S)
            return call(*args, **kwargs)

        self.begun.set()
        return super().submit(pool, late)


def test_claims_that_fail_while_a_stream_passes_them_come_again_and_accuse_nobody():
    threads, seen = LateDisk(), []
    claims = [Record(ByteRange(at, at + MIB), bytes(16), "h") for at in range(4 * MIB, 24 * MIB, MIB)]  # none holds
    content = content_of(DATA, StrictPart(len(DATA)), claims=claims)

    def unranged(mirror, _asked, _count):
        body = Body(f"{mirror}:1", DATA, 0, len(DATA))
        body.ranged = False
        return body

    async def work(engine):
        fetching = asyncio.create_task(engine.fetch(content, [source_at("a")]))
        file = await _first_file(engine)
        await turns_until(lambda: (file.was_rejected and threads.begun.is_set()) or fetching.done())
        threads.may_go_on.set()
        return await fetching

    assert engine_run(work, Peers(unranged), threads=threads, observer=seen.append).size == len(DATA)
    assert bytes(content.part.data) == DATA
    assert not [each for each in seen if type(each).__name__ == "CorruptionFound"]


def test_a_mirror_that_sends_more_than_it_is_asked_for_is_told_of_once():
    def generous(mirror, asked, _count):
        body = Body(f"{mirror}:1", DATA, asked.start, asked.stop)
        body.excess = mirror == "a"
        return body

    seen, peers = [], Peers(generous)

    async def work(engine):
        await engine.fetch(content_of(DATA), [source_at("a")])
        await engine.fetch(content_of(DATA[:5000]), [source_at("a"), source_at("b")])
        return engine.scheduler.story(0)

    story = engine_run(work, peers, observer=seen.append)
    assert [each.code for each in seen if isinstance(each, Notice)] == ["excess"]
    assert any("sent more than asked" in line for line in story)


async def _first_file(engine):
    await turns_until(lambda: engine.scheduler.job.files)
    return engine.scheduler.job.files[0]


def test_a_file_whose_source_refuses_waits_for_those_that_are_still_asked():
    answered = asyncio.Event()

    def picky(mirror, asked, _count):
        if mirror == "a":
            raise HTTPStatus("a says 403", status=403)
        return Body(f"{mirror}:1", DATA[:5000], asked.start, asked.stop)

    content, told = content_of(DATA[:5000]), []

    async def work(engine):
        async def ask():
            await answered.wait()
            engine.add_source(content, source_at("b"))

        handle = engine.scheduler.handle
        engine.scheduler.handle = lambda event, now: (told.append(event), handle(event, now))[1]
        asking = engine.spawn(engine.expecting(ask), "asking")
        fetching = asyncio.create_task(engine.fetch(content, [source_at("a")]))
        await turns_until(lambda: any(isinstance(each, ev.LeaseRefused) for each in told))
        answered.set()
        await asking
        await fetching

    engine_run(work, Peers(picky), config=SchedulerConfig(late_source_s=0.0))
    assert [each.begun for each in told if isinstance(each, ev.MirrorsAsked)] == [True, False]
