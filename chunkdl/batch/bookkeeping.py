"""The queue from inside an event loop: one thread uses the file, the loop waits for it without standing still.

Decides nothing; every method of ``Queue`` is reached through ``call``.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from chunkdl.batch.queue import Queue
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

P = ParamSpec("P")
T = TypeVar("T")


class Books:
    """An open queue; an async context manager. Raises ``StoreError`` where the queue does."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened until the block begins."""
        self._path = path
        self._thread = ThreadPoolExecutor(1, "chunkdl-queue")
        self._queue: Queue | None = None

    async def __aenter__(self) -> Self:
        """Open the file."""
        self._queue = await asyncio.wrap_future(self._thread.submit(Queue, self._path))
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it after what was begun; whoever is being cancelled has all of it written down too."""
        try:
            if self._queue is not None:
                await settled(asyncio.wrap_future(self._thread.submit(self._queue.close)))
        finally:
            self._thread.shutdown(wait=False)

    async def call(self, method: Callable[Concatenate[Queue, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``method`` of the queue, in its thread; once begun it is finished, even if we are cancelled."""
        assert self._queue is not None
        work = partial(method, self._queue, *args, **kwargs)
        return await settled(asyncio.wrap_future(self._thread.submit(work)))
