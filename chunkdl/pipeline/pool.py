"""One warm session for many calls: connections, what mirrors proved, and one tail for all of them.

Decides what calls share and what each has of its own: the pool's connections and engine serve all; selection,
folders, watcher and report belong to the call. A fault of one call does not end the others.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.errors import UsageError
from chunkdl.observe import Progress
from chunkdl.pipeline.beside import fetch_offline_beside
from chunkdl.pipeline.outcome import of_call
from chunkdl.pipeline.reference import ReferenceRun
from chunkdl.pipeline.session import opened
from chunkdl.pipeline.sharing import Audience, Shared
from chunkdl.pipeline.watching import harmless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.pipeline.askers import Asker
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.pipeline.session import Session
    from chunkdl.report import ReferenceReport, Report
    from chunkdl.settings import Settings
    from chunkdl.transfer.limiter import Lane, RateLimiter


@dataclass(frozen=True, slots=True)
class How:
    """What a call may say beside what it wishes.

    Args:
        asker: says what the reference means; by default the one that belongs to it.
        lane: the call's place in the pool's rate limit.
        begun: given the run when it begins, to see how far it is.
    """

    asker: Asker | None = None
    lane: Lane | None = None
    begun: Callable[[ReferenceRun], None] | None = None


_PLAINLY = How()


class Pool:
    """Fetches over one session; use ``pooled``. All methods belong to the event loop of the session."""

    def __init__(self, session: Session, audience: Audience, observer: Observer) -> None:
        """``audience`` hears what the engine tells, ``observer`` everything."""
        self.session = session
        self._audience = audience
        self.observer = observer
        self._under_way: Shared[Report] = Shared()

    async def fetch(
        self,
        reference: str,
        options: FetchOptions,
        settings: Settings,
        observer: Observer,
        how: How = _PLAINLY,
    ) -> Report:
        """Fetch one reference; its failure is in the report. ``settings`` may differ from the pool's in anything.

        Args:
            reference: as typed.
            options: selection of this call; its limits are the pool's.
            settings: of this call.
            observer: told of this call, and of the whole pool's progress.
            how: what else is said.
        """
        if settings.offline:
            return await fetch_offline_beside([reference], options, settings, harmless(observer))

        async def work(tell: Observer) -> Report:
            return await self._run(reference, options, settings, tell, how)

        return await self._under_way.call((reference, options, settings), harmless(observer), work)

    async def _run(
        self,
        reference: str,
        options: FetchOptions,
        settings: Settings,
        tell: Observer,
        how: How,
    ) -> Report:
        def told(event: WatchedEvent) -> None:
            tell(event)
            self.observer(event)

        began = time.monotonic()
        view = self.session.view(settings, options, told)
        view.lane = how.lane
        run = ReferenceRun(view, reference, how.asker)
        if how.begun is not None:
            how.begun(run)
        self._audience.add(tell)
        try:
            result = await self.session.engine.spawn(_outcome(run), f"fetch {reference}")
        finally:
            self._audience.remove(tell)
        if isinstance(result, Exception):
            raise result
        return of_call(result, view, time.monotonic() - began, run.fetched_bytes)


async def _outcome(run: ReferenceRun) -> ReferenceReport | Exception:
    """A bug in one call as a value: raised in the engine's group it would end everybody's."""
    try:
        return await run.run()
    except Exception as error:  # noqa: BLE001  raised again where the call is made
        return error


def unless_idle(observer: Observer) -> Observer:
    """``observer``, who is not told ten times a second that nothing moves and nothing is to be done."""
    last: list[Progress] = []

    def told(event: WatchedEvent) -> None:
        if isinstance(event, Progress):
            if last == [event] and event.done_bytes >= event.total_bytes:
                return
            last[:] = [event]
        observer(event)

    return told


@asynccontextmanager
async def pooled(
    settings: Settings, options: FetchOptions, observer: Observer, limiter: RateLimiter | None = None
) -> AsyncIterator[Pool]:
    """A pool while the block runs. ``options`` give its limits, ``settings`` its memory of mirrors.

    ``limiter`` is the caller's, who may change its rate, in place of the limit in ``options``.

    Raises:
        UsageError: the settings are offline, where there is nothing to pool.
    """
    if settings.offline:
        raise UsageError(f"{settings.offline_because or 'the settings'}: offline, there is nothing to connect to")
    audience, observer = Audience(), harmless(observer)
    audience.add(observer)
    async with opened(settings, options, unless_idle(audience.tell), limiter) as session:
        yield Pool(session, audience, observer)
