"""One attempt at one job: a fetch over the shared pool, or a test of mirrors in a process of its own.

Decides what the job's own words mean for settings and options, and what its end means as an ``Outcome``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.batch.outcomes import HostBytes, Outcome, PlacedFile
from chunkdl.errors import ChunkdlError
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.pool import How
from chunkdl.settings import Flags, load_settings
from chunkdl.settings.registry import KNOWN_MIRRORS, OTHER_HUBS
from chunkdl.transfer.limiter import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from chunkdl.batch.job import Circumstances, Job, Task
    from chunkdl.observe import Observer
    from chunkdl.pipeline.pool import Pool
    from chunkdl.pipeline.reference import ReferenceRun
    from chunkdl.report import Report
    from chunkdl.settings import Settings

# Each step of priority is worth half as much again of a limit that binds, within a factor of about 60: enough to
# be felt, and nobody starves.
_WEIGHT_OF_A_STEP = 1.5
_MOST_STEPS = 10
# A mirror test announces at most some minutes; whatever takes longer hangs.
_TEST_S = 1800.0
_MAX_ANSWER_BYTES = 4 << 20
# A process that was killed is gone within milliseconds.
_REAPED_S = 1.0
_BUG = ChunkdlError.exit_code
# What settings and TLS read of the environment as a path, which may be relative.
_PATHS = ("CHUNKDL_STATE_DIR", "CHUNKDL_CONFIG", "HF_HOME", "HF_TOKEN_PATH", "SSL_CERT_FILE")


def settings_of(job: Job, environ: Mapping[str, str], exhausted: frozenset[str] = frozenset()) -> Settings:
    """What a job runs with; the user's file is read again, so that a new token or mirror counts.

    Raises:
        UsageError: the job, the environment or the file cannot mean anything.
    """
    task, around = job.wish.task, job.wish.circumstances
    return replace(load_settings(environ, None, _flags(task, around)), exhausted=exhausted)


def _flags(task: Task, around: Circumstances) -> Flags:
    return Flags(
        origin=around.origin,
        mirrors=around.mirrors or (),
        no_mirrors=around.mirrors == (),
        trust=around.trust,  # type: ignore[arg-type]  # the manifest checked it, and settings do again
        cache_dir=Path(task.cache_dir) if task.cache_dir else None,
        local_dir=Path(task.local_dir) if task.local_dir else None,
    )


def options_of(task: Task) -> FetchOptions:
    """The selection of a task."""
    return FetchOptions(task.revision, task.include, task.exclude, task.format, task.variant, task.quant)


def weight_of(priority: int) -> float:
    """A job's share of a limit that binds."""
    return float(_WEIGHT_OF_A_STEP ** max(-_MOST_STEPS, min(_MOST_STEPS, priority)))


def mirror_names(jobs: Iterable[Job], environ: Mapping[str, str]) -> frozenset[str]:
    """All that budgets and caps may be about; what a job says wrongly is told when it begins."""
    settings = [load_settings(environ)]
    for each in {job.wish.circumstances: job for job in jobs}.values():
        with suppress(ChunkdlError):
            settings.append(settings_of(each, environ))
    known = frozenset(each.host for each in (*KNOWN_MIRRORS, *OTHER_HUBS))
    sources = (each for one in settings for each in (*one.sources, *one.url_mirrors, one.modelscope))
    return known | frozenset(each.name for each in sources)


class Fetching:
    """A fetch under way; ``run`` is there once it has begun, ``total_bytes`` once it is ``planned``."""

    def __init__(self, job: Job, settings: Settings) -> None:
        """``settings`` are the job's."""
        self.job = job
        self.settings = settings
        self.run: ReferenceRun | None = None
        self.planned = False
        self.total_bytes = 0

    @property
    def done_bytes(self) -> int:
        """What of the plan is here."""
        return self.run.done_bytes if self.run is not None else 0

    @property
    def fetched_bytes(self) -> int:
        """What this attempt brought."""
        return self.run.fetched_bytes if self.run is not None else 0

    async def work(self, pool: Pool, observer: Observer) -> Outcome:
        """Fetch to the end; failures are in the outcome, a cancellation is raised."""

        def begun(run: ReferenceRun) -> None:
            self.run = run

        task = self.job.wish.task
        how = How(lane=Lane(weight_of(self.job.wish.priority)), begun=begun)
        report = await pool.fetch(task.reference, options_of(task), self.settings, observer, how)
        return self._outcome(report)

    def stopped(self, why: str) -> Outcome:
        """The outcome of an attempt that was cancelled."""
        return Outcome(None, why, bytes_fetched=self.fetched_bytes, hosts=self._hosts(None))

    def _outcome(self, report: Report) -> Outcome:
        (result,) = report.results
        error = result.error
        return Outcome(
            result.exit_code if not result.ok else 0,
            error.message if error else "",
            error.hint if error else "",
            result.path,
            self.fetched_bytes,
            report.totals.bytes_wasted,
            self._hosts(report),
            tuple(PlacedFile(each.path, each.size, each.digest, each.source) for each in result.files),
            result.authenticated,
        )

    def _hosts(self, report: Report | None) -> tuple[HostBytes, ...]:
        given = self.run.given if self.run is not None else {}
        known = {each.host: each for each in report.hosts} if report is not None else {}
        return tuple(
            HostBytes(host, known[host].mirrors, count, known[host].errors, known[host].state)
            if host in known
            else HostBytes(host, (), count, 0, "")
            for host, count in sorted(given.items())
        )


class Testing:
    """A mirror test under way, in a process of its own: it measures what nothing beside it disturbs."""

    done_bytes = total_bytes = fetched_bytes = 0
    planned = True  # it has no plan to wait for

    def __init__(self, job: Job, environ: Mapping[str, str]) -> None:
        """``environ`` is what the process gets."""
        self.job = job
        self._environ = environ

    async def work(self) -> Outcome:
        """Run it to the end, or kill it when cancelled."""
        process = await asyncio.create_subprocess_exec(
            *self._command(),
            cwd=Path(sys.executable).anchor,  # a folder that is nobody's project
            env=_from_anywhere(self._environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_MAX_ANSWER_BYTES,
        )
        try:
            async with asyncio.timeout(_TEST_S):
                answer, _ = await process.communicate()
        except TimeoutError:
            return Outcome(4, f"the test of mirrors did not end within {_TEST_S:.0f} s", "chunkdl mirrors test")
        finally:
            if process.returncode is None:
                process.kill()
                with suppress(TimeoutError):  # only a disk that hangs keeps it from going at once
                    async with asyncio.timeout(_REAPED_S):
                        await process.communicate()
        return _tested(process.returncode, answer)

    def stopped(self, why: str) -> Outcome:
        """The outcome of an attempt that was cancelled."""
        return Outcome(None, why)

    def _command(self) -> list[str]:
        task, around = self.job.wish.task, self.job.wish.circumstances
        # -P: what lies in the current folder under a library's name is no module.
        command = [sys.executable, "-P", "-m", "chunkdl", "mirrors", "test", "--json"]
        command += [f"--origin={around.origin}"] if around.origin else []
        command += [f"--mirror={each}" for each in around.mirrors or ()]
        command += ["--no-mirrors"] if around.mirrors == () else []
        return [*command, "--", task.reference] if task.reference else command


def _from_anywhere(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for a process in another folder; ``~`` and ``$`` mean the same there."""
    relative = {name: environ[name] for name in _PATHS if environ.get(name) and environ[name][0] not in "~$"}
    return {**environ, **{name: str(Path(value).absolute()) for name, value in relative.items()}}


def _tested(exit_code: int | None, answer: bytes) -> Outcome:
    """The ranking in one line; the figures themselves are in the memory of mirrors."""
    try:
        values: dict[str, Any] = json.loads(answer)
        ranked = [f"{each['rank']}. {each['url']}" for each in values["mirrors"]]
    except (ValueError, KeyError, TypeError) as error:
        return Outcome(exit_code or 1, f"the test of mirrors gave no answer: {type(error).__name__}")
    if exit_code:
        failure = values.get("error") or {}
        return Outcome(exit_code, str(failure.get("message", "no mirror passed")), str(failure.get("hint", "")))
    return Outcome(0, "; ".join(ranked))


Work = Fetching | Testing


async def carried_out(work: Callable[[], Any]) -> Outcome:
    """The outcome of an attempt, whatever it raises: a bug that one job meets parks it and stops nobody else."""
    try:
        outcome = await work()
    except ChunkdlError as error:
        return Outcome(error.exit_code, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  told with the job, where it happened included
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"chunkdl has a bug: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Outcome(_BUG, reason, "please report it; what was fetched is kept")
    assert isinstance(outcome, Outcome)
    return outcome
