"""The whole-file digest, computed behind the contiguous front while the rest still arrives.

Decides what is read when: front first, claims of an earlier run proven by their xxh3 in the same pass,
so that resuming costs one read of what is there and a big file is proven a moment after its last byte.
Runs in a hashing thread; deliberately knows neither hosts nor tasks.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol

import xxhash

from chunkdl.model import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.core.journal_codec import Record
    from chunkdl.model import Digest, Verified

# Large enough that a read costs nothing beside its hash; a record never exceeds one segment (8 MiB).
READ_BYTES = 4 * MIB

_scratch = threading.local()


class Part(Protocol):
    """Where bytes of one content live until they are proven."""

    def write_at(self, view: memoryview, offset: int) -> None:
        """Write all of ``view`` at ``offset``; raises ``StoreError``."""

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from ``offset``; returns bytes read; raises ``StoreError``."""

    def sync_data(self) -> None:
        """Start what a power cut must not take; raises ``StoreError``."""


class Hasher(Protocol):
    """A digest in the making."""

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""

    def prove(self, digest: Digest) -> Verified | None:
        """The proof that what was taken is ``digest``, or None."""

    def hexdigest(self) -> str:
        """What was taken, as this hasher names it."""


class Front:
    """One content's digest so far: everything before ``hashed_to`` is in it."""

    def __init__(self, part: Part, new_hasher: Callable[[], Hasher], claims: Sequence[Record] = ()) -> None:
        """``claims`` are records of an earlier run, unproven until their bytes hash to them."""
        self._part = part
        self._new_hasher = new_hasher
        self._hasher = new_hasher()
        self._claims = {claim.range.start: claim for claim in claims}
        self._claim_starts = sorted(self._claims)
        self.hashed_to = 0
        self.refused = ""  # what the whole content hashed to when it last was not what it should be

    def restart(self) -> None:
        """Begin at offset 0 again, after bytes before the front changed."""
        self._hasher = self._new_hasher()
        self.hashed_to = 0

    def forget(self, gone: ByteRange) -> None:
        """Bytes of ``gone`` come anew: claims on them mean nothing, and a front that passed them starts over."""
        low = max(0, bisect_right(self._claim_starts, gone.start) - 1)
        for start in self._claim_starts[low : bisect_right(self._claim_starts, gone.stop - 1)]:
            claim = self._claims.get(start)
            if claim is not None and claim.range.stop > gone.start:
                del self._claims[start]
        if gone.start < self.hashed_to:
            self.restart()

    def prove(self, digest: Digest) -> Verified | None:
        """The proof that everything before ``hashed_to`` is ``digest``, or None."""
        proof = self._hasher.prove(digest)
        if proof is None:
            self.refused = self._hasher.hexdigest()
        return proof

    def advance(self, stop: int) -> ByteRange | None:
        """Hash up to ``stop``; returns the first claim that does not hold, or None.

        A claim that fails is forgotten: its bytes have to come again.
        """
        while self.hashed_to < stop:
            claim = self._claims.get(self.hashed_to)
            until = claim.range.stop if claim else self._next_claim(stop)
            view = self._read(self.hashed_to, until)
            if claim is not None:
                del self._claims[claim.range.start]
                if xxhash.xxh3_128_digest(view) != claim.xxh3:
                    return claim.range
            self._hasher.update(view)
            self.hashed_to = until
        return None

    @property
    def claims(self) -> tuple[Record, ...]:
        """What is still only claimed, in order of offset."""
        return tuple(self._claims[at] for at in self._claim_starts if at in self._claims)

    def broken(self, claims: Sequence[Record]) -> list[ByteRange]:
        """Those of ``claims`` that their bytes do not hash to."""
        return [each.range for each in claims if not self._holds(each)]

    def _holds(self, claim: Record) -> bool:
        return xxhash.xxh3_128_digest(self._read(claim.range.start, claim.range.stop)) == claim.xxh3

    def _next_claim(self, stop: int) -> int:
        """Where an unclaimed read has to end."""
        limit = min(stop, self.hashed_to + READ_BYTES)
        at = bisect_right(self._claim_starts, self.hashed_to)
        return min(limit, self._claim_starts[at]) if at < len(self._claim_starts) else limit

    def _read(self, start: int, stop: int) -> memoryview:
        return read_exactly(self._part, start, stop)


def read_exactly(part: Part, start: int, stop: int) -> memoryview:
    """Read ``[start, stop)`` into this thread's scratch buffer; valid until its next use.

    Bytes missing at the end of a part file read as absent, which no digest will match.
    """
    view = _scratch_view(stop - start)
    filled = 0
    while filled < len(view):
        got = part.read_at(view[filled:], start + filled)
        if got == 0:
            return view[:filled]
        filled += got
    return view


def _scratch_view(size: int) -> memoryview:
    buffer: bytearray | None = getattr(_scratch, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _scratch.buffer = bytearray(max(size, READ_BYTES))
    return memoryview(buffer)[:size]
