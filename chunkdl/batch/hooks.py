"""Hooks: a command of the user's that hears what happened, as JSON on its standard input.

Decides how long it may take, and that nothing it does stops a run: it is told afterwards, and what went wrong becomes
a notice. What it prints goes nowhere, but for the last line of its errors. No shell is involved.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from chunkdl.observe import Notice
from chunkdl.spelling import printable, spell_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Enough to send a message or to start something long in the background; jobs wait for nobody longer.
HOOK_LIMIT_S = 60.0
# A process that was killed is gone within milliseconds, unless it hangs in a system call.
_LAST_S = 5.0
# The end of what it says about its failure; a line of a person's is shorter.
_TAIL_BYTES = 2000
_SHOWN_CHARACTERS = 200


async def run_hook(
    command: Sequence[str],
    values: Mapping[str, Any],
    notice: Callable[[Notice], None],
    limit_s: float = HOOK_LIMIT_S,
) -> None:
    """Run ``command`` with ``values`` on its standard input; whatever goes wrong is told to ``notice``.

    Files instead of pipes: a command that reads nothing, and children that it leaves behind, hold nobody up. When the
    time is over, or this is cancelled, the command ends and what it started in its group with it.
    """
    name = printable(command[0])
    try:
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
            told.write(json.dumps(values).encode())
            told.seek(0)
            code = await _run(command, told, said, limit_s)
            if code:
                notice(_failed(name, f"exit code {code}{_last_line(said)}"))
    except TimeoutError:  # which is an OSError too
        notice(_failed(name, f"ended after {spell_duration(limit_s)}: that is all the time it gets"))
    except OSError as error:  # no such program, or a temporary folder that is full
        notice(_failed(name, error.strerror or str(error)))


async def _run(command: Sequence[str], told: IO[bytes], said: IO[bytes], limit_s: float) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=told, stdout=asyncio.subprocess.DEVNULL, stderr=said, start_new_session=True
    )
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    finally:
        if process.returncode is None:
            _end(process)
            with suppress(TimeoutError):  # what not even that ends is waited for by nobody
                async with asyncio.timeout(_LAST_S):
                    await process.wait()


def _end(process: asyncio.subprocess.Process) -> None:
    """At once: the grace was the limit."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _last_line(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL_BYTES))
    lines = said.read(_TAIL_BYTES).decode("utf-8", "replace").split("\n")
    last = next((each.strip() for each in reversed(lines) if each.strip()), "")
    return f": {printable(last)[:_SHOWN_CHARACTERS]}" if last else ""


def _failed(name: str, why: str) -> Notice:
    return Notice("hook-failed", f"the hook {name} failed: {why}")
