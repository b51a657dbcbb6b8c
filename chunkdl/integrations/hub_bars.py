"""A progress bar of the caller's class, fed by the engine's events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from chunkdl.observe import Progress

if TYPE_CHECKING:
    from chunkdl.observe import WatchedEvent


class Bar:
    """One bar for the whole call; ``watch`` is an observer.

    Args:
        bar_class: ``tqdm`` or what behaves like it; None for tqdm itself, on a terminal alone.
        description: what stands before the bar.
        wanted: False shows none unless the caller named a class.
    """

    def __init__(self, bar_class: type[Any] | None, description: str, *, wanted: bool) -> None:
        if bar_class is None and wanted and sys.stderr is not None and sys.stderr.isatty():
            from chunkdl.progress import plain_bar  # noqa: PLC0415 - tqdm only where bars are drawn

            bar_class = plain_bar()
        self._class = bar_class
        self._description = description
        self._bar: Any = None
        self._done = 0

    def watch(self, event: WatchedEvent) -> None:
        """Show how far the call is; nothing is drawn before there is something to do."""
        if self._class is None or not isinstance(event, Progress) or not event.total_bytes:
            return
        if self._bar is None:
            if event.done_bytes >= event.total_bytes and not event.fetched_bytes:
                return  # all of it was here
            self._bar = self._class(total=event.total_bytes, unit="B", unit_scale=True, desc=self._description)
        self._bar.total = event.total_bytes
        self._bar.update(event.done_bytes - self._done)
        self._done = event.done_bytes

    def close(self) -> None:
        """The call ended."""
        if self._bar is not None:
            self._bar.close()
