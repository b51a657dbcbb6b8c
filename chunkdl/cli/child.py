"""A program started by us: its streams are ours, signals reach it, its exit code becomes ours.

Decides which signals are passed on and how an ending by signal is spelt. Knows nothing of what it runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from chunkdl.cli.stopping import exit_code_of
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

# What a program may be sent to end, to reload or to report; those that Windows lacks are left out.
_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
# A terminal sends these to every program in its foreground, ours and the child alike.
_OF_THE_TERMINAL = frozenset({"SIGINT", "SIGQUIT"})


def run_child(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run ``command`` to its end and return its exit code; 128 + n if signal n ended it.

    Raises:
        UsageError: there is no such program, or it cannot be started.
    """
    child: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        if not child:
            early.append(signum)
        elif not _terminal_has_told(signum):
            with suppress(ProcessLookupError):
                child[0].send_signal(signum)

    with _handling(pass_on):
        try:
            child.append(subprocess.Popen(list(command), env=dict(environ)))  # noqa: S603  what the user typed
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot run {command[0]}: {reason}", hint="chunkdl run -- PROGRAM ARGUMENTS") from error
        for signum in early:  # came before there was somebody to tell
            child[0].send_signal(signum)
        code = child[0].wait()
    return exit_code_of(-code) if code < 0 else code


@contextmanager
def _handling(handler: object) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in _PASSED_ON}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _terminal_has_told(signum: int) -> bool:
    """True if a terminal sent ``signum``: we are in its foreground, and so is the child."""
    if signal.Signals(signum).name not in _OF_THE_TERMINAL or not hasattr(os, "tcgetpgrp"):
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
