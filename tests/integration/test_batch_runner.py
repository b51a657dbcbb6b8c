"""The batch runner over mirrors on loopback; a second of the test is a minute on its wall clock."""

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC

import pytest

from chunkdl.batch.bookkeeping import Books
from chunkdl.batch.ending import ALL_DONE, SOME_PARKED, WORK_LEFT, Mode
from chunkdl.batch.job import Circumstances, JobState, Task, Wish
from chunkdl.batch.orders import Orders
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.batch.queue import Queue
from chunkdl.batch.runner import Runner
from chunkdl.batch.working import options_of
from chunkdl.testing import HubRepo, MirrorServer, SeededContent

MIB = 1 << 20
NOON = 1_790_000_000 // 86_400 * 86_400 + 12 * 3600  # of some day, UTC


def repo(name, size=6 * MIB):
    return HubRepo(
        name,
        {"config.json": f'{{"name": "{name}"}}', "model.safetensors": SeededContent(sum(name.encode()) + size, size)},
    )


@dataclass
class Batch:
    """A queue, a runner and everything that it was seen to do."""

    folder: object
    policy: PolicyText = field(default_factory=PolicyText)
    moments: list = field(default_factory=list)
    ended: list = field(default_factory=list)
    closings: int = 0
    speed: float = 60.0
    began: float = field(default_factory=time.monotonic)
    fresh: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, moment):
        self.moments.append(moment)
        self.fresh.set()

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                self.fresh.clear()
                await self.fresh.wait()

    jumped_s: float = 0.0

    def clock(self):
        return NOON + (time.monotonic() - self.began) * self.speed + self.jumped_s

    @property
    def environ(self):
        return {"HOME": str(self.folder), "CHUNKDL_STATE_DIR": str(self.folder / "state"), "CHUNKDL_MIRRORS": "none"}

    def add(self, *wishes):
        with Queue(self.folder / "batch.sqlite") as queue:
            for each in wishes:
                queue.add(each, self.clock())

    async def job_done(self, job):
        self.ended.append(job)

    async def window_closed(self):
        self.closings += 1

    @asynccontextmanager
    async def runner(self, mode=Mode.WINDOW, until=None):
        orders = Orders(
            mode,
            until,
            lambda _remembered: policy_of(self.policy, UTC),
            self.environ,
            self.job_done,
            self.window_closed,
        )
        async with Books(self.folder / "batch.sqlite") as books:
            yield Runner(books, orders, self.watch, random.Random(1), self.clock)

    async def run(self, mode=Mode.WINDOW, until=None, limit_s=60):
        async with self.runner(mode, until) as runner:
            return await asyncio.wait_for(runner.run(), limit_s)

    def states(self):
        with Queue(self.folder / "batch.sqlite") as queue:
            return {each.wish.task.reference: each.state for each in queue.jobs()}

    def said(self):
        return [each.message for each in (self.moments[-1].notices if self.moments else ())]


@pytest.fixture
def batch(tmp_path):
    return Batch(tmp_path)


def wish(name, *mirrors, priority=0, **more):
    around = Circumstances(origin=mirrors[0].url, mirrors=tuple(each.url for each in mirrors[1:]))
    return Wish(Task(name), priority=priority, circumstances=around, **more)


async def test_all_jobs_are_fetched_over_one_pool_and_counted(batch):
    repos = [repo("org/a"), repo("org/b"), repo("org/c"), repo("org/d")]
    async with MirrorServer(repos) as origin, MirrorServer(repos) as mirror:
        batch.add(*(wish(each.repo_id, origin, mirror) for each in repos))
        ending = await batch.run()
        assert (ending.exit_code, ending.worked) == (ALL_DONE, True)
        with Queue(batch.folder / "batch.sqlite") as queue:
            came = sum(each.bytes for each in queue.traffic())
            attempts = queue.attempts()
            assert {each.state for each in queue.jobs()} == {JobState.DONE}
            assert all(queue.files(each.id) for each in queue.jobs())
        wanted = sum(file.size for each in repos for file in each.entries.values())
        assert came == wanted
        assert sum(each.bytes_fetched for each in attempts) == wanted
        assert sum(host.bytes for each in attempts for host in each.hosts) == wanted
    assert len(batch.ended) == 4


async def test_one_bad_job_never_stops_the_rest(batch):
    good = repo("org/good")
    async with MirrorServer([good]) as origin:
        batch.add(wish("org/absent", origin, priority=5), wish("org/good", origin))
        ending = await batch.run()
    assert ending.exit_code == SOME_PARKED
    assert batch.states() == {"org/absent": JobState.PARKED, "org/good": JobState.DONE}
    parked = next(each for each in batch.ended if each.state is JobState.PARKED)
    assert "org/absent" in parked.reason


async def test_a_bug_that_one_job_meets_parks_it_and_stops_nobody(batch, monkeypatch):
    good, odd = repo("org/good"), repo("org/odd")

    def options(task):
        if task.reference == "org/odd":
            raise RuntimeError("a thing that cannot be")
        return options_of(task)

    monkeypatch.setattr("chunkdl.batch.working.options_of", options)
    async with MirrorServer([good, odd]) as origin:
        batch.add(wish("org/odd", origin, priority=5), wish("org/good", origin))
        ending = await batch.run()
    assert ending.exit_code == SOME_PARKED
    assert batch.states() == {"org/odd": JobState.PARKED, "org/good": JobState.DONE}
    parked = next(each for each in batch.ended if each.state is JobState.PARKED)
    assert "a bug: RuntimeError: a thing that cannot be (test_batch_runner.py:" in parked.reason


async def test_once_waits_for_nothing(batch):
    batch.policy = PolicyText(windows=("03:00-04:00",))
    batch.add(Wish(Task("org/a")))
    ending = await batch.run(Mode.ONCE)
    assert (ending.exit_code, ending.worked) == (WORK_LEFT, False)


async def test_a_window_that_closes_stops_the_transfer_and_the_next_one_goes_on(batch):
    big = repo("org/big", 24 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=3 * MIB) as origin:
        batch.add(wish("org/big", origin))
        batch.policy = PolicyText(windows=("12:00-12:04", "12:07-12:30"), time_zone="UTC")
        first = await batch.run()
        assert first.exit_code == WORK_LEFT
        assert batch.closings == 1
        served = origin.bytes_served
        assert 0 < served < 20 * MIB
        second = await batch.run()  # waits for 12:07
        assert second.exit_code == ALL_DONE
        assert batch.moments[-1].at >= NOON + 7 * 60
        assert origin.bytes_served < 25 * MIB  # nothing but what was in flight came twice
    with Queue(batch.folder / "batch.sqlite") as queue:
        assert [each.reason for each in queue.attempts()] == ["the window closed", ""]


async def test_the_limit_of_the_hour_holds_and_changes_while_it_runs(batch):
    big = repo("org/big", 24 * MIB)
    async with MirrorServer([big]) as origin:
        batch.add(wish("org/big", origin))
        batch.policy = PolicyText(bwlimit="00:00,2M 12:05,off", time_zone="UTC")
        await batch.run()
    limits = {each.limit_bytes_per_s for each in batch.moments}
    assert limits == {2.0 * MIB, 0.0}
    slow = [each for each in batch.moments if each.limit_bytes_per_s]
    done = max(job.done_bytes for each in slow for job in each.jobs)
    seconds = (slow[-1].at - slow[0].at) / batch.speed
    assert done <= 2 * MIB * (seconds + 1.5)
    assert batch.states() == {"org/big": JobState.DONE}


async def test_a_more_urgent_job_takes_the_place_of_lesser_ones(batch):
    lesser = [repo(f"org/lesser{number}", 24 * MIB) for number in range(3)]
    urgent = repo("org/urgent", MIB)
    async with MirrorServer([*lesser, urgent], rate_bytes_per_s=8 * MIB) as origin:
        batch.add(*(wish(each.repo_id, origin) for each in lesser))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: any(job.done_bytes for each in batch.moments for job in each.jobs))
            batch.add(wish("org/urgent", origin, priority=9))
            ending = await asyncio.wait_for(running, 60)
    assert ending.exit_code == ALL_DONE
    assert batch.ended[0].wish.task.reference == "org/urgent"
    with Queue(batch.folder / "batch.sqlite") as queue:
        assert "a more urgent job goes first" in {each.reason for each in queue.attempts()}


async def test_a_cancelled_job_stops_within_a_look_and_stays_cancelled(batch):
    big = repo("org/big", 24 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=MIB) as origin:
        batch.add(wish("org/big", origin))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: any(job.total_bytes for each in batch.moments for job in each.jobs))
            with Queue(batch.folder / "batch.sqlite") as queue:
                queue.cancel(Task("org/big").job_id, batch.clock())
            ending = await asyncio.wait_for(running, 20)
    assert ending.exit_code == ALL_DONE
    assert batch.states() == {"org/big": JobState.CANCELLED}


async def test_a_spent_budget_moves_the_work_to_others(batch):
    big = repo("org/big", 24 * MIB)
    async with (
        MirrorServer([big], rate_bytes_per_s=4 * MIB) as origin,
        MirrorServer([big], rate_bytes_per_s=MIB) as slow,
    ):
        batch.policy = PolicyText(budgets={origin.url.removeprefix("http://"): "6M"})
        batch.add(wish("org/big", origin, slow))
        ending = await batch.run()
        assert ending.exit_code == ALL_DONE
        assert 6 * MIB <= origin.bytes_served < 18 * MIB  # a few seconds of it are in flight when it is noticed
        assert slow.bytes_served > 6 * MIB
    assert any("today's budget is spent" in each for moment in batch.moments for each in map(str, moment.notices))


async def test_a_new_day_lets_running_jobs_ask_again_whose_budget_was_spent(batch):
    big = repo("org/big", 24 * MIB)
    async with (
        MirrorServer([big], rate_bytes_per_s=4 * MIB) as origin,
        MirrorServer([big], rate_bytes_per_s=MIB // 2) as slow,
    ):
        batch.policy = PolicyText(budgets={origin.url.removeprefix("http://"): "2M"})
        batch.add(wish("org/big", origin, slow))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: any("budget is spent" in each for each in batch.said()))
            batch.jumped_s = 13 * HOUR_S
            await batch.until(lambda: any("there is budget again" in each for each in batch.said()))
            running.cancel()
            await asyncio.wait([running])
    with Queue(batch.folder / "batch.sqlite") as queue:
        assert "a daily budget is fresh" in {each.reason for each in queue.attempts()}


async def test_what_only_a_mirror_vouches_for_is_said_and_kept(batch):
    small = repo("org/small", MIB)
    async with MirrorServer([small]) as mirror:
        around = Circumstances(origin="http://127.0.0.1:9", mirrors=(mirror.url,))
        batch.add(Wish(Task("org/small"), circumstances=around))
        assert (await batch.run()).exit_code == ALL_DONE
    assert batch.ended[0].authenticated is False
    assert any(each.startswith("org/small: ") and "unconfirmed" in each for each in batch.said())
    assert "org/small: done, 1.00 MiB fetched, not authenticated" in batch.said()


async def test_a_budget_of_a_misspelt_mirror_is_said(batch):
    small = repo("org/small", MIB)
    async with MirrorServer([small]) as origin:
        batch.policy = PolicyText(budgets={"huggingface.com": "1M", origin.url.removeprefix("http://"): "1G"})
        batch.add(wish("org/small", origin))
        await batch.run()
    (said,) = [each for each in batch.said() if "no mirror of any job" in each]
    assert "'huggingface.com'" in said
    assert said.endswith("did you mean huggingface.co?")


async def test_a_run_that_is_cancelled_leaves_jobs_for_the_next(batch):
    big = repo("org/big", 24 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=4 * MIB) as origin:
        batch.add(wish("org/big", origin))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: any(job.done_bytes for each in batch.moments for job in each.jobs))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(running, 10)
        assert batch.states() == {"org/big": JobState.WAITING}
        assert (await batch.run()).exit_code == ALL_DONE
        assert origin.bytes_served < 26 * MIB


async def test_a_deadline_that_cannot_be_met_is_said_long_before(batch, monkeypatch):
    monkeypatch.setattr("chunkdl.batch.runner._DEADLINE_LOOK_S", 0.0)
    big = repo("org/big", 12 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=3 * MIB) as origin:
        batch.policy = PolicyText(windows=("11:00-12:30",), time_zone="UTC")
        batch.add(wish("org/big", origin, deadline=NOON + 90.0))
        await batch.run()
    assert any("org/big will miss its deadline" in each.message for moment in batch.moments for each in moment.notices)


async def test_a_policy_that_turns_bad_stays_as_it_was(batch):
    big = repo("org/big", 8 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=4 * MIB) as origin:
        batch.add(wish("org/big", origin))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: batch.moments)
            batch.policy = PolicyText(windows=("nonsense",))
            ending = await asyncio.wait_for(running, 30)
    assert ending.exit_code == ALL_DONE
    assert any("the policy stays as it was" in each.message for moment in batch.moments for each in moment.notices)


async def test_a_recurring_job_comes_back_and_is_no_work_that_is_left(batch):
    small = repo("org/small", MIB)
    async with MirrorServer([small]) as origin:
        batch.add(wish("org/small", origin, every="0 3 * * *"))
        ending = await batch.run()
    assert (ending.exit_code, ending.left) == (ALL_DONE, 0)
    with Queue(batch.folder / "batch.sqlite") as queue:
        (job,) = queue.jobs()
    assert job.state is JobState.WAITING
    assert job.not_before == NOON + 15 * 3600
    assert job.path


HOUR_S, DAY_S, YEAR_S = 3600.0, 86_400.0, 365 * 86_400.0


async def test_a_machine_that_wakes_in_the_window_begins_at_once(batch):
    small = repo("org/small", MIB)
    async with MirrorServer([small]) as origin:
        batch.policy = PolicyText(windows=("03:00-05:00",), time_zone="UTC")
        batch.add(wish("org/small", origin))
        async with batch.runner() as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: batch.moments)
            assert not batch.moments[-1].open
            batch.jumped_s = 15.5 * HOUR_S  # asleep from noon to half past three
            runner.nudge()  # as the next look would, at most five seconds later
            ending = await asyncio.wait_for(running, 30)
    assert ending.exit_code == ALL_DONE


@pytest.mark.parametrize("jump_s", [-10 * HOUR_S, 10 * HOUR_S, YEAR_S + 10 * HOUR_S])
async def test_a_clock_that_jumps_out_of_the_window_stops_the_transfer_and_back_into_it_goes_on(batch, jump_s):
    big = repo("org/big", 12 * MIB)
    async with MirrorServer([big], rate_bytes_per_s=4 * MIB, send_buffer_bytes=64 << 10) as origin:
        batch.policy = PolicyText(windows=("11:00-14:00",), time_zone="UTC")
        batch.add(wish("org/big", origin))
        async with batch.runner(Mode.WATCH) as runner:
            running = asyncio.create_task(runner.run())
            await batch.until(lambda: batch.moments and any(job.done_bytes for job in batch.moments[-1].jobs))
            batch.jumped_s = jump_s
            await batch.until(lambda: not batch.moments[-1].open)
            assert batch.states() == {"org/big": JobState.WAITING}
            stopped, seen = origin.bytes_served, len(batch.moments)
            runner.nudge()
            await batch.until(lambda: len(batch.moments) > seen)
            assert origin.bytes_served <= stopped + MIB // 4  # what was being handed over when it was cut
            batch.jumped_s = 0.0
            runner.nudge()
            await batch.until(lambda: batch.states() == {"org/big": JobState.DONE})
            running.cancel()
            await asyncio.wait([running])
        assert origin.bytes_served < 16 * MIB


async def test_a_job_does_not_wait_a_year_for_a_clock_that_was_a_year_ahead(batch):
    small = repo("org/small", MIB)
    dead = Circumstances(origin="http://127.0.0.1:9", mirrors=())
    batch.jumped_s = YEAR_S
    batch.add(Wish(Task("org/small"), circumstances=dead))
    assert (await batch.run(Mode.ONCE)).exit_code == WORK_LEFT
    assert batch.moments[-1].jobs[0].job.failures == 1
    batch.jumped_s = 0.0
    async with MirrorServer([small]) as origin:
        batch.add(wish("org/small", origin))  # the same job, from a hub that lives
        ending = await batch.run(Mode.ONCE)
    assert ending.exit_code == ALL_DONE
    assert any("the clock was set back" in each for each in batch.said())


async def test_a_mirror_that_is_dead_for_the_night_is_tried_again_and_never_parked(batch):
    batch.add(Wish(Task("org/small"), circumstances=Circumstances(origin="http://127.0.0.1:9", mirrors=())))
    ending = await batch.run(Mode.ONCE)
    assert ending.exit_code == WORK_LEFT
    with Queue(batch.folder / "batch.sqlite") as queue:
        (job,) = queue.jobs()
    assert (job.state, job.failures, job.exit_code) == (JobState.WAITING, 1, 4)
    assert job.not_before > batch.clock()
    assert "127.0.0.1:9" in job.reason


async def test_a_disk_that_is_full_at_three_has_room_at_four(batch, monkeypatch):
    small = repo("org/small", 2 * MIB)
    monkeypatch.setattr("chunkdl.assemble.inventory.free_bytes", lambda _path: MIB)
    async with MirrorServer([small]) as origin:
        batch.add(wish("org/small", origin))
        assert (await batch.run(Mode.ONCE)).exit_code == WORK_LEFT
        with Queue(batch.folder / "batch.sqlite") as queue:
            (job,) = queue.jobs()
        assert (job.state, job.exit_code) == (JobState.WAITING, 6)
        assert "1048576 free" in job.reason
        monkeypatch.undo()
        batch.jumped_s = HOUR_S
        assert (await batch.run(Mode.ONCE)).exit_code == ALL_DONE
