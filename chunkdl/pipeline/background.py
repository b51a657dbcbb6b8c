"""An event loop in a thread of its own, for callers who have none or must not wait in theirs.

Decides how long an end may take. Knows nothing of what runs in it.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from chunkdl.errors import ChunkdlError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
R = TypeVar("R")

# Cancelled work writes out what it has and lets go of its files: two fsyncs of a slow disk, and some.
END_S = 30.0


class Background:
    """Keeps ``resource`` open in a thread while it lives; ``submit`` runs coroutines beside it."""

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self._name = name
        self._lock = threading.Lock()
        self._running: set[Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self, resource: Callable[[], AbstractAsyncContextManager[R]]) -> R:
        """Open ``resource`` in the thread and return what it yields; raises what opening raises.

        Whoever is interrupted meanwhile leaves nothing open.
        """
        opened = self._begin(resource)
        try:
            return opened.result()
        except BaseException:
            self._forgo(opened)
            raise

    async def astart(self, resource: Callable[[], AbstractAsyncContextManager[R]]) -> R:
        """The same without holding up the running loop."""
        opened = self._begin(resource)
        try:
            return await asyncio.wrap_future(opened)
        except BaseException:
            self._forgo(opened)
            raise

    def _begin(self, resource: Callable[[], AbstractAsyncContextManager[R]]) -> Future[R]:
        opened: Future[R] = Future()
        self._thread = threading.Thread(target=self._run, args=(resource, opened), name=self._name, daemon=True)
        self._thread.start()
        return opened

    def _forgo(self, opened: Future[R]) -> None:
        """Nobody will have what is being opened: the thread closes it as soon as it is open, or now."""
        if not opened.cancel():
            self.stop(0.0)

    def _run(self, resource: Callable[[], AbstractAsyncContextManager[R]], opened: Future[R]) -> None:
        try:
            asyncio.run(self._live(resource, opened))
        except BaseException as error:
            self._loop = None
            if opened.cancelled():
                return  # and its failure with it
            if opened.done():
                raise  # told by threading.excepthook: a bug, and whoever calls us finds the loop gone
            with suppress(InvalidStateError):  # cancelled this very moment
                opened.set_exception(error)

    async def _live(self, resource: Callable[[], AbstractAsyncContextManager[R]], opened: Future[R]) -> None:
        self._leave = asyncio.Event()
        async with resource() as value:
            self._loop = asyncio.get_running_loop()
            if opened.set_running_or_notify_cancel():
                opened.set_result(value)
                await self._leave.wait()
            self._loop = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin ``work`` in the thread; cancelling the future cancels it there.

        Raises:
            ChunkdlError: the thread has ended.
        """
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                work.close()
                raise ChunkdlError("this pool is closed", hint="open another one")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def stop(self, end_s: float = END_S) -> bool:
        """Cancel what runs, close the resource, end the thread; False if that was not done within ``end_s``.

        Calling it twice is harmless; a thread that hangs is a daemon and does not keep the process.
        """
        with self._lock:
            loop, self._loop = self._loop, None
            running = tuple(self._running)
        for each in running:
            each.cancel()
        if loop is not None and self._leave is not None:
            loop.call_soon_threadsafe(self._leave.set)
        if self._thread is not None:
            self._thread.join(end_s)
        return self._thread is None or not self._thread.is_alive()
