"""Which files still have pending bytes, in priority order, per mirror: no scan over thousands of files.

A heap of file numbers a mirror and kind; entries whose file has nothing pending any more are dropped
when they come to the top. Decides only order: that of ``FileAdded``.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.core.state import FileState


class Backlog:
    """Files with pending bytes, for each (mirror, is small)."""

    __slots__ = ("_files", "_heaps", "_queued")

    def __init__(self) -> None:
        """Nothing is to be done yet."""
        self._files: dict[int, FileState] = {}
        self._heaps: dict[tuple[str, bool], list[int]] = {}
        self._queued: dict[str, set[int]] = {}  # membership only: never iterated

    def push(self, file: FileState) -> None:
        """``file`` has pending bytes; queue it with each of its sources, once."""
        self._files[file.id] = file
        for mirror in file.sources:
            queued = self._queued.setdefault(mirror, set())
            if file.id not in queued:
                queued.add(file.id)
                heappush(self._heaps.setdefault((mirror, file.small), []), file.id)

    def candidates(self, mirror: str, *, small: bool) -> Iterator[FileState]:
        """Files with pending bytes that ``mirror`` may serve, first wanted first."""
        heap = self._heaps.get((mirror, small))
        if not heap:
            return
        passed: list[int] = []
        try:
            while heap:
                file = self._files[heap[0]]
                if not file.pending or mirror not in file.sources:
                    self._queued[mirror].discard(heappop(heap))
                    continue
                yield file
                # The caller declined it (or took all of it): look behind, put it back afterwards.
                if heap and heap[0] == file.id:
                    passed.append(heappop(heap))
        finally:
            for number in passed:
                heappush(heap, number)

    def has_work(self, mirror: str, *, small: bool) -> bool:
        """True if a file of this kind waits for ``mirror``."""
        return next(self.candidates(mirror, small=small), None) is not None
