"""``chunkdl batch run``: carry the queue out, while windows are open."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.display import open_display
from chunkdl.cli.errors import INTERNAL_EXIT_CODE, say_bug, say_error, tell
from chunkdl.cli.output import Output
from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.sections import SectionedOption, TeachingCommand
from chunkdl.cli.stopping import Stopping, exit_code_of
from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.report import SCHEMA
from chunkdl.spelling import spell_count, spell_duration, spell_rate, spell_share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from chunkdl.batch.bookkeeping import Books
    from chunkdl.batch.ending import Ending
    from chunkdl.batch.job import Job
    from chunkdl.batch.moment import Moment
    from chunkdl.batch.policy import Policy
    from chunkdl.batch.runner import Runner
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.progress_lines import Display

_EXAMPLES = (
    ("chunkdl batch run", "wait for the window, pull until all is done or it closes"),
    ("chunkdl batch run --watch --http 127.0.0.1:8650", "stay, take jobs as they are added, and show a page"),
    ("chunkdl batch run --window 'Mon-Fri 22:30-07:00' --bwlimit 20M", "for this run, whatever the manifest says"),
    ("chunkdl batch run --once --until 07:00", "only what can run at once, and not beyond seven"),
)
_FOOTER = (
    "Ctrl-C keeps everything: the next run goes on. SIGHUP makes it look at once; a manifest or settings file that",
    "is edited holds within seconds.",
    "",
    "Exit codes: 0 all done, 20 some jobs are parked, 21 the window closed with work left.",
)
# A line for logs as rare as fetch's own.
_STATUS_EVERY_S = 30.0


_when = partial(click.option, cls=SectionedOption, section="When")
_pace = partial(click.option, cls=SectionedOption, section="How fast")


@click.command("run", cls=TeachingCommand, examples=_EXAMPLES, footer=_FOOTER, short_help="Carry the queue out.")
@_when("--once", is_flag=True, help="End when nothing can run at once; wait for no window.")
@_when("--watch", is_flag=True, help="Stay when all is done, for jobs to come.")
@_when("--window", "windows", metavar="WINDOW", multiple=True, help="Only then; repeatable.")
@_when("--time-zone", metavar="NAME", help="Whose clock windows and times mean.")
@_pace("--bwlimit", "--limit-rate", "bwlimit", metavar="RATE|TIMETABLE", help="As 20M or '08:00,512k 23:00,off'.")
@_when("--until", metavar="TIME", help="End at 07:00, or at 2026-11-25 07:00.")
@click.option("--http", "listen", metavar="ADDRESS:PORT", help="Show a status page there.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object at the end, on failure too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def run(around: Surroundings, /, **arguments: Any) -> int:
    """Fetch every job in the queue over one pool of connections, the most urgent first.

    stdout has the folder of each job as it is done.
    """
    display = open_display("none", around, quiet=arguments["quiet"])
    command = _Command(around, arguments, display)
    with Stopping(command.last_words, around.leave) as stopping:
        return command.run(stopping)


class _Command:
    """One run."""

    def __init__(self, around: Surroundings, arguments: dict[str, Any], display: Display) -> None:
        self._around = around
        self._said = arguments
        self._display = display
        self._output = Output(around.stdout)
        self._told = 0
        self._once: set[str] = set()
        self._status_at = around.clock()
        self._jobs: list[Job] = []
        self._ending: Ending | None = None

    def run(self, stopping: Stopping) -> int:
        """The exit code; everything is told."""
        error: Exception | None = None
        try:
            self._ending = run_until_stopped(self._run, stopping, lambda: None)
        except Exception as failure:  # noqa: BLE001 - told with its traceback if it is a bug, never swallowed
            error = failure
            if not isinstance(failure, ChunkdlError):
                say_bug(self._display, failure)
            say_error(self._display, tell(failure))
        code = self._code(error, stopping)
        if stopping.may_speak():
            self._tell_end(code, error)
        return code

    def _code(self, error: Exception | None, stopping: Stopping) -> int:
        if stopping.signum is not None:
            return exit_code_of(stopping.signum)
        if error is not None:
            return error.exit_code if isinstance(error, ChunkdlError) else INTERNAL_EXIT_CODE
        assert self._ending is not None
        return self._ending.exit_code

    def last_words(self, code: int) -> None:
        """From the watchdog: the queue is safe, whatever still hangs."""
        with suppress(OSError):
            self._around.stderr.write("\nstopped; the next chunkdl batch run goes on\n")
        if self._said["as_json"]:
            self._output.text(json.dumps(self._values(code, None)))

    # -- the run ---------------------------------------------------------------------------------

    async def _run(self) -> Ending:
        import random  # noqa: PLC0415 - --help must not pay for any of this

        from chunkdl.batch.bookkeeping import Books  # noqa: PLC0415
        from chunkdl.batch.configured import config_hooks  # noqa: PLC0415
        from chunkdl.batch.orders import Orders  # noqa: PLC0415
        from chunkdl.batch.queue import QUEUE_FILE  # noqa: PLC0415
        from chunkdl.batch.runner import Runner  # noqa: PLC0415
        from chunkdl.batch.runner_lock import RunnerLock  # noqa: PLC0415
        from chunkdl.descriptors import raised_limit  # noqa: PLC0415
        from chunkdl.settings import load_settings  # noqa: PLC0415

        raised_limit()  # before anything is opened
        environ = self._around.environ
        state_dir = load_settings(environ).state_dir
        hooks = config_hooks(environ)
        lock = RunnerLock(state_dir)
        async with AsyncExitStack() as stack:
            lock.acquire()
            stack.callback(lock.release)
            books = await stack.enter_async_context(Books(state_dir / QUEUE_FILE))
            watchers: list[Callable[[Moment], None]] = [self._watch, lambda _: lock.show_life(len(self._jobs))]
            orders = Orders(
                self._mode(),
                await self._until(books),
                self._policy,
                environ,
                lambda job: self._job_done(job, hooks.on_job_done, runner),
                lambda: self._hook(hooks.on_window_closed, {"event": "window-closed"}, runner),
            )
            runner = Runner(books, orders, lambda moment: _tell_all(watchers, moment), random.Random())  # noqa: S311
            if self._said["listen"]:
                from chunkdl.batch.page import serving  # noqa: PLC0415

                page = await stack.enter_async_context(serving(self._said["listen"]))
                watchers.append(page.publish)
                self._display.say("text", f"status page: {page.url}")
            _on_hangup(runner.nudge)
            return await runner.run()

    def _mode(self) -> Any:
        from chunkdl.batch.ending import Mode  # noqa: PLC0415

        if self._said["once"] and self._said["watch"]:
            raise UsageError("--once and --watch exclude each other", hint="keep the one that is meant")
        return Mode.ONCE if self._said["once"] else Mode.WATCH if self._said["watch"] else Mode.WINDOW

    def _policy(self, remembered: str | None) -> Policy:
        """Flags before the last manifest before the user's settings file, each read again."""
        from chunkdl.batch.policy import PolicyText  # noqa: PLC0415
        from chunkdl.batch.standing import standing_policy  # noqa: PLC0415

        said = self._said
        flags = PolicyText(said["windows"] or None, said["time_zone"], said["bwlimit"])
        standing = standing_policy(remembered, self._around.environ, flags)
        for notice in standing.notices:
            self._say_once(notice.message)
        return standing.policy

    async def _until(self, books: Books) -> float | None:
        """By the clock of the batch, which may be a manifest's."""
        from chunkdl.batch.queue import Queue  # noqa: PLC0415

        said = self._said["until"]
        return None if said is None else _instant(said, self._policy(await books.call(Queue.policy)).zone)

    # -- telling ---------------------------------------------------------------------------------

    def _watch(self, moment: Moment) -> None:
        for notice in moment.news(self._told):
            self._display.say("note", notice.message)
        self._told = moment.told
        if self._around.clock() - self._status_at >= _STATUS_EVERY_S:
            self._status_at = self._around.clock()
            self._display.say("text", _spell_moment(moment))

    def _say_once(self, message: str) -> None:
        if message not in self._once:
            self._once.add(message)
            self._display.say("note", message)

    async def _job_done(self, job: Job, command: Sequence[str], runner: Runner) -> None:
        self._jobs.append(job)
        if job.path and job.came and not self._said["as_json"]:
            self._output.text(job.path)
        await self._hook(command, {"event": "job-done", "job": _job_values(job)}, runner)

    async def _hook(self, command: Sequence[str], values: dict[str, Any], runner: Runner) -> None:
        if command:
            from chunkdl.batch.hooks import run_hook  # noqa: PLC0415

            await run_hook(command, values, runner.say)

    def _tell_end(self, code: int, error: Exception | None) -> None:
        if self._said["as_json"]:
            self._output.text(json.dumps(self._values(code, error)))
        ending = self._ending
        if ending is not None:
            left = f", {spell_count(ending.left, 'job')} left" if ending.left else ""
            parked = f", {ending.parked} parked: chunkdl batch status says why" if ending.parked else ""
            done = spell_count(sum(each.came for each in self._jobs), "job")
            self._display.say("done", f"{done} done{left}{parked}")
        elif error is None:
            self._display.say("note", "stopped; the next chunkdl batch run goes on")

    def _values(self, code: int, error: Exception | None) -> dict[str, Any]:
        ending = self._ending
        return {
            "schema": SCHEMA,
            "ok": code == 0,
            "exit_code": code,
            "jobs": [_job_values(each) for each in self._jobs],
            "left": ending.left if ending is not None else None,
            "parked": ending.parked if ending is not None else None,
            "error": asdict(tell(error)) if error is not None else None,
        }


def _tell_all(watchers: Sequence[Callable[[Moment], None]], moment: Moment) -> None:
    for each in watchers:
        each(moment)


def _on_hangup(nudge: Callable[[], None]) -> None:
    """SIGHUP, where there is one: look at once, as daemons do, instead of ending."""
    with suppress(NotImplementedError, ValueError, AttributeError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, nudge)


def _instant(text: str, zone: tzinfo) -> float:
    """``07:00`` is the next time that a clock shows it."""
    from chunkdl.core.windows import parse_time  # noqa: PLC0415

    try:
        when = datetime.fromisoformat(text) if len(text) > len("07:00") else None
    except ValueError as error:
        raise UsageError(f"--until {text!r} is no time", hint="write 07:00 or 2026-11-25 07:00") from error
    if when is None:
        now = datetime.now(zone)
        minutes = parse_time(text, f"--until {text}")
        when = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(minutes=minutes)
        when = when if when > now else when + timedelta(days=1)
    return (when if when.tzinfo else when.replace(tzinfo=zone)).timestamp()


def _spell_moment(moment: Moment) -> str:
    running = [each for each in moment.jobs if each.job.state == "running"]
    waiting = sum(each.job.state == "waiting" for each in moment.jobs)
    if not moment.open:
        opens = spell_duration(moment.changes_at - moment.at) if moment.changes_at else "never"
        return f"the window is closed, opens in {opens}; {spell_count(waiting, 'job')} waiting"
    names = ", ".join(f"{each.job.name} {spell_share(each.done_bytes, each.total_bytes)}" for each in running)
    return f"{spell_rate(moment.goodput_bytes_per_s)}; {names or 'nothing runs'}; {spell_count(waiting, 'job')} waiting"


def _job_values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "ref": job.wish.task.reference,
        "state": job.state.value,
        "exit_code": job.exit_code,
        "reason": job.reason,
        "hint": job.hint,
        "path": job.path,
        "attempts": job.attempts,
        "total_bytes": job.total_bytes,
        "authenticated": job.authenticated,
    }
