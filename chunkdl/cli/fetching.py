"""What ``fetch`` does with its wishes: settings, the run, and telling how it ended.

Decides the order of output and the exit code. Every way a run can end becomes one Report, so that
``--json`` prints exactly one object whatever happened.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, TextIO

from chunkdl.at_work import slow_steps
from chunkdl.cli.display import open_display
from chunkdl.cli.errors import (
    failure_report,
    interrupted_report,
    resume_command,
    say_bug,
    say_error,
    say_failures,
    tell,
)
from chunkdl.cli.output import Output, PathsInOrder, spell_json
from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.stopping import Stopping, exit_code_of
from chunkdl.descriptors import raised_limit
from chunkdl.errors import ChunkdlError, StoreError
from chunkdl.model import Hub
from chunkdl.observe import Progress, ReferencePlaced, ReferencePlanned
from chunkdl.spelling import spell_bytes, spell_duration, spell_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.cli.wishes import Wishes
    from chunkdl.core.planner import Plan
    from chunkdl.observe import WatchedEvent
    from chunkdl.progress_lines import Display
    from chunkdl.report import Report
    from chunkdl.settings import Settings


def fetch_and_tell(wishes: Wishes, around: Surroundings) -> int:
    """Run the fetch; print data to stdout, everything else to stderr; return the exit code."""
    display = open_display(wishes.progress, around, quiet=wishes.quiet)
    try:
        wishes = wishes.read()
    except ChunkdlError as error:
        return _refuse(error, wishes, around, display)
    session = _Session(wishes, around, display)
    with Stopping(session.last_words, around.leave) as stopping:
        report = session.run(stopping)
        return session.tell(report) if stopping.may_speak() else report.exit_code


def _refuse(error: ChunkdlError, wishes: Wishes, around: Surroundings, display: Display) -> int:
    """Before anything has begun."""
    report = failure_report(wishes.references, error)
    if wishes.as_json:
        Output(around.stdout).json(report)
    say_failures(display, report)
    return report.exit_code


class _Session:
    """One command: what was asked for, what is known so far, and where it is told."""

    def __init__(self, wishes: Wishes, around: Surroundings, display: Display) -> None:
        self._wishes = wishes
        self._around = around
        self._display = display
        self._output = Output(around.stdout)
        prints_paths = not (wishes.as_json or wishes.dry_run)
        self._prints_plan = wishes.dry_run and not wishes.as_json
        self._paths = PathsInOrder(wishes.references, self._output if prints_paths else None)
        self._progress: Progress | None = None
        self._settings: Settings | None = None
        self._unwritten: StoreError | None = None

    def run(self, stopping: Stopping) -> Report:
        """Every ending as a report."""
        try:
            report = self._run(stopping)
        except KeyboardInterrupt:
            if stopping.signum is None:
                raise
            report = None
        except ChunkdlError as error:
            return failure_report(self._wishes.references, error)
        except Exception as error:  # noqa: BLE001 - a bug: told with its traceback, and as JSON, never swallowed
            self._display.close()
            say_bug(self._display, error)
            if stopping.signum is None:
                return failure_report(self._wishes.references, error)
            report = None  # it broke while it was stopped: told above, and still stopped
        if report is not None:
            return report
        assert stopping.signum is not None
        return self._interrupted(exit_code_of(stopping.signum))

    def _run(self, stopping: Stopping) -> Report | None:
        from chunkdl.settings import load_settings  # noqa: PLC0415 - a broken settings file must be told, not crash

        raised_limit()  # before anything is opened
        doing = "planning" if self._wishes.dry_run else "fetching"
        self._display.say("start", f"{doing} {', '.join(map(spell_reference, self._wishes.references))}")
        around, typed = self._around, self._wishes
        settings = self._settings = load_settings(around.environ, None, typed.flags(), around.folder)
        self._wishes = typed.completed(settings.project)
        options = self._wishes.options()
        fetch = self._around.pipeline()
        return run_until_stopped(
            lambda: fetch(self._wishes.references, options, settings, self._watch), stopping, self._display.tick
        )

    def _watch(self, event: WatchedEvent) -> None:
        if isinstance(event, Progress):
            self._progress = event
        elif isinstance(event, ReferencePlaced):
            self._place(event)
        elif isinstance(event, ReferencePlanned) and self._prints_plan:
            self._print_plan(event)
            return
        self._display.watch(event)

    def _place(self, event: ReferencePlaced) -> None:
        self._write(lambda: self._display.aside(lambda: self._paths.add(event.reference, event.path)))

    def _print_plan(self, event: ReferencePlanned) -> None:
        from chunkdl.cli.dry_run import spell_plan  # noqa: PLC0415

        if self._settings is not None:
            lines = spell_plan(event.reference, event.plan, _source_names(event.plan, self._settings))
            self._write(lambda: self._display.aside(lambda: self._output.text("\n".join(lines))))

    def _write(self, data: Callable[[], None]) -> None:
        """Data to stdout; that it cannot be written is no reason to stop fetching, and told at the end."""
        try:
            data()
        except StoreError as error:
            self._unwritten = error

    def tell(self, report: Report) -> int:
        """The end of the output: data, then errors, then how to load; the exit code."""
        self._display.close()
        self._write(lambda: self._paths.finish([each.path if each.ok else None for each in report.results]))
        if self._wishes.as_json:
            self._write(lambda: self._output.json(report))
        say_failures(self._display, report)
        if self._unwritten is not None:
            say_error(self._display, tell(self._unwritten))
        if any(each.ok for each in report.results) and not self._wishes.dry_run:
            self._say_success(report)
        return report.exit_code or (self._unwritten.exit_code if self._unwritten is not None else 0)

    def _say_success(self, report: Report) -> None:
        from chunkdl.cli.closing import Whereabouts, left_out, loading_line, summary  # noqa: PLC0415
        from chunkdl.cli.troubles import troubles  # noqa: PLC0415

        succeeded = [each for each in report.results if each.ok and each.files]
        for each in succeeded:
            if self._wishes.takes_smallest_set and (told := left_out(each)):
                self._display.say("note", told)
        if succeeded:
            for told in troubles(report):
                self._display.say("note", told)
            self._display.say("done", summary(report))
        in_folder = self._settings is not None and self._settings.local_dir is not None
        where = Whereabouts(self._wishes.revision, self._unusual_cache(), is_folder=in_folder)
        for each in succeeded:
            line = loading_line(each, where, variant=self._wishes.variant_of(each.ref))
            if line:
                self._display.say("load", line)

    def _unusual_cache(self) -> str | None:
        """The cache folder if loaders would not look there by themselves."""
        if self._settings is None:
            return None
        where = self._settings.provenance.get("cache_dir", "default")
        usual = where == "default" or where.startswith("environment")
        return None if usual else str(self._settings.cache_dir)

    def _interrupted(self, exit_code: int) -> Report:
        return interrupted_report(
            self._wishes.references,
            self._paths.placed,
            exit_code=exit_code,
            kept=spell_bytes(self._progress.done_bytes) if self._progress and self._progress.done_bytes else "",
            resume=resume_command(self._around.argv),
        )

    def last_words(self, exit_code: int) -> None:
        """From the watchdog, past every buffer and lock: the run does not end, the process will."""
        report = self._interrupted(exit_code)
        if self._wishes.as_json:
            _write_raw(self._around.stdout, spell_json(report) + b"\n")
        told = next((each.error for each in report.results if each.error), None)
        if told is None:  # it was stopped after the last was placed
            return
        at_work = "".join(f"note: {line}\n" for line in _slow_storage())
        _write_raw(self._around.stderr, f"\n{at_work}error: {told.message}\nhint: {told.hint}\n".encode())


def _source_names(plan: Plan, settings: Settings) -> list[str]:
    """Who would be asked for what the plan lacks."""
    reference = plan.artifact.reference
    if reference.hub is Hub.MODELSCOPE:
        return [settings.modelscope.name]
    if not reference.hub.names_files:
        return [each.name for each in settings.sources]
    from chunkdl.identify.checkpoints import checkpoint_of  # noqa: PLC0415 - with its table, for few
    from chunkdl.identify.url_sources import copies_of, own_host  # noqa: PLC0415

    url = checkpoint_of(reference).url
    return [own_host(url, settings).name, *(each.name for each, _ in copies_of(url, settings.url_mirrors))]


# Whoever is stopped ends within the grace of ``Stopping`` unless something holds it up; that much of it is no news.
_SLOW_S = 0.5
_SLOW_TOLD = 3


def _slow_storage() -> list[str]:
    """What may hold the run up: where storage has not answered for some time."""
    found = slow_steps(_SLOW_S)[:_SLOW_TOLD]
    return [f"storage has been at work on {path} for {spell_duration(took_s)}" for path, took_s in found]


def _write_raw(stream: BinaryIO | TextIO, data: bytes) -> None:
    try:
        os.write(stream.fileno(), data)
    except OSError:  # closed, or no real file: nobody is listening
        return
