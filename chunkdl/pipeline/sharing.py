"""Several callers of one process that wish the same share one download.

Decides what becomes of the others when the caller who does the work is cancelled: one of them goes on. Works
across threads and event loops. Other processes are waited for elsewhere (``flight``, ``transfer.ownership``).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chunkdl.observe import Observer, WatchedEvent

T = TypeVar("T")


class Audience:
    """Everybody who watches one run; each is told in the event loop in which it began to listen."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, Observer]] = []

    def add(self, observer: Observer) -> None:
        """Tell ``observer`` from now on, in the running loop."""
        with self._lock:
            self._listeners.append((asyncio.get_running_loop(), observer))

    def remove(self, observer: Observer) -> None:
        """Tell ``observer`` no more, one ``add`` of it at a time."""
        with self._lock:
            at = next((at for at, (_, each) in enumerate(self._listeners) if each is observer), None)
            if at is not None:
                del self._listeners[at]

    def tell(self, event: WatchedEvent) -> None:
        """Pass ``event`` on: at once to listeners of the running loop, soon to those of other loops."""
        with self._lock:
            listeners = tuple(self._listeners)
        here = asyncio.get_running_loop()
        for loop, observer in listeners:
            if loop is here:
                observer(event)
            else:
                with suppress(RuntimeError):  # that loop has ended, and its listener with it
                    loop.call_soon_threadsafe(observer, event)


@dataclass(slots=True)
class _Call(Generic[T]):
    """Work under way. ``outcome`` becomes its result or its failure, or None if nobody does it any more."""

    wish: object
    audience: Audience = field(default_factory=Audience)
    outcome: Future[tuple[T] | BaseException | None] = field(default_factory=Future)


class Shared(Generic[T]):
    """Calls under way, by what they wish. Wishes are compared with ``==``."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: list[_Call[T]] = []

    async def call(
        self, wish: object, observer: Observer, work: Callable[[Observer], Coroutine[object, object, T]]
    ) -> T:
        """The result of ``work`` for ``wish``: our own, or that of a caller who is at it already.

        Args:
            wish: what is asked for; equal wishes must have equal results.
            observer: told what happens, whoever does the work.
            work: called with whom to tell, if we are the one to do it.
        """
        while True:
            call, ours = self._board(wish)
            call.audience.add(observer)
            try:
                if ours:
                    return await self._lead(call, work)
                outcome = await asyncio.shield(asyncio.wrap_future(call.outcome))
            finally:
                call.audience.remove(observer)
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome is not None:
                return outcome[0]

    def _board(self, wish: object) -> tuple[_Call[T], bool]:
        with self._lock:
            for call in self._calls:
                if call.wish == wish:
                    return call, False
            call = _Call(wish)
            self._calls.append(call)
            return call, True

    def forget(self) -> None:
        """Nobody is at anything: for the child of a fork, which has none of its parent's threads."""
        self._lock = Lock()
        self._calls = []

    async def _lead(self, call: _Call[T], work: Callable[[Observer], Coroutine[object, object, T]]) -> T:
        outcome: tuple[T] | BaseException | None = None
        try:
            result = await work(call.audience.tell)
            outcome = (result,)
        except Exception as error:
            outcome = error
            raise
        finally:
            with self._lock:
                self._calls = [each for each in self._calls if each is not call]
            call.outcome.set_result(outcome)
        return result
