"""The threads that the event loop must not wait in: writing, hashing, syncing, each on its own.

Decides how many there are. asyncio's default executor is left alone: ``asyncio.run`` joins it at the
end, and one slow fsync there holds up Ctrl-C.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


def usable_cpus() -> int:
    """CPUs that this process may run on; ``cpu_count`` ignores affinity and cgroups."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Three small pools; a call is awaited, never polled."""

    def __init__(self) -> None:
        """Two writers keep a disk busy; hashing takes a core a thread, so never more than there are."""
        self.disk = ThreadPoolExecutor(2, "chunkdl-disk")
        self.hash = ThreadPoolExecutor(min(4, usable_cpus()), "chunkdl-hash")
        self.sync = ThreadPoolExecutor(2, "chunkdl-sync")

    def submit(
        self, pool: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Start ``call`` in ``pool`` of this object; it runs to its end even if nobody waits any more."""
        return asyncio.wrap_future(pool.submit(call, *args, **kwargs))

    def close(self) -> None:
        """Let running calls end, drop those not begun; does not wait."""
        for pool in (self.disk, self.hash, self.sync):
            pool.shutdown(wait=False, cancel_futures=True)


async def all_done(tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait until none of ``tasks`` is left, even while being cancelled; what they raised is their group's affair."""
    cancelled: asyncio.CancelledError | None = None
    while tasks:
        try:
            await asyncio.wait(tuple(tasks))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Wait for ``work``, which a thread carries out, even while being cancelled: nothing may come beside it."""
    return await settled(asyncio.get_running_loop().create_task(work))


async def settled(future: asyncio.Future[T]) -> T:
    """Wait for a thread's call even while being cancelled: memory it reads must not be reused before."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return future.result()
