"""The asyncio engine: obeys the scheduler, and is the only place that creates tasks.

Decides nothing about which bytes come from where: it turns instructions into tasks, their endings into
events, and keeps time. One inbox, one reader; the scheduler's state changes only there, between awaits.
Every task belongs to one TaskGroup, so that nothing outlives the run.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from chunkdl.core.eligibility import has_source_elsewhere
from chunkdl.core.events import (
    CancelLease,
    CompleteRun,
    DeadlineReached,
    FailFile,
    FileAdded,
    FileDropped,
    JobSealed,
    LeaseCancelled,
    LeaseFinished,
    LimiterBound,
    MirrorAdded,
    MirrorsAsked,
    OpenLease,
    Progressed,
    ProveFile,
    ShortenLease,
    SourceAdded,
)
from chunkdl.errors import ChunkdlError, TransferFailed
from chunkdl.http.redirects import host_of
from chunkdl.observe import Notice
from chunkdl.transfer.lease import Delivery, LiveLease, excused
from chunkdl.transfer.limiter import Caps
from chunkdl.transfer.proving import Court, follow, prove, worth_following
from chunkdl.transfer.tally import Tally
from chunkdl.transfer.threads import all_done

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence

    from chunkdl.core.events import Event, Instruction
    from chunkdl.core.scheduler import Scheduler
    from chunkdl.http.client import HttpClient
    from chunkdl.model import Mirror, Source, Verified
    from chunkdl.observe import Observer, Progress
    from chunkdl.transfer.awake import AwakeClock
    from chunkdl.transfer.buffers import BufferPool
    from chunkdl.transfer.content import Content
    from chunkdl.transfer.limiter import RateLimiter
    from chunkdl.transfer.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

# Events in flight: two for each lease and a few for each proof; more means that nobody reads the inbox.
INBOX_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Tools:
    """What the engine works with; everything with a clock, a socket or a thread is handed in."""

    client: HttpClient
    threads: Threads
    buffers: BufferPool
    clock: AwakeClock
    observer: Observer
    limiter: RateLimiter | None = None


class Engine:
    """Runs one scheduler until its job is sealed and complete."""

    def __init__(self, scheduler: Scheduler, tools: Tools, group: asyncio.TaskGroup) -> None:
        """Use ``running`` rather than this: it closes what it opened."""
        self.scheduler = scheduler
        self.tools = tools
        self.leases: dict[int, LiveLease] = {}
        self.contents: dict[int, Content] = {}
        self.wasted_bytes = 0
        self.tally = Tally()
        self._group = group
        self._inbox: asyncio.Queue[Event] = asyncio.Queue(INBOX_LIMIT)
        self._sources: dict[tuple[int, str], Source] = {}
        self._mirrors: set[str] = set()
        self._excessive: set[str] = set()
        self._outcomes: dict[int, asyncio.Future[Verified | ChunkdlError]] = {}
        self._busy: dict[int, set[asyncio.Task[None]]] = {}
        self._files = 0
        self._deadline: float | None = None
        self._complete = False
        self.caps = Caps(tools.limiter, tools.clock)
        self._court = Court(tools.threads, self.post, tools.observer, self._known_bad, self._elsewhere)

    # -- what callers use ------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run ``work`` inside the engine's group: it ends with the engine at the latest."""
        return self._group.create_task(work, name=name)

    def post(self, event: Event) -> None:
        """Tell the scheduler something, at the next turn of the inbox."""
        self._inbox.put_nowait(event)

    def add_mirror(self, mirror: Mirror, rate_bytes_per_s: float = 0.0, host: str = "") -> None:
        """Make a mirror known; once is enough.

        ``rate_bytes_per_s`` is what one connection gave in earlier runs, ``host`` where it led then; empty: itself.
        """
        if mirror.name in self._mirrors:
            return
        self._mirrors.add(mirror.name)
        host = host or host_of(mirror.url)
        self.post(
            MirrorAdded(
                mirror.name, host, mirror.max_connections, mirror.first_byte_s, mirror.priority, rate_bytes_per_s
            )
        )

    async def fetch(self, content: Content, sources: Sequence[Source]) -> Verified:
        """Bring ``content`` from any of ``sources``, prove and place it; raises what stopped it.

        However it ends, nothing touches the content any more when it has: its part may be closed.
        """
        file, self._files = self._files, self._files + 1
        outcome: asyncio.Future[Verified | ChunkdlError] = asyncio.get_running_loop().create_future()
        self.contents[file], self._outcomes[file], self._busy[file] = content, outcome, set()
        for source in sources:
            self.add_mirror(source.mirror)
            self._sources[file, source.mirror.name] = source
        identity = content.identity
        names = tuple(source.mirror.name for source in sources)
        self.post(FileAdded(file, identity.size, content.pending, names, identity.segment_bytes))
        try:
            result = await outcome
        except asyncio.CancelledError:
            self.post(FileDropped(file))
            raise
        finally:
            await self._let_go(file, content)
        self.tally.ended(content, placed=not isinstance(result, ChunkdlError))
        if isinstance(result, ChunkdlError):
            raise result
        return result

    async def _let_go(self, file: int, content: Content) -> None:
        """Stop what still works on ``content``, wait for its end even while being cancelled, and forget the file."""
        content.abandoned = True
        for lease in self.leases.values():
            if lease.content is content:
                lease.cancel()
        try:
            await all_done(self._busy[file])
        finally:
            del self.contents[file], self._busy[file]
            self._outcomes.pop(file, None)
            for key in [each for each in self._sources if each[0] == file]:
                del self._sources[key]

    def attend(
        self, file: int, name: str, act: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[None]:
        """Run what touches a content in flight; its failures end that file, not the run."""
        task = self.spawn(self._guarded(file, act, *args, **kwargs), name)
        busy = self._busy[file]
        busy.add(task)
        task.add_done_callback(busy.discard)
        return task

    async def _guarded(
        self, file: int, act: Callable[P, Coroutine[Any, Any, None]], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        try:
            await act(*args, **kwargs)
        except ChunkdlError as error:
            self.drop(file, error)

    def add_source(self, content: Content, source: Source) -> None:
        """One more mirror proved that it has ``content``."""
        for file, known in self.contents.items():
            if known is content and (file, source.mirror.name) not in self._sources:
                self.add_mirror(source.mirror)
                self._sources[file, source.mirror.name] = source
                self.post(SourceAdded(file, source.mirror.name))

    async def expecting(self, asking: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do what may yet lead to ``add_source``: a file whose sources have all refused waits for it a while."""
        self.post(MirrorsAsked(begun=True))
        try:
            return await asking()
        finally:
            self.post(MirrorsAsked(begun=False))

    def seal(self) -> None:
        """Say that nothing more will be asked; ``serve`` returns when all is done."""
        self.post(JobSealed())

    # -- the loop --------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Read the inbox until the run is complete."""
        while not self._complete:
            self._decide(await self._next_event())

    async def _next_event(self) -> Event:
        if self._deadline is None:
            return await self._inbox.get()
        wait_s = self._deadline - self.tools.clock()
        if self._inbox.empty() and wait_s <= 0:
            return DeadlineReached()
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                return await self._inbox.get()
        except TimeoutError:
            return DeadlineReached()

    def _decide(self, event: Event) -> None:
        now = self.tools.clock()
        self._obey(self.scheduler.handle(self._progress(), now))
        if isinstance(event, Progressed):
            return  # decides nothing, so it must not put off the moment when something is to be decided
        self._obey(self.scheduler.handle(event, now))
        self._deadline = self.scheduler.next_deadline()

    def _progress(self) -> Progressed:
        return Progressed(tuple(lease.mark for lease in self.leases.values()))

    def _obey(self, instructions: Iterable[Instruction]) -> None:
        for order in instructions:
            match order:
                case OpenLease():
                    self._open(order)
                case ShortenLease():
                    self._with_lease(order.lease, lambda lease, stop=order.stop: lease.shorten(stop))  # type: ignore[misc]
                case CancelLease():
                    self._with_lease(order.lease, LiveLease.cancel)
                case ProveFile():
                    self._start_proof(order.file)
                case FailFile():
                    self._end(order.file, _gave_up(self.contents.get(order.file), order.reasons))
                case CompleteRun():
                    self._complete = True

    def _with_lease(self, number: int, act: Callable[[LiveLease], None]) -> None:
        lease = self.leases.get(number)
        if lease is not None:  # else its ending is already in the inbox
            act(lease)

    # -- leases ----------------------------------------------------------------------------------

    def _open(self, order: OpenLease) -> None:
        content = self._wanted(order.file)
        if content is None:
            self.post(LeaseCancelled(order.lease, order.range.start))
            return
        lease = LiveLease(order, content, self._sources[order.file, order.mirror])
        self.leases[order.lease] = lease
        name = f"lease {order.lease} {content.identity.path} {order.range} {order.mirror}"
        self.attend(order.file, name, self._deliver, lease)

    async def _deliver(self, lease: LiveLease) -> None:
        tools, asleep_s = self.tools, self.tools.clock.asleep_s
        limiter = self.caps.of(lease.source.mirror, lease.content.lane)
        delivery = Delivery(lease, tools.client, tools.threads, limiter, self.post)
        ending: Event | None = None
        try:
            ending = await delivery.run(tools.buffers)
            if tools.clock.asleep_s > asleep_s:
                ending = excused(ending)
            if isinstance(ending, LeaseFinished) and ending.excess:
                self._tell_excess(lease.source.mirror)
        finally:
            del self.leases[lease.order.lease]
            self.wasted_bytes += lease.wasted_bytes
            self.post(ending or LeaseCancelled(lease.order.lease, lease.stored_to))

    def _tell_excess(self, mirror: Mirror) -> None:
        """Once a mirror: its connections cannot be kept, which costs a handshake for each range."""
        if mirror.name not in self._excessive:
            self._excessive.add(mirror.name)
            message = f"{mirror.name} sends more bytes than it is asked for: the rest is not looked at"
            self.tools.observer(Notice("excess", message))

    # -- proofs ----------------------------------------------------------------------------------

    def follow_fronts(self) -> None:
        """Start hashing wherever a front has moved; called by the pulse."""
        for file, content in self.contents.items():
            if worth_following(content):
                self.attend(file, f"hash {content.identity.path}", follow, content, file, self._court)

    def _start_proof(self, file: int) -> None:
        content = self._wanted(file)
        if content is not None:
            self.attend(file, f"prove {content.identity.path}", self._prove, file, content)

    def _wanted(self, file: int) -> Content | None:
        """The content behind a number, None if its fetch is over or ending."""
        content = self.contents.get(file)
        return content if content is not None and not content.abandoned else None

    async def _prove(self, file: int, content: Content) -> None:
        result = await prove(content, file, self._court)
        if result is not None:
            self._end(file, result)

    def drop(self, file: int, error: ChunkdlError) -> None:
        """Give a file up for a reason that no mirror can mend."""
        self.post(FileDropped(file))
        self._end(file, error)

    def _end(self, file: int, outcome: Verified | ChunkdlError) -> None:
        future = self._outcomes.pop(file, None)
        if future is not None and not future.done():
            future.set_result(outcome)

    def limiter_bound(self, *, bound: bool) -> None:
        """Our own limiter holds readers back, or no longer does; called by the pulse."""
        self.post(LimiterBound(bound))

    # -- what watchers see -----------------------------------------------------------------------

    @property
    def fetched_bytes(self) -> int:
        """Bytes that this run stored, what was rejected later included."""
        return sum(host.bytes for host in self.scheduler.hosts())

    def progress(self) -> Progress:
        """The whole run at this moment."""
        return self.tally.progress(self.contents.values(), self.scheduler.hosts(), self.tools.clock())

    def waiting(self, what: str, owner: str | None, done_bytes: int) -> None:
        """Another process (``owner``) is fetching ``what``; None when that is over."""
        self.tally.waiting(what, owner, done_bytes)

    def publish(self, event: Progress) -> None:
        """Tell the watcher."""
        self.tools.observer(event)

    def _elsewhere(self, file: int, hosts: Collection[str]) -> bool:
        return has_source_elsewhere(self.scheduler.job, file, hosts)

    def _known_bad(self) -> Sequence[str]:
        return [host.host for host in self.scheduler.hosts() if host.state == "excluded" or host.strikes > 0]


def _gave_up(content: Content | None, reasons: Sequence[str]) -> TransferFailed:
    path = content.identity.path if content is not None else "a file"
    causes = "; ".join(reasons) or "no source offers it"
    return TransferFailed(
        f"{path}: no source delivered it ({causes})",
        hint="run the same command again: what is stored is kept; --add-mirror URL adds a source",
        file=path,
    )


@asynccontextmanager
async def running(scheduler: Scheduler, tools: Tools) -> AsyncIterator[Engine]:
    """An engine that runs while the block does, finishes what was asked, and leaves nothing behind."""
    from chunkdl.transfer.pulse import Pulse  # noqa: PLC0415  the pulse knows the engine

    async with asyncio.TaskGroup() as group:
        engine = Engine(scheduler, tools, group)
        serving = group.create_task(engine.serve(), name="engine")
        pulse = group.create_task(Pulse(engine).beat(), name="pulse")
        try:
            yield engine
            engine.seal()
            await serving
            engine.publish(engine.progress())
        finally:
            pulse.cancel()
