"""A part file that never touches the disk, for contents that fit one buffer.

Decides nothing. A config of 600 bytes needs no journal, no owner file and no rename dance: it is
fetched in one lease, hashed and written in one go; a kill loses less than a flush interval would.
"""

from __future__ import annotations

from threading import Lock

from chunkdl.model import MIB

# One receive buffer: such a content is one read, one hash, one write.
SMALL_BYTES = MIB


class MemoryPart:
    """The part interface over a bytearray, allocated at the first write."""

    def __init__(self, size: int) -> None:
        """``size`` in bytes, at most ``SMALL_BYTES``."""
        self._size = size
        self._data: bytearray | None = None
        self._turn = Lock()

    @property
    def data(self) -> memoryview:
        """The content; zeros where nothing was written."""
        with self._turn:  # a lease and its hedge may be the first at once, and must not each make its own
            if self._data is None:
                self._data = bytearray(self._size)
            return memoryview(self._data)

    def write_at(self, view: memoryview, offset: int) -> None:
        """Copy ``view`` to ``offset``."""
        self.data[offset : offset + len(view)] = view

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill ``view`` from ``offset``; returns bytes read."""
        found = self.data[offset : offset + len(view)]
        view[: len(found)] = found
        return len(found)

    def sync_data(self) -> None:
        """Nothing is on a disk yet."""
