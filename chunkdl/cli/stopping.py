"""SIGINT and SIGTERM: cancel the run, and be gone within a second whatever the run does.

Decides when patience ends. A watchdog thread made beforehand does everything: the handler itself only
notes which signal came, because it may interrupt any line of Python, locks held included. And it may never be
called: Python runs handlers in the main thread, which a mount that hangs can hold for ever. Hence the watchdog
hears of signals by the byte that the interpreter's own C handler writes. The second signal, or the end of the
grace, ends the process at once: nothing on disk depends on a clean exit.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    _Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

# The contract is "within a second"; a fifth of it is left for the last words and for the interpreter to end.
GRACE_S = 0.8
# They take a millisecond, or as long as a pipe is full that nobody reads.
_LAST_WORDS_S = 0.1
# A shell reports a process killed by signal n as 128 + n; 130 and 143 are what scripts look for.
_SIGNAL_EXIT_BASE = 128
_STOPPING = (signal.SIGINT, signal.SIGTERM)
# What the watchdog is told, a byte each: the signal's number by the interpreter, the same and this by our handler.
# Each of both may be missing (the main thread hangs; a loop took the interpreter's bytes for itself).
_HANDLED = 0x80
_OVER = b"\0"


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
        self._mouth: socket.socket | None = None
        self._previous_fd = -1
        self._spoken = threading.Lock()
        self._previous: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> Self:
        """Install the handlers, where that is allowed: in the main thread only."""
        if threading.current_thread() is threading.main_thread():
            ear, mouth = socket.socketpair()
            mouth.setblocking(False)
            threading.Thread(target=self._watch, args=(ear, mouth), name="chunkdl stop watchdog", daemon=True).start()
            self._previous_fd = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
            self._mouth = mouth
            for each in _STOPPING:
                self._previous[each] = signal.signal(each, self._on_signal)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Put the old handlers back. After a signal the watchdog stays: threads may hold up the exit."""
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        if self._mouth is not None:
            signal.set_wakeup_fd(self._previous_fd)
            if self.signum is None:
                self._tell(_OVER)

    def attach(self, cancel: Callable[[], object]) -> None:
        """From now on a signal calls ``cancel``, from another thread."""
        self._cancel = cancel

    @property
    def exit_code(self) -> int:
        """What the command ends with after a signal."""
        return exit_code_of(self.signum or signal.SIGINT)

    def may_speak(self) -> bool:
        """True for the first who asks: the run's end and the watchdog must not both say the last words."""
        return self._spoken.acquire(blocking=False)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        first = self.signum is None
        if first:
            self.signum = signum
        self._tell(bytes([signum | _HANDLED]))
        if first and self._cancel is None:
            raise KeyboardInterrupt  # nothing runs yet: still importing

    def _tell(self, what: bytes) -> None:
        """Never waits, and takes no lock: a full buffer says already what there is to say."""
        if self._mouth is not None:
            with contextlib.suppress(OSError):
                self._mouth.send(what)

    def _watch(self, ear: socket.socket, mouth: socket.socket) -> None:
        with ear, mouth:
            first = _next_signal(ear)
            if first is None:
                return
            code = exit_code_of(first & ~_HANDLED)
            try:
                self._cancel_and_wait(ear, first)
                self._speak(code)
            finally:  # whatever else fails: nobody but this thread ends the process now
                self._leave(code)

    def _cancel_and_wait(self, ear: socket.socket, first: int) -> None:
        if self._cancel is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: the run has ended, the telling has not
                self._cancel()
        ear.settimeout(self._grace_s)
        with contextlib.suppress(TimeoutError):  # a second signal shortens the grace
            _next_signal(ear, like=first)

    def _speak(self, code: int) -> None:
        """In a thread of its own: a stream may be full, or locked by the main thread, for ever."""
        if self.may_speak():
            words = threading.Thread(target=self._last_words, args=(code,), name="chunkdl last words", daemon=True)
            words.start()
            words.join(_LAST_WORDS_S)


def _next_signal(ear: socket.socket, like: int | None = None) -> int | None:
    """The next of our signals as it was told, None at the end; ``like`` passes over what was told in the other way."""
    while (told := ear.recv(1)) not in {_OVER, b""}:
        if told[0] & ~_HANDLED in _STOPPING and like in {None, told[0]}:
            return told[0]
    return None
