"""Long work on files beside the event loop, in a thread that ends soon after nobody waits for it.

Decides what a cancellation means there: the thread is told, and waited for until it has let go of its files.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from chunkdl.errors import ChunkdlError
from chunkdl.pipeline.offline import fetch_offline
from chunkdl.still_wanted import NotWanted, while_wanted
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.report import Report
    from chunkdl.settings import Settings

T = TypeVar("T")


async def beside(pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """What ``call`` returns, or raises, in ``pool``.

    Cancelled, it is over within a moment: a thread that went on for 50 GB would hold up the process's end.
    """
    gone = threading.Event()

    def work() -> T:
        with while_wanted(lambda: not gone.is_set()):
            return call()

    working = asyncio.wrap_future(pool.submit(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        gone.set()
        with suppress(NotWanted, ChunkdlError):
            await settled(working)
        raise


async def fetch_offline_beside(
    references: Sequence[str], options: FetchOptions, settings: Settings, observer: Observer
) -> Report:
    """``fetch_offline`` in a thread of its own, since it may hash or copy for minutes; told in the running loop."""
    loop = asyncio.get_running_loop()

    def tell(event: WatchedEvent) -> None:
        loop.call_soon_threadsafe(observer, event)

    pool = ThreadPoolExecutor(1, "chunkdl-offline")
    try:
        return await beside(pool, partial(fetch_offline, references, options, settings, tell))
    finally:
        pool.shutdown(wait=False)
