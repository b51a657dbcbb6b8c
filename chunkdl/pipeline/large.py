"""A content with a part file: owned by one process, journalled, resumable, closed in the right order.

Decides who goes first and what is left on disk: after success only the blob, after anything else the
part and its journal, for whoever comes next.
"""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from chunkdl.assemble.digests import ContentHasher
from chunkdl.assemble.hub_lock import HubLock
from chunkdl.assemble.place import commit_blob
from chunkdl.core.journal_codec import Header
from chunkdl.disk import store_errors
from chunkdl.errors import StoreBroken, StoreError
from chunkdl.pipeline.turn import Turn
from chunkdl.transfer.content import Content, Identity
from chunkdl.transfer.journal import Journal
from chunkdl.transfer.ownership import Owned, Ownership
from chunkdl.transfer.partfile import PartFile
from chunkdl.transfer.receipts import Receipts
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chunkdl.assemble.destination import Destination
    from chunkdl.core.journal_codec import Record
    from chunkdl.core.planner import PlannedContent
    from chunkdl.model import Verified
    from chunkdl.pipeline.session import Session

P = ParamSpec("P")
T = TypeVar("T")


class LargeContent:
    """Opens one content's files under ownership."""

    def __init__(self, session: Session, destination: Destination, planned: PlannedContent) -> None:
        """Nothing is opened yet."""
        self._session = session
        self._destination = destination
        self._planned = planned
        self._paths = destination.paths_of(planned)
        self._locks = [HubLock(path) for path in self._paths.locks]
        self._turn = Turn(session, session.threads.sync, self._paths.owner, planned.digest.hex)
        self._part: PartFile | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Content | None]:
        """The content, ours alone until the block ends; None if another process has placed it meanwhile."""
        async with AsyncExitStack() as stack:
            # before the first is acquired: who is cancelled while a thread still acquires must give it back too
            stack.push_async_callback(self._in_thread, self._give_back)
            owned = await self._turn.wait(self._is_placed)
            if owned is None:
                yield None
                return
            if await self._in_thread(self._is_placed):
                await self._in_thread(self._sweep)
                yield None
                return
            part = await self._in_thread(self._open_part, owned)
            journal = await self._journal(stack)
            content = self._content(owned, part, *journal)
            stack.push_async_callback(self._last_flush, content)
            yield content

    async def tidy(self) -> None:
        """The blob stands: what a killed process left beside it goes, unless somebody is at it. Never fails."""
        await self._in_thread(self._tidy)

    def _tidy(self) -> None:
        if not any(map(os.path.lexists, (self._paths.part, self._paths.journal, self._paths.owner))):
            return
        with suppress(StoreError):  # a read-only cache serves as it is
            owned = Ownership.acquire(self._paths.owner, time.monotonic)
            if isinstance(owned, Owned):
                self._sweep()
                owned.release()

    def _sweep(self) -> None:
        for path in (self._paths.part, self._paths.journal):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _open_part(self, owned: Owned) -> PartFile:
        """The part file, and huggingface_hub's own locks: a ``from_pretrained`` beside us waits and does not fetch."""
        for lock in self._locks:
            lock.acquire()
        if self._session.options.force or not os.path.lexists(self._paths.part):
            with store_errors(self._paths.journal):  # it speaks of bytes that are not wanted, or not here
                self._paths.journal.unlink(missing_ok=True)
        self._part = part = PartFile.open(self._paths.part, self._planned.size)
        if owned.heir_of_silent:
            part.rescue(self._paths.part)
        return part

    def _give_back(self) -> None:
        """Whatever was acquired, the right to it last, and also if a network disk reports its failure at closing."""
        with ExitStack() as stack:
            stack.callback(self._turn.give_back)
            for lock in self._locks:
                stack.callback(lock.release)
            if self._part is not None:
                stack.callback(self._part.close)

    def _is_placed(self) -> bool:
        return not self._session.options.force and self._destination.holds(self._planned)

    async def _journal(self, stack: AsyncExitStack) -> tuple[Journal, tuple[Record, ...]]:
        header = Header(self._planned.digest, self._planned.size, self._planned.segment_bytes)
        journal, claims = await Journal.open(self._paths.journal, header, self._session.threads.disk)
        stack.push_async_callback(journal.close)
        return journal, claims

    def _content(self, owned: Owned, part: PartFile, journal: Journal, claims: tuple[Record, ...]) -> Content:
        planned = self._planned

        def commit(proof: Verified) -> None:
            _still_ours(owned, planned)
            commit_blob(part.fd, part.path, proof, self._paths.blob)
            Receipts(self._session.settings.state_dir).keep_journal(self._paths.journal, planned.digest, proof.digest)
            with suppress(OSError):  # what is proven and placed stays so; ``tidy`` of the next run takes it away
                self._paths.journal.unlink(missing_ok=True)

        async def guard() -> None:
            """With the writers: what syncs may take minutes, and a killed process loses what no journal speaks of."""
            if await self._with_the_writers(_has_lost_its_name, owned, part, planned):
                await self._in_thread(part.rescue, part.path)

        return Content(
            identity_of(planned),
            part=part,
            new_hasher=lambda: hasher_of(planned),
            commit=commit,
            ledger=journal,
            claims=claims,
            guard=guard,
            heartbeat=owned.publish,
            lane=self._session.lane,
        )

    async def _last_flush(self, content: Content) -> None:
        """Whatever ended the block: what is stored is recorded, unless the blob already stands."""
        if await self._with_the_writers(self._paths.journal.exists):
            await content.flush()

    async def _with_the_writers(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        threads = self._session.threads
        return await settled(threads.submit(threads.disk, call, *args, **kwargs))

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        threads = self._session.threads
        return await settled(threads.submit(threads.sync, call, *args, **kwargs))


def identity_of(planned: PlannedContent) -> Identity:
    """What the engine is told about a planned content."""
    return Identity(planned.digest, planned.size, planned.segment_bytes, planned.paths[0])


def hasher_of(planned: PlannedContent) -> ContentHasher:
    """A fresh hasher for a planned content."""
    return ContentHasher(planned.digest.algorithm, planned.size)


def _still_ours(owned: Owned, planned: PlannedContent) -> None:
    if not owned.still_mine():
        raise StoreBroken(
            f"{planned.paths[0]}: another process has taken the part file over",
            hint="it goes on where this one stopped; run the same command again to wait for it",
            file=planned.paths[0],
        )


def _has_lost_its_name(owned: Owned, part: PartFile, planned: PlannedContent) -> bool:
    """A journal may only speak for the one part file that stands under its name, and is ours."""
    _still_ours(owned, planned)
    return part.vanished()
