"""How the runner begins, stops and writes down attempts, whose work is played."""

import asyncio
import random
import threading
from contextlib import asynccontextmanager, suppress
from datetime import UTC

import pytest

from chunkdl.batch import working
from chunkdl.batch.attempts import spell_end
from chunkdl.batch.bookkeeping import Books
from chunkdl.batch.ending import ALL_DONE, Mode
from chunkdl.batch.job import Job, JobState, Task, Wish
from chunkdl.batch.orders import Orders
from chunkdl.batch.outcomes import Outcome
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.batch.queue import Queue
from chunkdl.batch.runner import Runner
from chunkdl.errors import DiskFull
from chunkdl.observe import Notice

NOW = 1_790_000_000.0


class Played(working.Testing):
    def __init__(self, job, play):
        super().__init__(job, {})
        self.play = play

    async def work(self):
        return await self.play(self.job)


class Stage:
    """A queue, and a runner whose jobs wait at a gate of their own."""

    def __init__(self, folder, monkeypatch):
        self.path = folder / "batch.sqlite"
        self.gates, self.begun, self.moments, self.ended = {}, [], [], []
        self.on_window_closed = lambda: None
        self.fresh = asyncio.Event()
        stage = self

        async def work_of(_runner, job, _opened):
            return Played(job, stage.play)

        monkeypatch.setattr(Runner, "_work_of", work_of)

    async def play(self, job):
        self.begun.append(job.name)
        await self.gate(job.name).wait()
        return Outcome(0)

    def gate(self, name):
        return self.gates.setdefault(name, asyncio.Event())

    def add(self, name, **how):
        with Queue(self.path) as queue:
            return queue.add(Wish(Task(name), **how), NOW).job.id

    def jobs(self):
        with Queue(self.path) as queue:
            return {each.name: each for each in queue.jobs()}

    def attempts(self):
        with Queue(self.path) as queue:
            return queue.attempts()

    def watch(self, moment):
        self.moments.append(moment)
        self.fresh.set()

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                self.fresh.clear()
                await self.fresh.wait()

    async def look(self, runner):
        """Two looks later, so that one whole look has seen what there is now."""
        seen = len(self.moments)
        for more in (1, 2):
            runner.nudge()
            await self.until(lambda more=more: len(self.moments) >= seen + more)

    async def job_done(self, job):
        self.ended.append(job)

    async def window_closed(self):
        self.on_window_closed()

    @asynccontextmanager
    async def running(self):
        policy = policy_of(PolicyText(), UTC)
        orders = Orders(Mode.WINDOW, None, lambda _: policy, {}, self.job_done, self.window_closed)
        async with Books(self.path) as books:
            runner = Runner(books, orders, self.watch, random.Random(1), lambda: NOW)
            run = asyncio.create_task(runner.run())
            try:
                yield runner, asyncio.wait_for(asyncio.shield(run), 30)
            finally:
                run.cancel()
                await asyncio.wait([run])

    def said(self):
        return [each.message for each in self.moments[-1].notices]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    return Stage(tmp_path, monkeypatch)


async def test_a_stop_that_comes_while_an_end_is_written_down_loses_no_place(stage, monkeypatch):
    loop, writing, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    finish = Queue.finish

    def slow(*args, **how):
        loop.call_soon_threadsafe(writing.set)
        assert go_on.wait(20)
        return finish(*args, **how)

    monkeypatch.setattr(Queue, "finish", slow)
    id_ = stage.add("org/a")
    stage.gate("org/a").set()
    async with stage.running() as (runner, end):
        await asyncio.wait_for(writing.wait(), 20)
        stopping = asyncio.create_task(runner._stop([id_], "a more urgent job goes first"))
        await asyncio.sleep(0)  # it has asked, and waits
        go_on.set()
        await stopping
        assert (await end).exit_code == ALL_DONE
    assert stage.jobs()["org/a"].state is JobState.DONE
    assert [each.name for each in stage.ended] == ["org/a"], "its hook has heard of it"


async def test_what_is_said_when_all_is_over_is_told(stage):
    stage.add("org/a")
    stage.gate("org/a").set()
    async with stage.running() as (runner, end):
        stage.on_window_closed = lambda: runner.say(Notice("hook-failed", "the last word"))
        await end
    assert stage.said()[-1] == "the last word"
    assert [each.job.state for each in stage.moments[-1].jobs] == [JobState.DONE]


async def test_a_job_of_unknown_size_is_cancelled_and_said_to_be(stage):
    id_ = stage.add("org/a")
    async with stage.running() as (runner, end):
        await stage.until(lambda: stage.begun)
        with Queue(stage.path) as queue:
            queue.cancel(id_, NOW)
        runner.nudge()
        assert (await end).exit_code == ALL_DONE
    assert stage.jobs()["org/a"].state is JobState.CANCELLED
    assert "org/a: cancelled" in stage.said()


async def test_a_job_that_is_made_to_recur_while_it_runs_comes_back(stage):
    stage.add("org/a")
    async with stage.running() as (_, end):
        await stage.until(lambda: stage.begun)
        stage.add("org/a", every="0 3 * * *")
        stage.gate("org/a").set()
        await end
    job = stage.jobs()["org/a"]
    assert (job.state, job.exit_code) == (JobState.WAITING, 0)
    assert job.not_before > NOW


async def test_a_job_that_became_more_urgent_while_it_runs_is_not_stopped_for_lesser_ones(stage):
    stage.add("org/a")
    async with stage.running() as (runner, end):
        await stage.until(lambda: stage.begun)
        stage.add("org/a", priority=5)
        stage.add("org/b", priority=3)
        stage.gate("org/b").set()
        await stage.look(runner)
        stage.gate("org/a").set()
        await end
    assert [each.reason for each in stage.attempts()] == ["", ""]


async def test_a_full_disk_ends_no_run(stage, monkeypatch):
    """Progress, and the end of an attempt, are written as soon as there is room."""
    finish, note, tries = Queue.finish, Queue.note_progress, []

    def full(*_args):
        raise DiskFull("batch.sqlite: no space left for the queue")

    def full_once(*args, **how):
        tries.append(1)
        return full() if len(tries) == 1 else finish(*args, **how)

    monkeypatch.setattr("chunkdl.batch.attempts._WRITE_AGAIN_S", 0.0)
    monkeypatch.setattr(Queue, "note_progress", full)
    monkeypatch.setattr(Queue, "finish", full_once)
    stage.add("org/a")
    async with stage.running() as (runner, end):
        await stage.until(lambda: stage.begun)
        await stage.look(runner)
        assert "it is tried again: batch.sqlite: no space left for the queue" in stage.said()
        monkeypatch.setattr(Queue, "note_progress", note)
        stage.gate("org/a").set()
        assert (await end).exit_code == ALL_DONE
    assert (len(tries), stage.jobs()["org/a"].state) == (2, JobState.DONE)


async def test_a_job_that_cannot_be_begun_for_want_of_room_waits_for_the_next_look(stage, monkeypatch):
    begin, tries = Queue.begin, []

    def full_once(*args):
        tries.append(1)
        if len(tries) == 1:
            raise DiskFull("batch.sqlite: no space left for the queue")
        return begin(*args)

    monkeypatch.setattr(Queue, "begin", full_once)
    stage.add("org/a")
    stage.gate("org/a").set()
    async with stage.running() as (_, end):
        assert (await end).exit_code == ALL_DONE


async def test_a_job_that_hangs_keeps_its_place_and_stops_no_look(stage, monkeypatch):
    monkeypatch.setattr("chunkdl.batch.runner._STOP_S", 0.0)

    async def hang(job):
        stage.begun.append(job.name)
        while not stage.gate(job.name).is_set():
            with suppress(asyncio.CancelledError):
                await stage.gate(job.name).wait()
        return Outcome(0)

    stage.play = hang
    stage.add("org/hangs")
    stage.gate("org/urgent").set()
    async with stage.running() as (runner, end):
        await stage.until(lambda: stage.begun)
        stage.add("org/urgent", priority=9)
        await stage.look(runner)
        assert stage.begun == ["org/hangs"]
        stage.gate("org/hangs").set()
        await end
    assert stage.begun == ["org/hangs", "org/urgent"]


def test_the_end_of_an_attempt_is_told_by_what_the_queue_made_of_it():
    def end(state, outcome, **how):
        return spell_end(Job("a", Wish(Task("a")), state, 0.0, **how), outcome)

    assert end(JobState.CANCELLED, Outcome(0)) == "cancelled"
    assert end(JobState.WAITING, Outcome(None, "the window closed")) == ""
    assert end(JobState.DONE, Outcome(0, authenticated=False)) == "done, 0 B fetched, not authenticated"
    assert end(JobState.WAITING, Outcome(4, "silence")) == "tried again later: silence"
    assert end(JobState.WAITING, Outcome(3, "it is gone")) == "fails until somebody looks: it is gone"
    assert end(JobState.PARKED, Outcome(3, "it is gone")) == "parked: it is gone"
