"""SIGINT and SIGTERM: cancel the run, and be gone within a second whatever the run does.

Decides when patience ends. A watchdog thread made beforehand does everything: the handler itself only
puts into a reentrant queue, because it may interrupt any line of Python, locks held included. The second
signal, or the end of the grace, ends the process at once: nothing on disk depends on a clean exit.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    _Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

# The contract is "within a second"; a fifth of it is left for the interpreter to end.
GRACE_S = 0.8
# A shell reports a process killed by signal n as 128 + n; 130 and 143 are what scripts look for.
_SIGNAL_EXIT_BASE = 128


def exit_code_of(signum: int) -> int:
    """130 for SIGINT, 143 for SIGTERM."""
    return _SIGNAL_EXIT_BASE + signum


class Stopping:
    """While entered, both signals cancel the run given to ``attach``; ``signum`` says which came.

    Args:
        last_words: called by the watchdog with the exit code if the run does not end in time.
        leave: then ends the process with that code.
        grace_s: seconds between the signal and that.
    """

    def __init__(
        self, last_words: Callable[[int], object], leave: Callable[[int], object], *, grace_s: float = GRACE_S
    ) -> None:
        self.signum: int | None = None
        self._last_words = last_words
        self._leave = leave
        self._grace_s = grace_s
        self._cancel: Callable[[], object] | None = None
        self._arrived: SimpleQueue[int | None] = SimpleQueue()
        self._spoken = threading.Lock()
        self._previous: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Self:
        """Install the handlers, where that is allowed: in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._watch, name="chunkdl stop watchdog", daemon=True).start()
            for each in (signal.SIGINT, signal.SIGTERM):
                self._previous[each] = signal.signal(each, self._on_signal)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Put the old handlers back. After a signal the watchdog stays: threads may hold up the exit."""
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        if self._previous and self.signum is None:
            self._arrived.put(None)

    def attach(self, cancel: Callable[[], object]) -> None:
        """From now on a signal calls ``cancel``, from another thread."""
        self._cancel = cancel

    def may_speak(self) -> bool:
        """True for the first who asks: the run's end and the watchdog must not both say the last words."""
        return self._spoken.acquire(blocking=False)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        first = self.signum is None
        if first:
            self.signum = signum
        self._arrived.put(signum)
        if first and self._cancel is None:
            raise KeyboardInterrupt  # nothing runs yet: still importing

    def _watch(self) -> None:
        signum = self._arrived.get()
        if signum is None:
            return
        if self._cancel is not None:
            self._cancel()
        with contextlib.suppress(Empty):  # a second signal shortens the grace
            self._arrived.get(timeout=self._grace_s)
        if self.may_speak():
            self._last_words(exit_code_of(signum))
        self._leave(exit_code_of(signum))
