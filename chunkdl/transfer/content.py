"""One content in flight: its part, its journal, what is stored, who delivered it, how far it is proven.

Decides when records are due and what a rejection undoes. One writer for each piece of state: the
event loop changes ``stored`` and ``provenance``, the hashing thread the front, the lease's thread
nothing but bytes. Deliberately knows neither mirrors nor the final layout: ``commit`` is handed in.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chunkdl.core.provenance import Provenance
from chunkdl.core.ranges import RangeSet
from chunkdl.core.repair import Repair
from chunkdl.transfer.front import Front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from chunkdl.core.journal_codec import Record
    from chunkdl.model import ByteRange, Digest, Verified
    from chunkdl.transfer.front import Hasher, Part
    from chunkdl.transfer.limiter import Lane


# A run's record is written again each time that it has grown, five times a second. When the journal holds so
# many times more records than would do, and so many at least (200 KB), it is rewritten.
_COMPACT_FACTOR = 4
_COMPACT_MIN_RECORDS = 4096


class Ledger(Protocol):
    """Where records of stored ranges are kept across a kill."""

    async def append(self, records: Sequence[Record]) -> None:
        """Write records; they may reach the disk before their data."""

    async def rewrite(self, records: Sequence[Record]) -> None:
        """Replace everything by ``records``, atomically."""


class NoLedger:
    """For contents too small to resume."""

    async def append(self, records: Sequence[Record]) -> None:
        """Forget them."""

    async def rewrite(self, records: Sequence[Record]) -> None:
        """Forget them."""


async def _unguarded() -> None:
    """Nobody else can take memory over."""


def _unwatched(_done_bytes: int) -> None:
    """Nobody waits for what lives in memory."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the publisher says: digest, size in bytes, segment grid, the path that messages name."""

    digest: Digest
    size: int
    segment_bytes: int
    path: str


class Content:
    """The state of one content between plan and placement.

    Args:
        identity: what it must be.
        part: where its bytes go.
        ledger: its journal.
        new_hasher: makes a hasher for the digest.
        commit: places the proven part at its final path; runs in a thread; raises ``StoreError``.
        claims: records of an earlier run.
        guard: awaited before each journal append; raises if another process has taken the part file over.
        heartbeat: told the stored bytes every few seconds, in a thread; shows other processes that we live.
        lane: its job's place in rate limits that jobs share.
    """

    def __init__(  # noqa: PLR0913  one constructor wires what the pipeline decided; all by keyword
        self,
        identity: Identity,
        *,
        part: Part,
        new_hasher: Callable[[], Hasher],
        commit: Callable[[Verified], None],
        ledger: Ledger | None = None,
        claims: Sequence[Record] = (),
        guard: Callable[[], Awaitable[None]] = _unguarded,
        heartbeat: Callable[[int], None] = _unwatched,
        lane: Lane | None = None,
    ) -> None:
        self.identity = identity
        self.part = part
        self.ledger: Ledger = ledger if ledger is not None else NoLedger()
        self.commit = commit
        self.guard = guard
        self.heartbeat = heartbeat
        self.lane = lane
        self.provenance = Provenance(claims)
        self.stored = RangeSet(claim.range for claim in claims)
        self.claimed = self.stored.copy()
        self._reserved = self.stored.copy()
        self.front = Front(part, new_hasher, claims)
        self.repair = Repair()
        self.proving = asyncio.Lock()
        self.abandoned = False  # True once its fetch is over: whoever still works on it should stop
        self._unwritten: dict[int, Record] = {}
        self._retract = False
        self._recorded = len(claims)
        self._placing = self._placed = False
        self._flushing = asyncio.Lock()

    def __repr__(self) -> str:
        """One status line."""
        return f"<Content {self.identity.path} {self.stored.total}/{self.identity.size} hashed {self.front.hashed_to}>"

    @property
    def pending(self) -> tuple[ByteRange, ...]:
        """What is still to fetch."""
        return tuple(self.stored.gaps(0, self.identity.size))

    @property
    def front_at(self) -> int:
        """Where the contiguous stored run from offset 0 ends."""
        return self.stored.run_from(0)

    @property
    def claimed_bytes(self) -> int:
        """What an earlier run stored, as far as nothing speaks against it."""
        return self.claimed.total

    @property
    def resumable(self) -> bool:
        """True if what is stored outlives us: there are a part on a disk, a journal, and others who look at them."""
        return not isinstance(self.ledger, NoLedger)

    def reserve(self, start: int, stop: int) -> list[ByteRange]:
        """The bytes of ``[start, stop)`` that the caller is to write: those that nobody has written or is writing.

        The first writer of a byte wins: what the front has hashed must not change under it, and a hedge
        may bring lies.
        """
        fresh = self._reserved.gaps(start, stop)
        self._reserved.add(start, stop)
        return fresh

    def took(self, records: Sequence[Record]) -> None:
        """Bytes were written: they are stored, and their records are due."""
        for record in records:
            self.stored.add(record.range.start, record.range.stop)
            self.provenance.add(record)
            self._unwritten[record.range.start] = record

    def reject(self, ranges: Sequence[ByteRange]) -> None:
        """Bytes have to come again; what the front has hashed of them is hashed again."""
        self._retract = True  # the journal must not claim what proved wrong, not even for one kill
        for gone in ranges:
            for held in (self.stored, self.claimed, self._reserved):
                held.remove(gone.start, gone.stop)
            self.provenance.forget(gone)
            self.front.forget(gone)
            self._unwritten = {at: kept for at, kept in self._unwritten.items() if not _overlap(kept.range, gone)}

    async def flush(self) -> None:
        """Append the records that are due; raises ``StoreError`` or what ``guard`` raises."""
        if self._placing:  # it may sync for long, and other journals are not to wait
            return
        async with self._flushing:
            await self._flush()

    @asynccontextmanager
    async def placing(self) -> AsyncIterator[None]:
        """While the part becomes the final file: records wait, and if the block succeeds none is ever written again.

        The journal goes with the part; a late record would bring it back, and the part with it.
        """
        async with self._flushing:
            await self._flush()
            self._placing = True
            try:
                yield
                self._placed = True
            finally:
                self._placing = False

    async def _flush(self) -> None:
        due, retract = self._unwritten, self._retract
        if self._placed or not (due or retract):
            return
        self._unwritten, self._retract = {}, False
        try:
            await self.guard()
            await self._record(list(due.values()), afresh=retract or self._is_wordy())
        except BaseException:  # cancelled too: what is stored must not be fetched again
            self._unwritten = due | self._unwritten
            self._retract |= retract
            raise

    async def _record(self, due: Sequence[Record], *, afresh: bool) -> None:
        if afresh:
            everything = self.provenance.records()
            await self.ledger.rewrite(everything)
            self._recorded = len(everything)
        else:
            await self.ledger.append(due)
            self._recorded += len(due)

    def _is_wordy(self) -> bool:
        return self._recorded > max(_COMPACT_MIN_RECORDS, _COMPACT_FACTOR * len(self.provenance))


def _overlap(a: ByteRange, b: ByteRange) -> bool:
    return a.start < b.stop and b.start < a.stop
