"""What a command touches outside itself, as one value, so that tests pass another.

Decides nothing. ``run_fetch`` None means the real pipeline, imported only when a command needs it:
``--help`` must not pay for an HTTP client.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from chunkdl.api import FetchOptions
    from chunkdl.observe import Observer
    from chunkdl.report import Report
    from chunkdl.settings import Settings

    RunFetch = Callable[[Sequence[str], FetchOptions, Settings, Observer], Coroutine[object, object, Report]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Streams, environment, clock and the pipeline.

    Args:
        argv: the arguments after the program's name, to say how to resume.
        environ: environment variables.
        stdout: data only, as bytes: paths are written as the file system spells them.
        stderr: everything for people.
        clock: monotonic seconds.
        folder: where the command runs, and a project's settings file may lie; None looks for none.
        run_fetch: the pipeline; None imports ``chunkdl.api.run_fetch``.
        leave: ends the process at once with a code; used when a stop takes too long.
        ask: puts a question to the person at the terminal and returns the answer; None if nobody is there.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    stdout: BinaryIO
    stderr: TextIO
    clock: Callable[[], float] = time.monotonic
    folder: Path | None = None
    run_fetch: RunFetch | None = None
    leave: Callable[[int], object] = field(default=os._exit)
    ask: Callable[[str], str] | None = None

    def pipeline(self) -> RunFetch:
        """``run_fetch``, the real one unless a test stands in for it."""
        if self.run_fetch is not None:
            return self.run_fetch
        from chunkdl.api import run_fetch  # noqa: PLC0415 - brings the HTTP client along

        return run_fetch


def real_surroundings(argv: Sequence[str]) -> Surroundings:
    """Those of this process. A stream that the parent closed is replaced by the null device."""
    stdout = sys.stdout.buffer if sys.stdout else Path(os.devnull).open("wb")  # noqa: SIM115 - lives as long as we
    stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    person = sys.stdin and sys.stdin.isatty() and stderr.isatty()
    ask = partial(_ask, sys.stdin, stderr) if person else None
    return Surroundings(tuple(argv), os.environ, stdout, stderr, folder=Path(), ask=ask)


def _ask(stdin: TextIO, stderr: TextIO, question: str) -> str:
    """Put a question on stderr, where everything for people goes: stdout is data."""
    print(f"{question} ", end="", file=stderr, flush=True)
    return stdin.readline().strip()
