"""The batch runner: one engine and one pool over all jobs of a queue, while windows are open.

Decides when to look, and carries out what the pure parts decide: which jobs run (``choosing``), whose budget is spent
(``spending``), which deadline slips (``deadlines``). Deliberately knows neither signals nor screens. Between two looks
lies at most a second while bytes flow, and a few while none may: clocks that jump, a machine that slept, a file that
changed are all met at the next look, whatever caused them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from chunkdl.batch.accounts import Accounts
from chunkdl.batch.attempts import Attempt, spell_end, watching, written_down
from chunkdl.batch.choosing import Moves, choose
from chunkdl.batch.clocks import overdue_by_clock
from chunkdl.batch.deadlines import Late, Warned, late
from chunkdl.batch.ending import Ending, ending_of
from chunkdl.batch.job import Job, JobKind, JobState
from chunkdl.batch.moment import JobMoment, Moment
from chunkdl.batch.noticeboard import Noticeboard
from chunkdl.batch.outcomes import Outcome
from chunkdl.batch.policy import unknown_mirrors
from chunkdl.batch.queue import Queue
from chunkdl.batch.recurring import next_time
from chunkdl.batch.spending import overspent
from chunkdl.batch.working import Fetching, Testing, carried_out, mirror_names, settings_of
from chunkdl.core.bandwidth import TokenBucket
from chunkdl.errors import ChunkdlError, StoreError
from chunkdl.observe import Notice
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.pool import pooled
from chunkdl.pipeline.session import receive_buffer_bytes
from chunkdl.settings import load_settings
from chunkdl.spelling import spell_bytes, spell_count, spell_rate
from chunkdl.transfer.limiter import RateLimiter

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Iterable

    from chunkdl.batch.bookkeeping import Books
    from chunkdl.batch.moment import Watcher
    from chunkdl.batch.orders import Orders
    from chunkdl.batch.policy import Policy
    from chunkdl.pipeline.pool import Pool

# A watcher sees the batch once a second; a window closes, a cancelled job stops within about that.
_LOOK_S = 1.0
# Where nothing flows: how late a window may open, a job that was added begin, a clock that jumped be noticed.
_IDLE_LOOK_S = 5.0
# Deadlines slip by the hour, not by the second.
_DEADLINE_LOOK_S = 60.0
# A job that is stopped ends within milliseconds, or hangs in the system: on a mount whose server is gone.
_STOP_S = 10.0


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
        self._running: dict[str, Attempt] = {}
        self._open: _Open | None = None
        self._limiter = RateLimiter(TokenBucket(0.0), time.monotonic)
        self._nudged = asyncio.Event()
        self._board = Noticeboard()
        self._warned = Warned()
        self._forecast_at = 0.0
        self._seen_at = float("inf")  # as if the clock had been anywhere before
        self._worked = self._was_open = self._heeded = False

    def nudge(self) -> None:
        """Look at once: something has changed."""
        self._nudged.set()

    def say(self, notice: Notice) -> None:
        """Tell watchers something, once in a row."""
        self._board.say(notice)

    async def run(self) -> Ending:
        """Run until the orders say that it is over. Cancelled, every job goes back where the next run finds it."""
        for job in await self._books.call(Queue.recover, self._clock()):
            self.say(Notice("recovered", f"{job.name} was interrupted by a kill: it goes on"))
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    ending = await self._look_again_and_again(group)
                    await self._close("nothing is left to do")
                finally:
                    await self._close("the run was stopped", hook=False)  # a signal waits for no hook
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        self._watcher(self._moment(await self._books.call(Queue.jobs)))  # what the last hooks had to say
        return ending

    async def _look_again_and_again(self, group: asyncio.TaskGroup) -> Ending:
        while True:
            self._nudged.clear()  # whoever nudges from now on may have come too late for this look
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
        if (policy.budgets or policy.caps) and not (self._heeded and policy.text == self._policy.text):
            known = mirror_names(await self._books.call(Queue.jobs), self._orders.environ)
            for notice in unknown_mirrors(policy, known):
                self.say(notice)
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
        await self._kept(opened.accounts.book(self._policy.zone))
        await self._note_progress()
        await self._heed_budgets(opened)
        await self._forecast(opened)
        moves = await self._moves()
        await self._stop(moves.stop, "a more urgent job goes first")
        if any(each in self._running for each in moves.stop):
            return  # it hangs, and keeps its place
        for job in moves.start:
            await self._kept(self._begin(job, opened, group))

    async def _moves(self) -> Moves:
        """By the jobs as they are now: priorities may have changed while they run."""
        running = {id_: attempt.job for id_, attempt in self._running.items()}
        at_work = await self._books.call(Queue.jobs, (JobState.RUNNING,))
        running |= {each.id: each for each in at_work if each.id in running}
        runnable = [
            each for each in await self._books.call(Queue.runnable, self._clock()) if each.id not in self._running
        ]
        at = time.monotonic()
        unplanned_s = {id_: at - each.began_s for id_, each in self._running.items() if not each.work.planned}
        return choose(runnable, running, unplanned_s=unplanned_s)

    async def _kept(self, writing: Awaitable[None]) -> None:
        """Do what writes into the queue and may be done at the next look as well, when there is room again."""
        try:
            await writing
        except StoreError as error:
            self.say(Notice(error.code, f"it is tried again: {error.message}"))

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
                await self._tell(await self._finish(Attempt(number, job, Testing(job, {})), outcome), outcome)
            return
        number = await self._books.call(Queue.begin, job.id, self._clock())
        if number is None:
            return
        attempt = self._running[job.id] = Attempt(number, job, work)
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

    async def _attempt(self, attempt: Attempt, opened: _Open) -> None:
        """From begin to finish; what stops it is in the outcome."""
        work = attempt.work
        try:
            try:
                if isinstance(work, Testing):
                    outcome = await carried_out(work.work)
                else:
                    assert opened.pool is not None
                    pool = opened.pool
                    observer = watching(work, self.say)
                    outcome = await carried_out(lambda: work.work(pool, observer))
            except asyncio.CancelledError:
                outcome = work.stopped(attempt.why)
            job = await self._finish(attempt, outcome)
        finally:  # whatever went wrong: it holds no place any more
            self._running.pop(attempt.job.id, None)
            attempt.over.set_result(None)
            self.nudge()
        await self._tell(job, outcome)

    async def _finish(self, attempt: Attempt, outcome: Outcome) -> Job:
        """Write down how it ended, and when it comes again; nobody stops that."""
        attempt.ending = True
        await self._note(attempt)
        every = (await self._books.call(Queue.job, attempt.job.id)).wish.every  # it may have been said since it began
        now, jitter = self._clock(), self._rng.random()
        again_at = next_time(every, now, self._policy.zone) if every is not None and not outcome.stopped else None
        write = partial(
            Queue.finish, attempt=attempt.number, outcome=outcome, now=now, jitter=jitter, again_at=again_at
        )
        return await written_down(attempt, lambda: self._books.call(write), self.say)

    async def _tell(self, job: Job, outcome: Outcome) -> None:
        end = spell_end(job, outcome)
        if end:
            self.say(Notice("job", f"{job.name}: {end}"))
        if not outcome.stopped:
            await self._orders.on_job_done(job)

    async def _stop(self, ids: Iterable[str], why: str) -> None:
        """Stop jobs and wait until they have ended; what they stored stays. One that hangs keeps its place."""
        attempts = [self._running[each] for each in ids if each in self._running]
        for each in attempts:
            if each.task is not None and not each.ending:
                each.why = why
                each.task.cancel()
        if attempts:
            await asyncio.wait([each.over for each in attempts], timeout=_STOP_S)

    async def _close(self, why: str, *, hook: bool = True) -> None:
        opened = self._open
        if opened is None:
            return
        await self._stop(tuple(self._running), why)
        self._open = None
        try:
            await opened.stack.aclose()  # whose last word is how much came
        finally:
            await self._kept(opened.accounts.book(self._policy.zone, at_once=True))
        self.say(Notice("window", why))
        if hook:
            await self._orders.on_window_closed()

    # -- counting --------------------------------------------------------------------------------

    async def _heed_budgets(self, opened: _Open) -> None:
        """Jobs begin again without a source whose budget is spent, and with one that has a new day; parts stay."""
        spent = overspent(self._policy.budgets, opened.accounts.spent)
        settings = {id_: each.work.settings for id_, each in self._running.items() if isinstance(each.work, Fetching)}
        asking = [id_ for id_, each in settings.items() if spent - each.exhausted]
        if asking:
            self.say(Notice("budget", f"today's budget is spent: {', '.join(sorted(spent))}"))
            await self._stop(asking, "a daily budget is spent")
        sparing = {id_: each.exhausted - spent for id_, each in settings.items() if each.exhausted - spent}
        if sparing:
            names = sorted(frozenset[str]().union(*sparing.values()))
            self.say(Notice("budget", f"there is budget again: {', '.join(names)}"))
            await self._stop(sparing, "a daily budget is fresh")

    async def _note_progress(self) -> None:
        for each in tuple(self._running.values()):
            each.measure(_LOOK_S)
            if not each.ending and not await self._note(each):
                await self._stop([each.job.id], "cancelled")

    async def _note(self, attempt: Attempt) -> bool:
        """Keep how far it is, as well as that goes now; False if it was cancelled."""
        work = attempt.work
        try:
            return await self._books.call(Queue.note_progress, attempt.job.id, work.done_bytes, work.total_bytes)
        except StoreError as error:
            self.say(Notice(error.code, f"it is tried again: {error.message}"))
            return True

    async def _forecast(self, opened: _Open) -> None:
        now = time.monotonic()
        if now - self._forecast_at < _DEADLINE_LOOK_S or not opened.accounts.usual_bytes_per_s:
            return
        self._forecast_at, rate = now, opened.accounts.usual_bytes_per_s
        found = await self._books.call(_late_in, self._policy, rate, self._clock())
        for each in self._warned.news(found):
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
            notices=self._board.kept,
            told=self._board.told,
        )

    def _job_moment(self, job: Job) -> JobMoment:
        attempt = self._running.get(job.id)
        return attempt.moment(job) if attempt is not None else JobMoment(job, job.done_bytes, job.total_bytes)


def _late_in(queue: Queue, policy: Policy, rate_bytes_per_s: float, now: float) -> list[Late]:
    """Computed in the queue's thread: the event loop has no tenths of a second to spare."""
    return late(queue.jobs((JobState.RUNNING, JobState.WAITING)), policy, rate_bytes_per_s, now)
