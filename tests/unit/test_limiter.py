"""The rate limiter in virtual time: a clock that moves only when every reader sleeps."""

import asyncio
from dataclasses import replace

import pytest

from chunkdl.core.bandwidth import TokenBucket
from chunkdl.model import Mirror
from chunkdl.transfer.limiter import Caps, Lane, RateLimiter

MIB = 1 << 20
MIRROR = Mirror(name="m", url="https://m.example")


class Time:
    """Virtual seconds; sleepers wake in order."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        # one limiter lets one reader sleep at a virtual: its sleep is how time passes
        self.now += seconds
        for _ in range(3):  # let whoever became able to run do so first
            await asyncio.sleep(0)


async def read_until(limiter, virtual, until_s, lane=None, read=None):
    """A reader that takes whatever it may; returns its bytes."""
    got = 0
    while virtual.now < until_s:
        portion = limiter.portion(MIB) if read is None else read
        await limiter.pay(portion, *([lane] if lane else []))
        got += portion
    return got


@pytest.fixture
def virtual():
    return Time()


def limiter_at(rate, virtual):
    return RateLimiter(TokenBucket(rate), virtual.clock, virtual.sleep)


@pytest.mark.parametrize("rate", [20_000.0, 3e6, 250e6])
@pytest.mark.parametrize("readers", [1, 5, 16])
async def test_all_readers_together_keep_the_rate(virtual, rate, readers):
    limiter = limiter_at(rate, virtual)
    got = await asyncio.gather(*(read_until(limiter, virtual, 40.0) for _ in range(readers)))
    burst = rate * 0.5
    assert sum(got) == pytest.approx(rate * virtual.now + burst, rel=0.03, abs=readers * limiter.portion(MIB))


async def test_lanes_share_by_weight_however_many_readers_they_have(virtual):
    limiter = limiter_at(4e6, virtual)
    light, heavy = Lane(1.0), Lane(3.0)
    many = [read_until(limiter, virtual, 300.0, light) for _ in range(8)]
    few = [read_until(limiter, virtual, 300.0, heavy) for _ in range(2)]
    got = await asyncio.gather(*many, *few)
    assert sum(got[8:]) / sum(got[:8]) == pytest.approx(3.0, rel=0.1)


async def test_a_lane_that_was_idle_is_owed_nothing_and_owes_nothing(virtual):
    limiter = limiter_at(4e6, virtual)
    early, late = Lane(), Lane()
    await read_until(limiter, virtual, 20.0, early)
    got = await asyncio.gather(read_until(limiter, virtual, 40.0, early), read_until(limiter, virtual, 40.0, late))
    assert got[1] / got[0] == pytest.approx(1.0, rel=0.1)


async def test_a_lane_alone_gets_the_whole_rate(virtual):
    limiter = limiter_at(4e6, virtual)
    assert await read_until(limiter, virtual, 20.0, Lane(0.25)) == pytest.approx(4e6 * 20.5, rel=0.05)


async def test_a_change_of_the_rate_reaches_whoever_waits(virtual):
    limiter = limiter_at(1000.0, virtual)
    limits = []

    async def sleep(seconds):
        await virtual.sleep(seconds)
        limits.append(limiter.rate_bytes_per_s)
        if virtual.now > 2.0:
            limiter.set_rate(0.0)

    limiter._sleep = sleep
    await limiter.pay(1_000_000)  # a debt of a quarter of an hour
    assert 2.0 < virtual.now < 3.0
    assert not limiter.bound
    await limiter.pay(1 << 30)
    assert virtual.now < 3.0


async def test_a_limit_binds_while_readers_wait_and_a_moment_longer(virtual):
    limiter = limiter_at(1e6, virtual)
    await limiter.pay(MIB)
    assert limiter.bound
    virtual.now += 0.9  # a reader that need not wait is no sign yet that none does
    await limiter.pay(1)
    assert limiter.bound
    virtual.now += 1.0
    assert not limiter.bound, "whoever is silent now is not held back by us"


async def test_a_lower_rate_holds_from_then_on(virtual):
    limiter = limiter_at(8e6, virtual)
    first = await read_until(limiter, virtual, 10.0)
    limiter.set_rate(1e6)
    began = virtual.now
    second = await read_until(limiter, virtual, began + 20.0)
    assert first == pytest.approx(8e6 * 10.5, rel=0.05)
    assert second == pytest.approx(1e6 * 20.0, rel=0.1)


async def test_a_cancelled_reader_holds_nobody_up(virtual):
    limiter = limiter_at(1e6, virtual)
    gate = asyncio.Event()

    async def sleep(_seconds):
        await gate.wait()
        virtual.now += 10.0

    limiter._sleep = sleep
    tasks = [asyncio.create_task(limiter.pay(MIB)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # it sleeps
    tasks[1].cancel()  # it waits for its turn
    gate.set()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(each) for each in done] == [asyncio.CancelledError, asyncio.CancelledError, type(None), type(None)]
    await asyncio.wait_for(limiter.pay(1), 5)


def test_nobody_pays_where_nothing_is_limited(virtual):
    assert Caps(None, virtual.clock).of(MIRROR) is None
    assert Caps(None, virtual.clock).of(MIRROR, Lane()) is None


def test_the_smallest_limit_decides_the_portion(virtual):
    caps = Caps(limiter_at(100e6, virtual), virtual.clock)
    capped = replace(MIRROR, rate_cap_bytes_per_s=1e6)
    assert caps.of(MIRROR).portion(MIB) == MIB
    assert caps.of(capped).portion(MIB) == 100_000
    assert caps.of(capped, Lane(limiter=limiter_at(1e5, virtual))).portion(MIB) == 10_000


def test_a_cap_may_be_set_and_lifted_while_a_lease_runs(virtual):
    caps = Caps(limiter_at(0.0, virtual), virtual.clock)
    capped = replace(MIRROR, name="c", rate_cap_bytes_per_s=5e6)
    tolls, own = caps.of(MIRROR), caps.of(capped)
    assert tolls.portion(MIB) == MIB
    caps.set_caps({"m": 1e6, "c": 8e6})
    assert (tolls.portion(MIB), own.portion(MIB)) == (100_000, 500_000)
    caps.set_caps({})
    assert (tolls.portion(MIB), own.portion(MIB)) == (MIB, 500_000)


async def test_several_limits_are_all_kept(virtual):
    run, own = limiter_at(5e6, virtual), limiter_at(2e6, virtual)
    tolls = Caps(run, virtual.clock).of(MIRROR, Lane(limiter=own))
    got = 0
    while virtual.now < 20.0:
        portion = tolls.portion(MIB)
        await tolls.pay(portion)
        got += portion
    assert got == pytest.approx(2e6 * 20.5, rel=0.05)
