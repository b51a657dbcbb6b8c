"""One process identifies and fetches a reference, the others that wish the same wait for it.

Decides what is the same wish, who goes first, and what those who waited need not ask again. It saves requests
and guards nothing: contents have owners of their own, taken after this and never the other way round, so that
nobody who holds a content waits for a flight. Where the state folder cannot be used everybody asks.

Whoever takes over from one who was killed or interrupted goes on, and the others wait for it in turn. After one who
has finished, or failed with an answer, nobody queues: there is little left to do, or nobody can.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import astuple, replace
from functools import partial
from typing import TYPE_CHECKING

from chunkdl.errors import StoreError
from chunkdl.pipeline.state_litter import tidy_state
from chunkdl.pipeline.turn import Turn
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chunkdl.identify.known import Known
    from chunkdl.model import Reference
    from chunkdl.pipeline.session import Session
    from chunkdl.transfer.ownership import Owned

# What those who wait show moves each second; one small write, and more often than other hosts need as a sign of life.
_TELL_EVERY_S = 1.0
# So many owners that died one after the other are remembered by name; more would ask once more.
_MOST_NAMES = 32


class Flight:
    """One reference of one run, among all processes of this user that wish the same."""

    def __init__(self, session: Session, known: Known, reference: Reference) -> None:
        """``known`` is told who we are, so that what we learn carries our name."""
        self._session = session
        self._known = known
        self._reference = reference

    @asynccontextmanager
    async def boarded(self, done_bytes: Callable[[], int]) -> AsyncIterator[frozenset[str]]:
        """Wait for our turn and keep it until the block ends; yields the names of those who were waited for.

        ``done_bytes`` is what others are shown while we work.
        """
        options = self._session.options
        path = None if options.dry_run or options.force else await self._known.flight(*self._wish())
        if path is None:
            yield frozenset()
            return
        turn = Turn(self._session, self._session.threads.disk, path, path.name)
        telling: asyncio.Task[None] | None = None
        unfinished = False
        try:
            with suppress(StoreError):  # as if nobody else were there: what is asked twice is no fault
                owned = await self._first(turn)
                if owned is not None:
                    self._known.name = _named(turn.seen, owned)
                    telling = self._session.engine.spawn(self._tell(owned, done_bytes), f"tell {path.name}")
            yield frozenset(turn.seen)
        except asyncio.CancelledError:
            unfinished = True
            raise
        finally:
            if telling is not None:
                telling.cancel()
            await self._in_thread(partial(self._end, turn, unfinished=unfinished))

    async def _first(self, turn: Turn) -> Owned | None:
        """The right to go before others; None if we come after one who has finished or given up."""
        owned = await turn.wait(lambda: False)
        if owned is None or not turn.seen or owned.replaced is not None:
            return owned
        await self._in_thread(turn.give_back)
        return None

    def _end(self, turn: Turn, *, unfinished: bool) -> None:
        turn.give_back(unfinished=unfinished)
        if not unfinished:  # one who is interrupted has no time for it
            tidy_state(self._session.settings.state_dir, turn.path.parent)

    def _wish(self) -> tuple[str, ...]:
        """What makes two processes do the same work: what is asked for, who may answer, where it goes."""
        settings, reference = self._session.settings, self._reference
        where = settings.local_dir or settings.cache_dir
        named = (reference.repo_type, reference.repo_id, reference.revision or "main", reference.path or "")
        asked = (reference.url or "", *named)
        # the revision is in the reference by now, and pace makes no other work
        wanted = replace(self._session.options, revision=None, limit_rate_bytes_per_s=0.0, connections=0)
        return (*asked, repr(astuple(wanted)), settings.trust, str(settings.origin.token is not None), str(where))

    async def _tell(self, owned: Owned, done_bytes: Callable[[], int]) -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            with suppress(StoreError):
                await self._in_thread(partial(owned.publish, done_bytes()))

    async def _in_thread(self, call: Callable[[], None]) -> None:
        threads = self._session.threads
        await settled(threads.submit(threads.disk, call))


def _named(seen: set[str], owned: Owned) -> str:
    """What our word is known by: also by the names of those before us, whose word it continues.

    Somebody who waited for them may not have looked while we were there. If we did not wait ourselves and ask anew, our
    word is newer than theirs, and as good.
    """
    before = sorted({*seen, owned.replaced or ""} - {"", owned.nonce})[:_MOST_NAMES]
    return " ".join((*before, owned.nonce))
