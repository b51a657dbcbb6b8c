"""Watchers cannot influence a run: what an observer raises is told where asyncio tells such faults, and stops nothing.

Decides how often: once a run, since a display that fails is told something ten times a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkdl.observe import Observer, WatchedEvent


def harmless(observer: Observer) -> Observer:
    """``observer``, whose exceptions go to the event loop's exception handler, by default to the log."""
    told: list[Exception] = []

    def watch(event: WatchedEvent) -> None:
        try:
            observer(event)
        except Exception as error:  # noqa: BLE001  a stranger's code; the fetch goes on
            if not told:
                told.append(error)
                context = {"message": f"{observer!r} failed with {type(event).__name__}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    return watch
