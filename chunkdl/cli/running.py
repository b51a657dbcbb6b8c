"""One run of the pipeline inside an event loop, from the command line's point of view.

Decides how signals and the heartbeat of the display reach a coroutine. Deliberately knows neither what
is fetched nor what is printed at the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chunkdl.cli.stopping import Stopping

# Displays that speak by the clock look at it once a second.
_BEAT_S = 1.0
Result = TypeVar("Result")


def run_until_stopped(
    work: Callable[[], Coroutine[object, object, Result]], stopping: Stopping, beat: Callable[[], None]
) -> Result | None:
    """The result of ``work``, or None if a signal ended it. ``beat`` is called each second meanwhile."""
    try:
        return asyncio.run(_attended(work, stopping, beat))
    except (asyncio.CancelledError, KeyboardInterrupt):
        if stopping.signum is None:
            raise
        return None


def run_or_raise(
    work: Callable[[], Coroutine[object, object, Result]],
    stopping: Stopping,
    beat: Callable[[], None] = lambda: None,
) -> Result:
    """``run_until_stopped`` for what ``answer_stoppably`` calls: KeyboardInterrupt if a signal ended it."""
    done = run_until_stopped(work, stopping, beat)
    if done is None:
        raise KeyboardInterrupt
    return done


async def _attended(
    work: Callable[[], Coroutine[object, object, Result]], stopping: Stopping, beat: Callable[[], None]
) -> Result:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    stopping.attach(lambda: loop.call_soon_threadsafe(task.cancel))
    heart = _Heart(loop, beat)
    try:
        return await work()
    finally:
        heart.stop()


class _Heart:
    """Calls ``beat`` each second until stopped; a chain of timers, so that nothing has to be awaited."""

    def __init__(self, loop: asyncio.AbstractEventLoop, beat: Callable[[], None]) -> None:
        self._loop = loop
        self._beat = beat
        self._timer = loop.call_later(_BEAT_S, self._strike)

    def stop(self) -> None:
        self._timer.cancel()

    def _strike(self) -> None:
        self._beat()
        self._timer = self._loop.call_later(_BEAT_S, self._strike)
