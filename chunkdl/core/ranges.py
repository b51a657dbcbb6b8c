"""The algebra of byte ranges: sets of half-open ranges, kept sorted, disjoint and coalesced.

Decides nothing. Resume, planning and scheduling are all this algebra, so it has a file of its own
and is tested against a plain set of integers. Every operation is O(log n + touched ranges).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class RangeSet:
    """A mutable set of bytes, stored as parallel sorted lists of starts and stops."""

    __slots__ = ("_starts", "_stops", "total")

    def __init__(self, ranges: Iterable[ByteRange] = ()) -> None:
        """Collect ``ranges``, which may overlap and touch."""
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.total = 0
        for each in ranges:
            self.add(each.start, each.stop)

    def __iter__(self) -> Iterator[ByteRange]:
        """Maximal runs in order of offset."""
        return (ByteRange(a, b) for a, b in zip(self._starts, self._stops, strict=True))

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Maximal runs as plain ``(start, stop)``, where a value object each would cost too much."""
        return zip(self._starts, self._stops, strict=True)

    def __bool__(self) -> bool:
        """True if any byte is in the set."""
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        """Equal sets of bytes."""
        return isinstance(other, RangeSet) and (self._starts, self._stops) == (other._starts, other._stops)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """The runs, as ``{[0, 4) [8, 12)}``."""
        return "{" + " ".join(map(str, self)) + "}"

    def copy(self) -> RangeSet:
        """An independent set of the same bytes."""
        twin = RangeSet()
        twin._starts, twin._stops, twin.total = self._starts.copy(), self._stops.copy(), self.total
        return twin

    def add(self, start: int, stop: int) -> None:
        """Put ``[start, stop)`` in; an empty range changes nothing."""
        if start >= stop:
            return
        low = bisect_left(self._stops, start)  # first run that touches or follows
        high = bisect_right(self._starts, stop)  # one past the last run that touches
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._replace(low, high, [(start, stop)])

    def remove(self, start: int, stop: int) -> None:
        """Take ``[start, stop)`` out, whatever of it is in."""
        low = bisect_right(self._stops, start)
        high = bisect_left(self._starts, stop)
        if start >= stop or low >= high:
            return
        rest = [(self._starts[low], start), (stop, self._stops[high - 1])]
        self._replace(low, high, [(a, b) for a, b in rest if a < b])

    def _replace(self, low: int, high: int, runs: list[tuple[int, int]]) -> None:
        before = sum(self._stops[low:high]) - sum(self._starts[low:high])
        self._starts[low:high] = [a for a, _ in runs]
        self._stops[low:high] = [b for _, b in runs]
        self.total += sum(b - a for a, b in runs) - before

    def covers(self, start: int, stop: int) -> bool:
        """True if every byte of ``[start, stop)`` is in the set; the empty range always is."""
        if start >= stop:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._stops[at] >= stop

    def overlap(self, start: int, stop: int) -> list[ByteRange]:
        """The parts of the set inside ``[start, stop)``, in order."""
        low, high = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        return [
            ByteRange(max(start, self._starts[i]), min(stop, self._stops[i]))
            for i in range(low, high)
            if max(start, self._starts[i]) < min(stop, self._stops[i])
        ]

    def gaps(self, start: int, stop: int) -> list[ByteRange]:
        """The parts of ``[start, stop)`` that are *not* in the set, in order."""
        missing, at = [], start
        for held in self.overlap(start, stop):
            if at < held.start:
                missing.append(ByteRange(at, held.start))
            at = held.stop
        if at < stop:
            missing.append(ByteRange(at, stop))
        return missing

    def run_from(self, offset: int) -> int:
        """Where the contiguous run that holds ``offset`` ends, or ``offset`` if it is not in the set."""
        at = bisect_right(self._starts, offset) - 1
        return self._stops[at] if at >= 0 and self._stops[at] > offset else offset

    def first(self) -> ByteRange | None:
        """The run with the lowest offset, or None."""
        return ByteRange(self._starts[0], self._stops[0]) if self._starts else None
