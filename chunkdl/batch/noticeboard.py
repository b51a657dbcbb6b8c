"""What a run has told its watchers: the last notices, and how many there were in all.

Decides that the same thing is not said twice in a row, and that what nobody came to read is dropped in the end.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkdl.observe import Notice

# More than a person reads on a page; watchers hear them once a second, in which fewer come.
_KEPT = 50


class Noticeboard:
    """Notices of one run, the newest last."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._kept: deque[Notice] = deque(maxlen=_KEPT)
        self.told = 0

    @property
    def kept(self) -> tuple[Notice, ...]:
        """Those that are not dropped yet."""
        return tuple(self._kept)

    def say(self, notice: Notice) -> None:
        """Tell watchers something, once in a row."""
        if not self._kept or self._kept[-1] != notice:
            self._kept.append(notice)
            self.told += 1
