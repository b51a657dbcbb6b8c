"""Which host delivered which bytes of one file, and what those bytes hash to.

Decides what is left of older claims when newer bytes overwrite them. Deliberately does not know what
is true: the publisher's digest covers the whole file only, so this is the evidence that blame needs
(``core.repair``) and that a journal keeps across a kill.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.journal_codec import Record
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one range as one host delivered them; ``xxh3`` None where an overwrite cut the range."""

    range: ByteRange
    host: str
    xxh3: bytes | None


class Provenance:
    """Pieces sorted by offset, disjoint; the newest writer of a byte owns it."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        """Start from what a journal claims, oldest first."""
        self._starts: list[int] = []
        self._pieces: list[Piece] = []
        for record in records:
            self.add(record)

    def __iter__(self) -> Iterator[Piece]:
        """Pieces in order of offset."""
        return iter(self._pieces)

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._pieces)

    def add(self, record: Record) -> None:
        """Note a delivery; what it overwrites loses its hash, unless the same run merely grew longer."""
        self.forget(record.range)
        at = bisect_left(self._starts, record.range.start)
        self._starts.insert(at, record.range.start)
        self._pieces.insert(at, Piece(record.range, record.host, record.xxh3))

    def overlapping(self, span: ByteRange) -> list[Piece]:
        """Pieces that share a byte with ``span``, in order."""
        low = max(0, bisect_right(self._starts, span.start) - 1)
        high = bisect_left(self._starts, span.stop)
        return [piece for piece in self._pieces[low:high] if piece.range.stop > span.start]

    def forget(self, gone: ByteRange) -> None:
        """Drop ``gone``; a piece that reaches outside keeps its host there but no hash."""
        low = max(0, bisect_right(self._starts, gone.start) - 1)
        high = bisect_left(self._starts, gone.stop)
        kept = [rest for piece in self._pieces[low:high] for rest in _outside(piece, gone)]
        self._pieces[low:high] = kept
        self._starts[low:high] = [piece.range.start for piece in kept]

    def records(self) -> tuple[Record, ...]:
        """What a compacted journal has to hold: every piece that still can be proven."""
        return tuple(Record(piece.range, piece.xxh3, piece.host) for piece in self._pieces if piece.xxh3 is not None)

    def shares(self) -> dict[str, list[Piece]]:
        """Pieces by host, in order of first appearance in the file."""
        by_host: dict[str, list[Piece]] = {}
        for piece in self._pieces:
            by_host.setdefault(piece.host, []).append(piece)
        return by_host


def _outside(piece: Piece, gone: ByteRange) -> Iterator[Piece]:
    if piece.range.stop <= gone.start or gone.stop <= piece.range.start:
        yield piece
        return
    if piece.range.start < gone.start:
        yield Piece(ByteRange(piece.range.start, gone.start), piece.host, None)
    if gone.stop < piece.range.stop:
        yield Piece(ByteRange(gone.stop, piece.range.stop), piece.host, None)
