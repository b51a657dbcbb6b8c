"""``chunkdl convert``: weights in half precision, in a folder of their own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.display import MODES, open_display
from chunkdl.cli.errors import INTERNAL_EXIT_CODE, resume_command, say_bug, say_error, tell
from chunkdl.cli.output import Output
from chunkdl.cli.sections import TeachingCommand
from chunkdl.cli.stopping import Stopping, exit_code_of
from chunkdl.errors import ChunkdlError
from chunkdl.observe import Notice
from chunkdl.report import SCHEMA, ErrorReport
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_duration

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.convert.plan import Conversion
    from chunkdl.convert.write import Outcome

# A notice names so many tensors; --json has them all.
_TENSORS_SHOWN = 5
_EXAMPLES = (
    ('chunkdl convert "$(chunkdl fetch bert-base-uncased)" --dtype bf16', "fetch, then ./bert-base-uncased-bf16"),
    ("chunkdl convert models/name --dtype fp16 -o models/name-half", "a folder of your own"),
    ("chunkdl convert models/name --dtype fp16 --dry-run", "first see what that would write"),
)
_FOOTER = (
    "bf16 keeps the range of 32 bits and less precision; fp16 is more precise and overflows beyond 65504.",
    "Eight bits and fewer are the work of quantisers: see the README.",
)


@click.command(
    "convert",
    cls=TeachingCommand,
    examples=_EXAMPLES,
    footer=_FOOTER,
    short_help="Convert safetensors weights to half precision.",
)
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--dtype", "word", type=click.Choice(["fp16", "bf16"]), required=True, help="Type of the result.")
@click.option("-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="New folder (PATH-DTYPE).")
@click.option("--allow-overflow", is_flag=True, help="Store what is too large for fp16 as infinity.")
@click.option("--no-space-check", is_flag=True, help="Begin even if the disk looks too small.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.option("--progress", type=click.Choice(MODES), default="auto", show_default=True, help="How to show progress.")
@click.pass_obj
def convert(around: Surroundings, /, **arguments: Any) -> int:
    """Write the model in PATH, a folder or what chunkdl fetch printed, to a new folder in half precision.

    Floating tensors are rounded, all others kept; index and config are brought up to date, other files copied.
    PATH stays as it is. Needs numpy, ml_dtypes and safetensors.
    """
    return _Command(around, arguments).run()


class _Command:
    """One conversion and how it is told."""

    def __init__(self, around: Surroundings, arguments: dict[str, Any]) -> None:
        self._around = around
        self._arguments = arguments
        self._display = open_display(arguments["progress"], around, quiet=arguments["quiet"])
        self._output = Output(around.stdout)
        self._notices: list[Notice] = []
        self._plan: Conversion | None = None

    def run(self) -> int:
        """Every ending has its exit code, and its JSON object if one was asked for."""
        with Stopping(self._last_words, self._around.leave) as stopping:
            try:
                return self._run()
            except ChunkdlError as error:
                return self._failed(tell(error), error.exit_code)
            except KeyboardInterrupt:
                if stopping.signum is None:
                    raise
                code = exit_code_of(stopping.signum)
                return self._failed(self._interrupted(), code) if stopping.may_speak() else code
            except Exception as error:  # noqa: BLE001 - a bug: told with its traceback, never swallowed
                say_bug(self._display, error)
                return self._failed(tell(error), INTERNAL_EXIT_CODE)

    def _run(self) -> int:
        from chunkdl.convert.extra import require_extra  # noqa: PLC0415 - --help must not pay for it

        require_extra()
        plan = self._plan = self._prepared()
        for each in plan.notices:
            self._note("pickle", each)
        if self._arguments["dry_run"]:
            return self._print_plan(plan)
        return self._convert(plan)

    def _prepared(self) -> Conversion:
        from chunkdl.convert.run import leftovers, prepare  # noqa: PLC0415
        from chunkdl.settings import Flags, load_settings  # noqa: PLC0415

        settings = load_settings(self._around.environ, None, Flags(), self._around.folder)
        asked = self._arguments
        plan = prepare(asked["path"], asked["output"], asked["word"], here=Path.cwd(), cache_dir=settings.cache_dir)
        for each in leftovers(plan):
            self._note("leftovers", each)
        return plan

    def _convert(self, plan: Conversion) -> int:
        from chunkdl.convert.run import convert as carry_out  # noqa: PLC0415

        started_at = self._around.clock()
        self._display.say("start", f"converting {plan.source} to {plan.dtype}, {spell_bytes(plan.size)}")
        outcome = carry_out(
            plan,
            self._display.watch,
            clock=self._around.clock,
            allow_overflow=self._arguments["allow_overflow"],
            space_check=not self._arguments["no_space_check"],
        )
        self._display.close()
        if outcome.overflowed:
            self._note("overflow", _spell_overflow(outcome))
        took = spell_duration(self._around.clock() - started_at)
        self._display.say("done", f"{_spell_outcome(plan, outcome)} ({took})")
        if self._arguments["as_json"]:
            self._print_json(plan, outcome)
        else:
            self._output.line(os.fsencode(plan.target))
        self._say_loading(plan)
        return 0

    def _say_loading(self, plan: Conversion) -> None:
        from chunkdl.cli.closing import folder_line  # noqa: PLC0415

        if line := folder_line(str(plan.target), {each.name for each in plan.works}):
            self._display.say("load", line)

    def _note(self, code: str, message: str) -> None:
        self._notices.append(Notice(code, message))
        self._display.say("note", message)

    def _print_plan(self, plan: Conversion) -> int:
        if self._arguments["as_json"]:
            self._print_json(plan, None)
            return 0
        self._output.text(f"# {plan.source} as {plan.dtype} to {plan.target}")
        width = max(len(printable(each.name)) for each in plan.works)
        for each in plan.works:
            self._output.text(f"{printable(each.name):<{width}}  {each.act.value:<7}  {spell_bytes(each.size):>9}")
        left = f", {spell_count(len(plan.left_out), 'file')} left out" if plan.left_out else ""
        self._output.text(f"# {spell_count(len(plan.works), 'file')}, {spell_bytes(plan.size)}{left}")
        return 0

    def _print_json(self, plan: Conversion, outcome: Outcome | None) -> None:
        told: dict[str, Any] = {
            "path": str(plan.target),
            "source": str(plan.source),
            "dtype": plan.dtype,
            "bytes": plan.size,
            "bytes_before": plan.read_bytes,
            "files": [{"path": each.name, "action": each.act.value, "size": each.size} for each in plan.works],
            "left_out": list(plan.left_out),
        }
        if outcome is not None:
            tensors = {"converted": outcome.converted, "kept": outcome.kept}
            told |= {"tensors": tensors, "overflowed": outcome.overflowed}
        self._print({"ok": True, "exit_code": 0, **told, "error": None})

    def _failed(self, error: ErrorReport, exit_code: int) -> int:
        self._display.close()
        if self._arguments["as_json"]:
            self._print({"ok": False, "exit_code": exit_code, "path": None, "error": asdict(error)})
        say_error(self._display, error)
        return exit_code

    def _print(self, told: dict[str, Any]) -> None:
        self._output.text(json.dumps({"schema": SCHEMA, **told, "notices": [asdict(each) for each in self._notices]}))

    def _interrupted(self) -> ErrorReport:
        hint = f"run it again: {resume_command(self._around.argv)}"
        return ErrorReport("interrupted", "interrupted; nothing stands at the new name", None, None, hint)

    def _last_words(self, exit_code: int) -> None:
        self._failed(self._interrupted(), exit_code)


def _spell_outcome(plan: Conversion, outcome: Outcome) -> str:
    kept = f", {outcome.kept} kept as they are" if outcome.kept else ""
    sizes = f"{spell_bytes(plan.read_bytes)} became {spell_bytes(plan.size)}"
    return f"{sizes}: {spell_count(outcome.converted, 'tensor')} now {plan.dtype}{kept}"


def _spell_overflow(outcome: Outcome) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in list(outcome.overflowed.items())[:_TENSORS_SHOWN])
    more = ", ..." if len(outcome.overflowed) > _TENSORS_SHOWN else ""
    return f"numbers that were too large are infinite now, in {shown}{more}"
