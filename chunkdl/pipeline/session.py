"""Everything that lives as long as a run: connections, threads, one scheduler, one engine.

Decides how the parts are wired and closed. One pool serves all references of a run, so that there is
one tail and not one a file.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from chunkdl import descriptors
from chunkdl.core.bandwidth import TokenBucket
from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.scheduler import Scheduler
from chunkdl.descriptors import share_out
from chunkdl.http.client import HttpClient
from chunkdl.mirrors.memory import load_memory
from chunkdl.pipeline.lessons import Lessons
from chunkdl.settings.values import FIRST_BYTE_S
from chunkdl.transfer.awake import AwakeClock
from chunkdl.transfer.buffers import BufferPool
from chunkdl.transfer.engine import Tools, running
from chunkdl.transfer.limiter import RateLimiter
from chunkdl.transfer.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chunkdl.descriptors import Share
    from chunkdl.model import Digest, Mirror
    from chunkdl.observe import Notice, Observer
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.settings import Settings
    from chunkdl.transfer.engine import Engine
    from chunkdl.transfer.limiter import Lane


# Part files open at once, where descriptors allow. The scheduler needs no more choice than this; the rest
# follow in order.
PARTS_AT_ONCE = 64
# To one host, whatever a mirror is configured to bear: the scheduler's own cap is the same.
CONNECTIONS_AT_ONCE = SchedulerConfig().host_cap
# Small files on their way at once: many times the connections of a run. A data set may have a hundred thousand,
# and whoever looks after all in flight (ten times a second) and their memory should not meet them all.
SMALL_AT_ONCE = 512


@dataclass(slots=True)
class Session:
    """What every reference of a run shares.

    ``arriving`` maps a digest to the blob path that it will have; ``lane`` is the job's place in shared rate limits.
    """

    settings: Settings
    options: FetchOptions
    observer: Observer
    client: HttpClient
    threads: Threads
    engine: Engine
    lessons: Lessons
    notices: list[Notice] = field(default_factory=list)
    lag: dict[str, str] = field(default_factory=dict)
    arriving: dict[Digest, asyncio.Future[Path | None]] = field(default_factory=dict)
    lane: Lane | None = None
    share: Share = field(init=False)
    part_places: asyncio.Semaphore = field(init=False)
    small_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SMALL_AT_ONCE))

    def __post_init__(self) -> None:
        """Take no more descriptors than this process may have."""
        self.share = _share(self.settings)
        self.part_places = asyncio.Semaphore(self.share.parts)

    def notice(self, notice: Notice) -> None:
        """Tell a person something, once."""
        if notice not in self.notices:
            self.notices.append(notice)
            self.observer(notice)

    def view(self, settings: Settings, options: FetchOptions, observer: Observer) -> Session:
        """The same session for one call among many: connections, engine and what mirrors taught are shared.

        Notices, lag and watcher are the call's own, and who forces a fetch takes nothing that another call brought.
        """
        view = copy(self)
        view.settings, view.options, view.observer = settings, options, observer
        view.notices, view.lag = [], {}
        if options.force:
            view.arriving = {}
        return view

    def introduced(self, mirror: Mirror) -> Mirror:
        """The mirror under the run's cap of connections and its limits, known to the engine as earlier runs saw it."""
        cap = min(self.options.connections or self.share.connections, self.share.connections)
        patience_s = self.settings.first_byte_s if mirror.first_byte_s == FIRST_BYTE_S else mirror.first_byte_s
        capped = replace(mirror, max_connections=min(mirror.max_connections, cap), first_byte_s=patience_s)
        return self.lessons.introduce(capped, self.engine)


@asynccontextmanager
async def opened(
    settings: Settings, options: FetchOptions, observer: Observer, limiter: RateLimiter | None = None
) -> AsyncIterator[Session]:
    """A session that finishes what it was asked when the block ends, and leaves nothing behind.

    ``limiter`` is the caller's, in place of the limit in ``options``.

    Raises:
        StoreBroken: fewer descriptors are allowed than so many sources take.
    """
    _share(settings)  # before anything is begun
    if limiter is None and options.limit_rate_bytes_per_s:
        limiter = RateLimiter(TokenBucket(options.limit_rate_bytes_per_s), time.monotonic)
    threads = Threads()
    limit = limiter.rate_bytes_per_s if limiter is not None else 0.0
    scheduler = Scheduler(_config_under(limit), random.Random())  # noqa: S311  jitter, no secret
    lessons = Lessons(observer)
    try:
        memory = await threads.submit(threads.disk, load_memory, settings.state_dir)
        lessons.begin(memory)
        receive_buffer = receive_buffer_bytes(limit)
        async with HttpClient(connect_s=settings.connect_s, receive_buffer_bytes=receive_buffer) as client:
            tools = Tools(client, threads, BufferPool(), AwakeClock(time.monotonic), lessons.watch, limiter)
            async with running(scheduler, tools) as engine:
                session = Session(settings, options, observer, client, threads, engine, lessons)
                for notice in (*settings.notices, *memory.notices):
                    session.notice(notice)
                yield session
    finally:
        # Not awaited: a cancelled run has no time to wait, and the file is small.
        lessons.keep(scheduler.hosts(), rates=limiter is None or not limiter.rate_bytes_per_s)
        threads.close()


def _share(settings: Settings) -> Share:
    wanted = {"parts": PARTS_AT_ONCE, "connections": CONNECTIONS_AT_ONCE}
    return share_out(descriptors.limit(), hosts=len(settings.sources), **wanted)


# Under a limit the kernel's buffers would be filled at line speed first: half a second of the rate in all
# of 16 connections' buffers keeps the first seconds honest; below 16 KiB TCP cannot work well.
_LIMITED_BUFFER_S = 0.5
_BUFFERS = 16
_LEAST_BUFFER_BYTES = 16 << 10


# Each connection's buffers, the sender's included, are filled ahead of the limit (a MiB or so on loopback): a slow
# limit begins with fewer, and more come as always, if it does not bind.
_LIMIT_OF_A_CONNECTION = 4 << 20


def _config_under(limit_rate_bytes_per_s: float) -> SchedulerConfig:
    usual = SchedulerConfig()
    if not limit_rate_bytes_per_s:
        return usual
    enough = max(1, int(limit_rate_bytes_per_s) // _LIMIT_OF_A_CONNECTION)
    return replace(usual, start_connections=min(usual.start_connections, enough))


def receive_buffer_bytes(limit_rate_bytes_per_s: float) -> int | None:
    """What the kernel may hold for one connection under a limit; None leaves it its own measure."""
    if not limit_rate_bytes_per_s:
        return None
    return max(_LEAST_BUFFER_BYTES, int(limit_rate_bytes_per_s * _LIMITED_BUFFER_S / _BUFFERS))
