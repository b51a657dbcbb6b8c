"""How a failure is told: one line with the remedy for people, one object for programs, one exit code.

Decides wording of what no other part worded: an interruption, a bug, a mistyped command. Deliberately
knows no stream but through a Display.
"""

from __future__ import annotations

import re
import shlex
import traceback
from typing import TYPE_CHECKING

from chunkdl.errors import ChunkdlError
from chunkdl.report import ErrorReport, ReferenceReport, Report
from chunkdl.spelling import spell_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.progress_lines import Display

INTERNAL_EXIT_CODE = 1
USAGE_EXIT_CODE = 2
_USERINFO = re.compile(r"(?<=://)[^/\s]+@")  # up to the last @: a password may hold some


class Interrupted(ChunkdlError):
    """A signal ended the command; its exit code says which."""

    code = "interrupted"

    def __init__(self, message: str, exit_code: int, *, hint: str) -> None:
        """``message`` says what is true now."""
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def failure_report(references: Sequence[str], error: Exception) -> Report:
    """A report in which every reference failed for the same reason, before any was tried."""
    told = tell(error)
    code = error.exit_code if isinstance(error, ChunkdlError) else INTERNAL_EXIT_CODE
    return Report(tuple(ReferenceReport(each, ok=False, exit_code=code, error=told) for each in references or ("",)))


def tell(error: Exception) -> ErrorReport:
    """The parts of an error; what is none of ours is a bug and says so."""
    if isinstance(error, ChunkdlError):
        return ErrorReport(error.code, _one_line(error.message), error.mirror, error.file, _one_line(error.hint))
    message = f"chunkdl has a bug: {type(error).__name__}: {error}"
    hint = "please report it with the lines above; what was fetched is kept, the same command resumes"
    return ErrorReport("internal", _one_line(message), None, None, hint)


def interrupted_report(
    references: Sequence[str], placed: Sequence[str | None], *, exit_code: int, kept: str, resume: str
) -> Report:
    """What is true when a signal ended the run: placed references stay placed, the others can be resumed."""
    message = f"interrupted; {kept} is kept" if kept else "interrupted"
    error = ErrorReport("interrupted", message, None, None, f"resume with: {resume}")
    return Report(
        tuple(
            ReferenceReport(ref, ok=True, exit_code=0, path=path)
            if path is not None
            else ReferenceReport(ref, ok=False, exit_code=exit_code, error=error)
            for ref, path in zip(references, placed, strict=True)
        )
    )


def resume_command(argv: Sequence[str]) -> str:
    """The command to type again, without the secrets that may have stood in its URLs."""
    signed = {each for each in argv if "://" in each and each.partition("?")[2]}
    words = [spell_reference(each) if each in signed else _USERINFO.sub("***@", each) for each in argv]
    return shlex.join(["chunkdl", *words]) + (" (with the address as you typed it)" if signed else "")


def say_failures(display: Display, report: Report) -> None:
    """One error line and one hint line for each distinct failure; several references are told apart."""
    several = len(report.results) > 1
    said: set[ErrorReport] = set()
    for each in report.results:
        if each.error is None or each.error in said:
            continue
        said.add(each.error)
        told_apart = several and each.error.code != Interrupted.code
        say_error(display, each.error, prefix=f"{spell_reference(each.ref)}: " if told_apart else "")


def say_error(display: Display, error: ErrorReport, *, prefix: str = "") -> None:
    """``error: …`` and, where there is a next step, ``hint: …``."""
    display.say("error", prefix + error.message, code=error.code, mirror=error.mirror, file=error.file)
    if error.hint:
        display.say("hint", error.hint)


def say_bug(display: Display, error: Exception) -> None:
    """The traceback of what should not have happened: whoever repairs it needs it, and it may never come again."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        display.say("bug", line)


def _one_line(text: str) -> str:
    return " ".join(text.split())
