"""What happens because time passes: progress told, buffers flushed, journals written, fronts followed.

Decides the rhythm and nothing else. One task beats for the whole run, so that there is no timer and no
event for each read or each connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from chunkdl.core.events import Progressed
from chunkdl.model import GIB
from chunkdl.transfer.content import Content
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chunkdl.transfer.engine import Engine

# Progress reaches the scheduler and the screen at most ten times a second.
BEAT_S = 0.1
# A killed process loses what is neither written nor recorded. Journals may lag by 0.5 s: buffers are
# written out every second beat, and the append that follows has the other 0.3 s.
FLUSH_EVERY_BEATS = 2
# Other hosts take a part file over when its owner's counter has stood still for 30 s.
HEARTBEAT_EVERY_BEATS = 50
# Early write-back bounds what a power cut can take and what the last fsync has to wait for.
SYNC_EVERY_BYTES = GIB
SYNC_EVERY_S = 30.0


class Pulse:
    """Beats for one engine."""

    def __init__(self, engine: Engine) -> None:
        """Nothing runs until ``beat``."""
        self._engine = engine
        self._beats = 0
        self._last_flush: asyncio.Task[None] | None = None
        self._last_sign: asyncio.Task[None] | None = None
        self._last_sync: asyncio.Task[None] | None = None
        self._synced_bytes = 0
        self._synced_at = engine.tools.clock()
        self._limiter_bound = False

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._beats += 1
            self._engine.post(Progressed(()))
            self._engine.follow_fronts()
            if self._beats % FLUSH_EVERY_BEATS == 0:
                self._flush()
            if self._beats % HEARTBEAT_EVERY_BEATS == 0:
                self._show_life()
            self._write_back()
            self._tell_limiter()
            self._engine.publish(self._engine.progress())

    def _flush(self) -> None:
        for lease in self._engine.leases.values():
            lease.flush()
        if self._last_flush is None or self._last_flush.done():
            self._last_flush = self._engine.spawn(self._flush_journals(), "journals")

    async def _flush_journals(self) -> None:
        await self._for_each("journal", Content.flush)

    def _show_life(self) -> None:
        if self._last_sign is None or self._last_sign.done():
            self._last_sign = self._engine.spawn(self._for_each("sign of", self._show_life_of), "signs")

    async def _show_life_of(self, content: Content) -> None:
        """In a writer's thread: a final sync may keep those for syncing busy for longer than others wait for a sign."""
        threads = self._engine.tools.threads
        await settled(threads.submit(threads.disk, content.heartbeat, content.stored.total))

    def _write_back(self) -> None:
        now, fetched = self._engine.tools.clock(), self._engine.fetched_bytes
        due = fetched - self._synced_bytes >= SYNC_EVERY_BYTES or now - self._synced_at >= SYNC_EVERY_S
        if not due or (self._last_sync is not None and not self._last_sync.done()):
            return
        self._synced_bytes, self._synced_at = fetched, now
        self._last_sync = self._engine.spawn(self._for_each("sync", self._write_back_of), "write-back")

    async def _write_back_of(self, content: Content) -> None:
        threads = self._engine.tools.threads
        await settled(threads.submit(threads.sync, content.part.sync_data))

    async def _for_each(self, name: str, act: Callable[[Content], Coroutine[Any, Any, None]]) -> None:
        """One content after the other, those that end meanwhile left out."""
        for file, content in list(self._engine.contents.items()):
            if content.resumable and not content.abandoned:
                await self._engine.attend(file, f"{name} {content.identity.path}", act, content)

    def _tell_limiter(self) -> None:
        limiter = self._engine.tools.limiter
        bound = limiter is not None and limiter.bound
        if bound != self._limiter_bound:
            self._limiter_bound = bound
            self._engine.limiter_bound(bound=bound)
