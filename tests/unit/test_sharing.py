"""Callers who wish the same: one works, all hear, nobody is left alone."""

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from support.peers import LIMIT_S, turns_until

from chunkdl.observe import Notice, Progress, ignore
from chunkdl.pipeline.background import Background
from chunkdl.pipeline.pool import unless_idle
from chunkdl.pipeline.sharing import Audience, Shared


class Work:
    """Counts who begins it and ends when told."""

    def __init__(self):
        self.begun = 0
        self.end = asyncio.Event()
        self.began = asyncio.Event()

    async def __call__(self, tell):
        self.begun += 1
        self.began.set()
        tell(Notice("begun", str(self.begun)))
        await self.end.wait()
        return self.begun


async def test_equal_wishes_share_and_others_do_not():
    shared, one, other = Shared(), Work(), Work()
    calls = [asyncio.create_task(shared.call(["a"], ignore, one)) for _ in range(3)]
    calls.append(asyncio.create_task(shared.call(["b"], ignore, other)))
    await one.began.wait()
    await other.began.wait()
    one.end.set()
    other.end.set()
    assert await asyncio.gather(*calls) == [1, 1, 1, 1]
    assert (one.begun, other.begun) == (1, 1)
    assert await shared.call(["a"], ignore, one) == 2  # what has ended is no work under way


async def test_who_waits_goes_on_when_who_works_is_cancelled():
    shared, work, told = Shared(), Work(), []
    first = asyncio.create_task(shared.call("a", ignore, work))
    await work.began.wait()
    others = [asyncio.create_task(shared.call("a", told.append, work)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.began.clear()
    await work.began.wait()  # one of the others is at it
    await asyncio.sleep(0)  # and the other has heard that it waits again
    work.end.set()
    assert await asyncio.gather(*others) == [2, 2]
    assert Notice("begun", "2") in told


async def test_who_is_cancelled_while_waiting_disturbs_nobody():
    shared, work = Shared(), Work()
    first = asyncio.create_task(shared.call("a", ignore, work))
    await work.began.wait()
    second = asyncio.create_task(shared.call("a", ignore, work))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    work.end.set()
    assert await first == 1


async def test_the_child_of_a_fork_waits_for_nobody():
    shared, parent, child = Shared(), Work(), Work()
    first = asyncio.create_task(shared.call("a", ignore, parent))
    await parent.began.wait()
    shared.forget()
    child.end.set()
    assert await shared.call("a", ignore, child) == 1
    parent.end.set()
    assert await first == 1


async def test_a_failure_reaches_all():
    shared, began, end = Shared(), asyncio.Event(), asyncio.Event()

    async def fails(_tell):
        began.set()
        await end.wait()
        raise LookupError("nothing")

    calls = [asyncio.create_task(shared.call("a", ignore, fails)) for _ in range(3)]
    await began.wait()
    end.set()
    assert [type(each) for each in await asyncio.gather(*calls, return_exceptions=True)] == [LookupError] * 3


async def test_a_listener_is_told_in_its_own_loop():
    audience, heard = Audience(), asyncio.Queue()
    loop = asyncio.get_running_loop()
    audience.add(lambda event: heard.put_nowait((event, asyncio.get_running_loop() is loop)))

    async def speak():
        audience.tell(Notice("a", "b"))

    with ThreadPoolExecutor(1) as pool:
        await loop.run_in_executor(pool, lambda: asyncio.run(speak()))
    assert await heard.get() == (Notice("a", "b"), True)


def progress(done, total=10):
    return Progress(done, total, 0, 0.0, None, 0, 1, ())


def test_an_idle_pool_is_silent_and_a_stalled_one_is_not():
    heard = []
    told = unless_idle(heard.append)
    for each in (progress(5), progress(5), progress(10), progress(10), progress(10), Notice("a", "b"), progress(0)):
        told(each)
    assert heard == [progress(5), progress(5), progress(10), Notice("a", "b"), progress(0)]


# ---- the thread --------------------------------------------------------------------------------------


class Resource:
    """Opens and closes, and may fail at the first."""

    def __init__(self, failure=None):
        self.failure = failure
        self.closed = False

    async def __aenter__(self):
        if self.failure:
            raise self.failure
        return self

    async def __aexit__(self, *_):
        self.closed = True


def test_a_background_opens_works_and_closes():
    resource, background = Resource(), Background("chunkdl-test")
    assert background.start(lambda: resource) is resource
    forever = background.submit(asyncio.Event().wait())
    assert background.submit(asyncio.sleep(0, "done")).result(10) == "done"
    assert background.stop()
    assert forever.cancelled()
    assert resource.closed
    assert background.stop()


class SlowResource(Resource):
    """Opens when it is told to."""

    def __init__(self, failure=None):
        super().__init__(failure)
        self.opening, self.go_on = threading.Event(), threading.Event()

    async def __aenter__(self):
        self.opening.set()
        assert self.go_on.wait(LIMIT_S)
        return await super().__aenter__()


@pytest.mark.parametrize("failure", [None, LookupError("no port")])
async def test_who_is_cancelled_while_it_opens_leaves_nothing_open(failure):
    resource, background = SlowResource(failure), Background("chunkdl-test")
    task = asyncio.create_task(background.astart(lambda: resource))
    await turns_until(resource.opening.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    resource.go_on.set()
    assert background.stop()
    assert resource.closed == (failure is None)


async def test_who_is_cancelled_as_soon_as_it_is_open_leaves_nothing_open():
    resource, background = SlowResource(), Background("chunkdl-test")
    task = asyncio.create_task(background.astart(lambda: resource))
    await turns_until(resource.opening.is_set)
    resource.go_on.set()
    until = time.monotonic() + LIMIT_S
    while background._loop is None:  # this loop must not turn, or it would hear of it
        assert time.monotonic() < until
    background.submit(asyncio.sleep(0)).result(LIMIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert background.stop()
    assert resource.closed


def test_who_is_interrupted_while_it_opens_leaves_nothing_open(monkeypatch):
    resource, background = SlowResource(), Background("chunkdl-test")

    def interrupted(_future, _timeout=None):
        assert resource.opening.wait(LIMIT_S)
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            background.start(lambda: resource)
    resource.go_on.set()
    assert background.stop()
    assert resource.closed


def test_what_cannot_be_opened_is_told_to_who_wanted_it():
    background = Background("chunkdl-test")
    with pytest.raises(LookupError, match="no port"):
        background.start(lambda: Resource(LookupError("no port")))
    assert background.stop()
