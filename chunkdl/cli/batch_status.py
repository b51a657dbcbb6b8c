"""``chunkdl batch status``: the queue as a table, as lines for programs, as one object, or kept up to date.

Decides columns by who reads; words come from ``batch.status``.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

from chunkdl.batch.job import JobState
from chunkdl.batch.runner_lock import runner_lives
from chunkdl.batch.status import (
    HEADING,
    NAMES,
    Situation,
    counts_line,
    fields,
    in_order,
    policy_values,
    row,
    values_of,
    window_line,
)
from chunkdl.cli.answering import Answer, answer, fail, table
from chunkdl.cli.batch_sight import looking
from chunkdl.cli.output import Output
from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.stopping import Stopping
from chunkdl.errors import ChunkdlError, UsageError

if TYPE_CHECKING:
    from chunkdl.batch.job import Job
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.observe import Notice

# As often as numbers change that a person would read.
_WATCH_S = 2.0
# Home, and from the end of each line and of the last one on nothing: the screen does not flicker (ECMA-48).
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def show(around: Surroundings, *, as_json: bool, quiet: bool) -> int:
    """Print the queue; the exit code."""
    return answer(around, lambda: _made(around), as_json=as_json, quiet=quiet, empty={"jobs": [], "policy": None})


def _made(around: Surroundings) -> Answer:
    jobs, situation, notices = _look(around)
    person = around.stdout.isatty()
    lines = _for_people(jobs, situation) if person else _for_programs(jobs)
    values = {"jobs": [values_of(each) for each in jobs], "policy": policy_values(situation)}
    notes = [counts_line(jobs), window_line(situation)]
    if not jobs:
        notes[0] += ": chunkdl batch add REF... queues"
    elif any(each.state is JobState.PARKED for each in jobs):
        notes.append("parked: chunkdl batch log JOB says more, chunkdl batch add JOB --again tries again")
    return Answer(values, lines, notices, notes=notes)


def _look(around: Surroundings) -> tuple[list[Job], Situation, tuple[Notice, ...]]:
    with looking(around) as sight:
        jobs = in_order(sight.queue.jobs() if sight.queue is not None else ())
        lives = sight.queue is not None and runner_lives(sight.queue.path.parent)
        return jobs, Situation(sight.now, sight.standing.policy, lives), sight.standing.notices


def _for_people(jobs: list[Job], situation: Situation) -> list[str]:
    return table([HEADING, *(row(each, situation) for each in jobs)]) if jobs else []


def _for_programs(jobs: list[Job]) -> list[str]:
    return ["\t".join(NAMES), *("\t".join(fields(each)) for each in jobs)]


def watch_status(around: Surroundings, *, as_json: bool) -> int:
    """Print it again and again until stopped; the exit code."""
    if as_json:
        error = UsageError("--watch and --json exclude each other", hint="run batch status --json again and again")
        return fail(around, error, as_json=True, empty={"jobs": [], "policy": None})
    try:
        with Stopping(lambda _code: None, around.leave) as stopping:
            run_until_stopped(lambda: _watch(around), stopping, lambda: None)
    except ChunkdlError as error:
        return fail(around, error, as_json=False)
    return 0  # whoever watches decides when it is over


async def _watch(around: Surroundings) -> None:
    output, seen = Output(around.stdout), ""
    while not output.broken:
        screen = _screen(around)
        if screen != seen or around.stdout.isatty():
            output.text(screen)
        seen = screen
        await asyncio.sleep(_WATCH_S)


def _screen(around: Surroundings) -> str:
    """A page for a terminal; elsewhere the same lines one after the other, each time that they change."""
    jobs, situation, notices = _look(around)
    head = [f"{counts_line(jobs)}; {window_line(situation)}", *(f"note: {each.message}" for each in notices), ""]
    lines = [*head, *_for_people(jobs, situation)]
    if not around.stdout.isatty():
        return "\n".join(["", *lines])
    columns, rows = shutil.get_terminal_size()
    if len(lines) >= rows:
        lines = [*lines[: rows - 2], f"and {len(lines) - rows + 2} more"]
    return _HOME + "".join(f"{each[:columns]}{_REST_OF_LINE}\n" for each in lines) + _REST_OF_SCREEN
