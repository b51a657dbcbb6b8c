"""The batch runner: one engine and one pool over all jobs of a queue, while windows are open.

Decides when to look, and carries out what the pure parts decide: which jobs run (``choosing``), whose budget is spent
(``spending``), which deadline slips (``deadlines``). Deliberately knows neither signals nor screens. Between two looks
lies at most a second while bytes flow, and a few while none may: clocks that jump, a machine that slept, a file that
changed are all met at the next look, whatever caused them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.batch.accounts import Accounts
from chunkdl.batch.choosing import choose
from chunkdl.batch.clocks import overdue_by_clock
from chunkdl.batch.deadlines import late
from chunkdl.batch.ending import Ending, ending_of
from chunkdl.batch.job import Job, JobKind, JobState
from chunkdl.batch.moment import JobMoment, Moment
from chunkdl.batch.outcomes import Outcome
from chunkdl.batch.queue import Queue
from chunkdl.batch.recurring import next_time
from chunkdl.batch.spending import overspent
from chunkdl.batch.working import Fetching, Testing, carried_out, settings_of
from chunkdl.core.bandwidth import TokenBucket
from chunkdl.errors import ChunkdlError
from chunkdl.observe import Notice, ReferencePlanned
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.pool import pooled
from chunkdl.pipeline.session import receive_buffer_bytes
from chunkdl.settings import load_settings
from chunkdl.spelling import spell_bytes, spell_count, spell_rate
from chunkdl.transfer.limiter import RateLimiter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from chunkdl.batch.bookkeeping import Books
    from chunkdl.batch.moment import Watcher
    from chunkdl.batch.orders import Orders
    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.pipeline.pool import Pool

# A watcher sees the batch once a second; a window closes, a cancelled job stops within about that.
_LOOK_S = 1.0
# Where nothing flows: how late a window may open, a job that was added begin, a clock that jumped be noticed.
_IDLE_LOOK_S = 5.0
# Deadlines slip by the hour, not by the second.
_DEADLINE_LOOK_S = 60.0
_NOTICES_KEPT = 50


@dataclass(slots=True)
class _Attempt:
    """A job that runs."""

    number: int
    job: Job
    work: Fetching | Testing
    why: str = "stopped"
    task: asyncio.Task[None] | None = None
    rate_bytes_per_s: float = 0.0
    seen_bytes: int = 0


@dataclass(slots=True)
class _Open:
    """What exists while a window is open; the pool from the first fetch on."""

    stack: AsyncExitStack
    accounts: Accounts
    pool: Pool | None = None


class Runner:
    """Runs a queue; ``run`` once. Everything happens in one event loop."""

    def __init__(
        self,
        books: Books,
        orders: Orders,
        watcher: Watcher,
        rng: random.Random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` is the wall's: windows, deadlines and budgets are about what it shows."""
        self._books = books
        self._orders = orders
        self._watcher = watcher
        self._rng = rng
        self._clock = clock
        self._policy = orders.policy(None)
        self._running: dict[str, _Attempt] = {}
        self._open: _Open | None = None
        self._limiter = RateLimiter(TokenBucket(0.0), time.monotonic)
        self._nudged = asyncio.Event()
        self._notices: deque[Notice] = deque(maxlen=_NOTICES_KEPT)
        self._told = 0
        self._forecast_at = 0.0
        self._seen_at = float("inf")  # as if the clock had been anywhere before
        self._worked = self._was_open = self._heeded = False

    def nudge(self) -> None:
        """Look at once: something has changed."""
        self._nudged.set()

    def say(self, notice: Notice) -> None:
        """Tell watchers something, once in a row."""
        if not self._notices or self._notices[-1] != notice:
            self._notices.append(notice)
            self._told += 1

    async def run(self) -> Ending:
        """Run until the orders say that it is over. Cancelled, every job goes back where the next run finds it."""
        for job in await self._books.call(Queue.recover, self._clock()):
            self.say(Notice("recovered", f"{job.name} was interrupted by a kill: it goes on"))
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    ending = await self._look_again_and_again(group)
                    await self._close("nothing is left to do")
                    return ending
                finally:
                    await self._close("the run was stopped", hook=False)  # a signal waits for no hook
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _look_again_and_again(self, group: asyncio.TaskGroup) -> Ending:
        while True:
            await self._heed_policy()
            await self._heed_clock()
            await self._look(group)
            jobs = await self._books.call(Queue.jobs)
            self._watcher(self._moment(jobs))
            ending = self._ending(jobs)
            if ending is not None and not self._running:
                return replace(ending, worked=self._worked)
            await self._rest(idle=self._open is None and not self._running)

    def _ending(self, jobs: Iterable[Job]) -> Ending | None:
        opened, orders = self._may_flow(), self._orders
        self._was_open = self._was_open or opened
        return ending_of(orders.mode, jobs, self._clock(), opened=opened, until=orders.until, was_open=self._was_open)

    async def _rest(self, *, idle: bool) -> None:
        self._nudged.clear()
        try:
            async with asyncio.timeout(_IDLE_LOOK_S if idle else _LOOK_S):
                await self._nudged.wait()
        except TimeoutError:
            return

    # -- one look --------------------------------------------------------------------------------

    async def _heed_policy(self) -> None:
        """Mistakes at the start are the caller's; later ones leave the policy as it was."""
        remembered = await self._books.call(Queue.policy)
        try:
            policy = self._orders.policy(remembered)
        except ChunkdlError as error:
            if not self._heeded:
                raise
            self.say(Notice("policy", f"the policy stays as it was: {error.message}"))
            return
        if self._heeded and policy.text != self._policy.text:
            self.say(Notice("policy", "the policy was changed and holds from now on"))
        self._policy, self._heeded = policy, True

    async def _heed_clock(self) -> None:
        """At the start, and whenever the clock was set back: what it wrote while it was ahead is corrected."""
        now, before = self._clock(), self._seen_at
        self._seen_at = now
        if now >= before - _LOOK_S:
            return
        times = overdue_by_clock(await self._books.call(Queue.jobs), now, self._policy.zone)
        if times:
            await self._books.call(Queue.set_times, times)
            self.say(
                Notice(
                    "clock", f"the clock was set back: {spell_count(len(times), 'job')} need not wait for what it said"
                )
            )

    def _may_flow(self) -> bool:
        now, until = self._clock(), self._orders.until
        return self._policy.windows.at(now) and (until is None or now < until)

    async def _look(self, group: asyncio.TaskGroup) -> None:
        if not self._may_flow():
            await self._close("the window closed")
            return
        opened = self._open = self._open or _Open(AsyncExitStack(), Accounts(self._books, self._clock))
        self._set_limits(opened)
        await opened.accounts.book(self._policy.zone)
        await self._note_progress()
        await self._heed_budgets(opened)
        await self._forecast(opened)
        waiting = [
            each for each in await self._books.call(Queue.runnable, self._clock()) if each.id not in self._running
        ]
        moves = choose(waiting, {each.job.id: each.job for each in self._running.values()})
        await self._stop(moves.stop, "a more urgent job goes first")
        for job in moves.start:
            await self._begin(job, opened, group)

    def _set_limits(self, opened: _Open) -> None:
        rate = self._policy.rates.at(self._clock())
        if rate != self._limiter.rate_bytes_per_s:
            self._limiter.set_rate(rate)
            self.say(Notice("limit", f"the limit is {spell_rate(rate)}" if rate else "there is no limit"))
            if opened.pool is not None:
                opened.pool.session.client.limit_receive_buffer(receive_buffer_bytes(rate))
        if opened.pool is not None:
            opened.pool.session.engine.caps.set_caps(self._policy.caps)

    # -- jobs ------------------------------------------------------------------------------------

    async def _begin(self, job: Job, opened: _Open, group: asyncio.TaskGroup) -> None:
        try:
            work = await self._work_of(job, opened)
        except ChunkdlError as error:
            number = await self._books.call(Queue.begin, job.id, self._clock())
            if number is not None:
                outcome = Outcome(error.exit_code, error.message, error.hint)
                await self._finish(_Attempt(number, job, Testing(job, self._orders.environ)), outcome)
            return
        number = await self._books.call(Queue.begin, job.id, self._clock())
        if number is None:
            return
        attempt = self._running[job.id] = _Attempt(number, job, work)
        self._worked = True
        attempt.task = group.create_task(self._attempt(attempt, opened), name=f"job {job.id}")

    async def _work_of(self, job: Job, opened: _Open) -> Fetching | Testing:
        if job.wish.task.kind is JobKind.MIRRORS_TEST:
            return Testing(job, self._orders.environ)
        settings = settings_of(job, self._orders.environ, overspent(self._policy.budgets, opened.accounts.spent))
        if opened.pool is None:
            base = load_settings(self._orders.environ)
            entering = pooled(base, FetchOptions(), opened.accounts.watch, self._limiter)
            opened.pool = await opened.stack.enter_async_context(entering)
            opened.pool.session.engine.caps.set_caps(self._policy.caps)
        return Fetching(job, settings)

    async def _attempt(self, attempt: _Attempt, opened: _Open) -> None:
        """From begin to finish; what stops it is in the outcome."""
        work = attempt.work
        try:
            if isinstance(work, Testing):
                outcome = await carried_out(work.work)
            else:
                assert opened.pool is not None
                pool = opened.pool
                observer = _plan_of(work)
                outcome = await carried_out(lambda: work.work(pool, observer))
        except asyncio.CancelledError:
            outcome = work.stopped(attempt.why)
        await self._finish(attempt, outcome)

    async def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        again_at = None
        if attempt.job.wish.every is not None and not outcome.stopped:
            again_at = next_time(attempt.job.wish.every, self._clock(), self._policy.zone)
        await self._note(attempt)
        now, jitter = self._clock(), self._rng.random()
        job = await self._books.call(Queue.finish, attempt.number, outcome, now, jitter=jitter, again_at=again_at)
        self._running.pop(job.id, None)
        if not outcome.stopped:
            self.say(Notice("job", f"{job.name}: {_spell_end(job, outcome)}"))
            await self._orders.on_job_done(job)
        self.nudge()

    async def _stop(self, ids: Iterable[str], why: str) -> None:
        """Stop jobs and wait until they have ended; what they stored stays."""
        attempts = [self._running[each] for each in ids if each in self._running]
        tasks = []
        for each in attempts:
            each.why = why
            if each.task is not None:
                each.task.cancel()
                tasks.append(each.task)
        if tasks:
            await asyncio.wait(tasks)

    async def _close(self, why: str, *, hook: bool = True) -> None:
        opened = self._open
        if opened is None:
            return
        await self._stop(tuple(self._running), why)
        self._open = None
        try:
            await opened.stack.aclose()  # whose last word is how much came
        finally:
            await opened.accounts.book(self._policy.zone, at_once=True)
        self.say(Notice("window", why))
        if hook:
            await self._orders.on_window_closed()

    # -- counting --------------------------------------------------------------------------------

    async def _heed_budgets(self, opened: _Open) -> None:
        """Jobs that may still ask a source whose budget is spent begin again without it; parts stay."""
        spent = overspent(self._policy.budgets, opened.accounts.spent)
        asking = [
            each.job.id
            for each in self._running.values()
            if isinstance(each.work, Fetching) and spent - each.work.settings.exhausted
        ]
        if asking:
            self.say(Notice("budget", f"today's budget is spent: {', '.join(sorted(spent))}"))
            await self._stop(asking, "a daily budget is spent")

    async def _note_progress(self) -> None:
        for each in tuple(self._running.values()):
            if not await self._note(each):
                await self._stop([each.job.id], "cancelled")

    async def _note(self, attempt: _Attempt) -> bool:
        done, total = attempt.work.done_bytes, attempt.work.total_bytes
        attempt.rate_bytes_per_s = max(0, attempt.work.fetched_bytes - attempt.seen_bytes) / _LOOK_S
        attempt.seen_bytes = attempt.work.fetched_bytes
        if not total:
            return True
        return await self._books.call(Queue.note_progress, attempt.job.id, done, total)

    async def _forecast(self, opened: _Open) -> None:
        now = time.monotonic()
        if now - self._forecast_at < _DEADLINE_LOOK_S or not opened.accounts.usual_bytes_per_s:
            return
        self._forecast_at, rate = now, opened.accounts.usual_bytes_per_s
        jobs = await self._books.call(Queue.jobs, (JobState.RUNNING, JobState.WAITING))
        for each in late(jobs, self._policy, rate, self._clock()):
            missing = spell_bytes(each.missing_bytes)
            message = f"{each.job.name} will miss its deadline: at {spell_rate(rate)} {missing} do not fit"
            self.say(Notice("deadline", message))

    def _moment(self, jobs: Iterable[Job]) -> Moment:
        now, accounts = self._clock(), self._open.accounts if self._open is not None else None
        spent = accounts.spent if accounts is not None else {}
        return Moment(
            at=now,
            open=self._may_flow(),
            changes_at=self._policy.windows.next_change(now),
            policy=self._policy,
            limit_bytes_per_s=self._policy.rates.at(now),
            goodput_bytes_per_s=accounts.goodput_bytes_per_s if accounts is not None and self._running else 0.0,
            jobs=tuple(self._job_moment(each) for each in jobs),
            hosts=accounts.hosts if accounts is not None else (),
            spent=tuple((name, spent.get(name, 0)) for name in sorted(self._policy.budgets)),
            notices=tuple(self._notices),
            told=self._told,
        )

    def _job_moment(self, job: Job) -> JobMoment:
        attempt = self._running.get(job.id)
        if attempt is None or not attempt.work.total_bytes:
            return JobMoment(job, job.done_bytes, job.total_bytes)
        return JobMoment(job, attempt.work.done_bytes, attempt.work.total_bytes, attempt.rate_bytes_per_s)


def _plan_of(work: Fetching) -> Observer:
    """Takes the size of the job from its plan."""

    def watch(event: WatchedEvent) -> None:
        if isinstance(event, ReferencePlanned):
            work.total_bytes = event.plan.bytes_total

    return watch


def _spell_end(job: Job, outcome: Outcome) -> str:
    if outcome.done:
        return f"done, {spell_bytes(outcome.bytes_fetched)} fetched"
    return f"{'parked' if job.state is JobState.PARKED else 'tried again later'}: {outcome.reason}"
