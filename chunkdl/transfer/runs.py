"""Journal records for the bytes of one lease, hashed as they are written.

Decides where records begin and end: a run of contiguous bytes inside one segment, growing with each
write and replacing its shorter self in the journal. Runs in the thread that writes, so that hashing
costs the event loop nothing.
"""

from __future__ import annotations

import xxhash

from chunkdl.core.journal_codec import Record
from chunkdl.model import ByteRange


class RunHasher:
    """xxh3-128 of the current run; one lease, one thread at a time."""

    def __init__(self, start: int, segment_bytes: int) -> None:
        """The lease begins at ``start``; segments are cells of ``segment_bytes``."""
        self._segment_bytes = segment_bytes
        self._begin(start)

    def _begin(self, offset: int) -> None:
        self._start = self._at = offset
        self._segment_stop = (offset // self._segment_bytes + 1) * self._segment_bytes
        self._hash = xxhash.xxh3_128()

    def feed(self, view: memoryview, offset: int, host: str) -> list[Record]:
        """Take the bytes written at ``offset``; returns the records that now hold, one a segment touched.

        A new run begins where bytes were left out.
        """
        if offset != self._at:
            self._begin(offset)
        records = []
        while view:
            taken = view[: self._segment_stop - self._at]
            self._hash.update(taken)
            self._at += len(taken)
            records.append(Record(ByteRange(self._start, self._at), self._hash.digest(), host))
            view = view[len(taken) :]
            if self._at == self._segment_stop:
                self._begin(self._at)
        return records
