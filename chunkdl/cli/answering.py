"""A command that answers: its data on stdout, a failure as one line or as one object, an exit code.

Decides the frame of such answers, and that a signal ends the command as one more failure. ``fetch`` has its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from chunkdl.cli.display import open_display
from chunkdl.cli.errors import INTERNAL_EXIT_CODE, Interrupted, resume_command, say_bug, say_error, tell
from chunkdl.cli.output import Output
from chunkdl.cli.stopping import Stopping
from chunkdl.errors import ChunkdlError
from chunkdl.report import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.observe import Notice


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found out: an object for programs, lines for people, and what else a person should know."""

    values: Mapping[str, Any]
    lines: Sequence[str] = ()
    notices: Sequence[Notice] = ()
    exit_code: int = 0
    notes: Sequence[str] = field(default=())


def answer(
    around: Surroundings,
    make: Callable[[], Answer],
    *,
    as_json: bool,
    quiet: bool = False,
    empty: Mapping[str, Any] | None = None,
) -> int:
    """Make the answer and print it; a failure is told, and with ``as_json`` there is one object whatever happens.

    ``empty`` are the command's own keys in the object of a failure.
    """
    return answer_stoppably(around, lambda _stopping: make(), as_json=as_json, quiet=quiet, empty=empty)


def answer_stoppably(
    around: Surroundings,
    make: Callable[[Stopping], Answer],
    *,
    as_json: bool,
    quiet: bool = False,
    empty: Mapping[str, Any] | None = None,
    interrupted: str = "interrupted",
) -> int:
    """``answer`` with work that may run in a loop: ``make`` raises KeyboardInterrupt if the work was stopped.

    ``interrupted`` says what is true then.
    """

    def stopped(code: int) -> int:
        hint = f"run it again: {resume_command(around.argv)}"
        return fail(around, Interrupted(interrupted, code, hint=hint), as_json=as_json, empty=empty)

    with Stopping(stopped, around.leave) as stopping:
        try:
            made = _made(lambda: make(stopping))
            if stopping.may_speak():  # else the watchdog is saying the last words, and ends the process
                if isinstance(made, Answer):
                    return _print(around, made, as_json=as_json, quiet=quiet)
                return fail(around, made, as_json=as_json, empty=empty)
        except KeyboardInterrupt:
            if stopping.signum is None:
                raise
            if stopping.may_speak():
                return stopped(stopping.exit_code)
        return stopping.exit_code


def _made(make: Callable[[], Answer]) -> Answer | Exception:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - told with its traceback if it is a bug, and as JSON, never swallowed
        return error


def _print(around: Surroundings, made: Answer, *, as_json: bool, quiet: bool) -> int:
    display = open_display("none", around, quiet=quiet)
    output = Output(around.stdout)
    if as_json:
        notices = [asdict(each) for each in made.notices]
        output.text(_spelled({**_frame(made.exit_code), **made.values, "notices": notices}))
    else:
        for line in made.lines:
            output.text(line)
    for notice in made.notices:
        display.say("note", notice.message)
    for note in made.notes:
        display.say("done", note)
    return made.exit_code


def fail(around: Surroundings, error: Exception, *, as_json: bool, empty: Mapping[str, Any] | None = None) -> int:
    """Tell a failure, a bug with its traceback, and return its exit code."""
    display = open_display("none", around, quiet=False)
    if not isinstance(error, ChunkdlError):
        say_bug(display, error)
    told = tell(error)
    code = error.exit_code if isinstance(error, ChunkdlError) else INTERNAL_EXIT_CODE
    say_error(display, told)
    if as_json:
        Output(around.stdout).text(_spelled({**_frame(code), **(empty or {}), "error": asdict(told), "notices": []}))
    return code


def _frame(exit_code: int) -> dict[str, Any]:
    return {"schema": SCHEMA, "ok": exit_code == 0, "exit_code": exit_code}


def _spelled(values: dict[str, Any]) -> str:
    return json.dumps(values)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side, two spaces apart, the first row being the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
