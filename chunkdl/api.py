"""The pipeline on one screen: references in, a report or a path out.

Decides what a library caller sees. Everything heavy is imported when the first fetch begins, so that
``import chunkdl`` stays cheap.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.observe import ReferencePlanned, ignore
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.sharing import Shared
from chunkdl.pipeline.watching import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from chunkdl.core.planner import Plan
    from chunkdl.identify.lockfile import Lock
    from chunkdl.model import Mirror
    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.report import FileReport, ReferenceReport, Report
    from chunkdl.settings import Settings, Trust

__all__ = ["FetchFailed", "FetchOptions", "FetchResult", "afetch", "aplan", "fetch", "plan", "run_fetch"]

P = ParamSpec("P")
T = TypeVar("T")

# A loop of its own begins in milliseconds; on a machine that swaps it may take longer.
_LOOP_BEGINS_S = 10.0
# Every fetch of this process that is under way.
_under_way: Shared[Report] = Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_under_way.forget)


async def run_fetch(
    references: Sequence[str], options: FetchOptions, settings: Settings, observer: Observer = ignore
) -> Report:
    """Fetch ``references`` over one pool of connections; failures are in the report, not raised.

    Raises:
        UsageError: several references for one local folder, where their files would overwrite each other.
        asyncio.CancelledError: the caller cancelled; what is stored is kept, the next run goes on from it.
    """
    if settings.local_dir is not None and len(references) > 1:
        raise UsageError("--local-dir takes one REF", hint="use --include for several files of one repository")
    observer = harmless(observer)
    if settings.offline:
        from chunkdl.pipeline.beside import fetch_offline_beside  # noqa: PLC0415

        return await fetch_offline_beside(references, options, settings, observer)
    from chunkdl.pipeline.outcome import summed  # noqa: PLC0415  brings the HTTP client along
    from chunkdl.pipeline.reference import ReferenceRun  # noqa: PLC0415
    from chunkdl.pipeline.session import opened  # noqa: PLC0415

    began = time.monotonic()
    async with opened(settings, options, observer) as session:
        runs = [session.engine.spawn(ReferenceRun(session, each).run(), f"fetch {each}") for each in references]
        results = [await run for run in runs]
        return summed(results, session, time.monotonic() - began)


class FetchFailed(ChunkdlError):
    """A fetch that a library call asked for ended in an error; ``report`` has all of it."""

    def __init__(self, report: Report) -> None:
        """Speak for the first reference that failed."""
        result = next(each for each in report.results if not each.ok)
        error = result.error
        assert error is not None
        super().__init__(error.message, hint=error.hint, mirror=error.mirror, file=error.file)
        self.report = report
        self.code = error.code
        self.exit_code = result.exit_code


@dataclass(frozen=True, slots=True)
class FetchResult(os.PathLike[str]):
    """Where one reference is now; usable as a path wherever a folder or file name is.

    Args:
        path: the folder that loaders read, or the file if the reference names one.
        reference: everything about this reference: commit, whose listing was believed, what was left out.
        report: the whole run with its totals and hosts, as ``--json`` prints it.
    """

    path: Path
    reference: ReferenceReport
    report: Report

    @property
    def files(self) -> tuple[FileReport, ...]:
        """Every file: path, size in bytes, digest, what proved it, and whether network, part file or cache gave it."""
        return self.reference.files

    @property
    def commit(self) -> str:
        """The commit, 40 hex digits: ``revision=`` for loaders that should have exactly this."""
        return self.reference.commit or ""

    @property
    def authenticated(self) -> bool:
        """True if the listing came from its publisher's hub over a protected connection; False for mirrors' word."""
        return bool(self.reference.authenticated)

    @property
    def bytes_fetched(self) -> int:
        """Bytes that the network brought for this call; the rest was here already."""
        return self.report.totals.bytes_fetched

    def __fspath__(self) -> str:
        """The path, for ``open`` and ``os``."""
        return str(self.path)

    def __str__(self) -> str:
        """The path as text."""
        return str(self.path)


async def afetch(  # noqa: PLR0913  keywords that each say one thing, as on the command line
    reference: str,
    *,
    revision: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    format: str = "auto",  # noqa: A002  the flag's name
    variant: str | None = None,
    quant: str | None = None,
    mirrors: Sequence[str | Mirror] | None = None,
    add_mirrors: Sequence[str | Mirror] = (),
    origin: str | None = None,
    trust: Trust | None = None,
    token: str | bool | None = None,
    offline: bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    locked: str | os.PathLike[str] | None = None,
    force: bool = False,
    limit_rate_bytes_per_s: float = 0.0,
    connections: int = 0,
    space_check: bool = True,
    allow_unverified: bool = False,
    on_event: Observer = ignore,
    settings: Settings | None = None,
) -> FetchResult:
    """Fetch one reference and return where it is; safe to cancel: what is stored is kept for the next call.

    Callers of one process that wish the same at the same time share one download; other processes are waited for.

    ``reference`` is what the command line takes, e.g. ``"bert-base-uncased"`` or ``"datasets/org/name@v1.0"``. What
    to fetch and how is described with ``FetchOptions``, where from and where to with ``SourceOptions``, word by word;
    ``locked`` is the path of a lock file, which then says exactly what ``reference`` means.
    ``on_event`` is told what happens (the events that ``chunkdl`` exports), in this event loop. ``settings`` stands
    in place of everything from ``mirrors`` to ``local_dir`` and of the environment.

    Raises:
        UsageError: the arguments, the environment or the settings file cannot mean anything.
        FetchFailed: with the report; ``code``, ``exit_code`` and ``__cause__`` are those of what stopped it.
    """
    if settings is None:
        from chunkdl.settings.called import SourceOptions  # noqa: PLC0415

        called = SourceOptions(mirrors, add_mirrors, origin, trust, token, offline, cache_dir, local_dir)
        settings = called.settings()
    wanted = FetchOptions(revision, tuple(include), tuple(exclude), format, variant, quant, force=force)
    wanted = replace(wanted, allow_unverified=allow_unverified, space_check=space_check, lock=lock_in(locked))
    options = replace(wanted, limit_rate_bytes_per_s=limit_rate_bytes_per_s, connections=connections)
    return result_of(await shared_fetch(reference, options, settings, on_event))


async def aplan(  # noqa: PLR0913  keywords that each say one thing
    reference: str,
    *,
    revision: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    format: str = "auto",  # noqa: A002  the flag's name
    variant: str | None = None,
    quant: str | None = None,
    mirrors: Sequence[str | Mirror] | None = None,
    add_mirrors: Sequence[str | Mirror] = (),
    origin: str | None = None,
    trust: Trust | None = None,
    token: str | bool | None = None,
    offline: bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    locked: str | os.PathLike[str] | None = None,
    force: bool = False,
    space_check: bool = True,
    allow_unverified: bool = False,
    on_event: Observer = ignore,
    settings: Settings | None = None,
) -> Plan:
    """What ``afetch`` with the same keywords would do now, as ``--dry-run`` prints it; no byte of content is fetched.

    The ``Plan`` says which files were chosen and which left out, for each content what happens to it, and in bytes
    what would be fetched (``bytes_to_fetch``), is here already (``bytes_reused``) and must fit the disk
    (``disk_needed``). ``executable`` are files that may run code when loaded.

    Raises:
        UsageError: the arguments, the environment or the settings file cannot mean anything.
        FetchFailed: it could not be found out what the reference means, or it would not fit the disk.
    """
    if settings is None:
        from chunkdl.settings.called import SourceOptions  # noqa: PLC0415

        called = SourceOptions(mirrors, add_mirrors, origin, trust, token, offline, cache_dir, local_dir)
        settings = called.settings()
    wanted = FetchOptions(revision, tuple(include), tuple(exclude), format, variant, quant, force=force, dry_run=True)
    options = replace(wanted, allow_unverified=allow_unverified, space_check=space_check, lock=lock_in(locked))
    plans: list[Plan] = []

    def watch(event: WatchedEvent) -> None:
        if isinstance(event, ReferencePlanned):
            plans.append(event.plan)
        on_event(event)

    result_of(await run_fetch([reference], options, settings, watch))
    (planned,) = plans
    return planned


def lock_in(locked: str | os.PathLike[str] | None) -> Lock | None:
    """The lock file of that name; raises ``UsageError`` if it is none, ``StoreError`` if it cannot be read."""
    if locked is None:
        return None
    from chunkdl.pipeline.locking import read_lock  # noqa: PLC0415

    return read_lock(Path(locked))


async def shared_fetch(reference: str, options: FetchOptions, settings: Settings, observer: Observer) -> Report:
    """One reference, once for all callers of this process that wish exactly this now."""
    return await _under_way.call(
        (reference, options, settings),
        harmless(observer),
        lambda tell: run_fetch([reference], options, settings, tell),
    )


def result_of(report: Report) -> FetchResult:
    """What the caller of one reference gets.

    Raises:
        FetchFailed: the report tells of a failure.
    """
    result = report.results[0]
    if report.exit_code:
        raise FetchFailed(report) from result.cause
    return FetchResult(Path(result.path or ""), result, report)


def completed(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine returns, run in a loop of our own; in a thread of its own if this one already runs a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    outcome: Future[T] = Future()
    cancel: Future[Callable[[], object]] = Future()

    async def attended() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancel.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await make()

    def work() -> None:
        try:
            outcome.set_result(asyncio.run(attended()))
        except BaseException as error:  # noqa: BLE001  handed to the caller's thread, whatever it is
            outcome.set_exception(error)

    thread = threading.Thread(target=work, name="chunkdl-fetch")
    thread.start()
    try:
        wait((outcome,))  # not join: interrupted, it takes a running thread for one that has ended (bpo-45274)
    except BaseException:  # Ctrl-C comes to this thread; that one must not go on behind its back
        with suppress(RuntimeError):  # it has just ended by itself
            cancel.result(_LOOP_BEGINS_S)()
        wait((outcome,))
        raise
    thread.join()
    return outcome.result()


def in_own_loop(coroutine: Callable[P, Coroutine[Any, Any, T]], name: str, doc: str) -> Callable[P, T]:
    """The same call for synchronous code, its signature included."""

    @functools.wraps(coroutine)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return completed(lambda: coroutine(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


fetch = in_own_loop(
    afetch,
    "fetch",
    """Fetch one reference and return where it is. Takes and raises what ``afetch`` does; works in any thread.

    Inside a running event loop too, which it blocks: there ``afetch`` is the better choice.
    """,
)


plan = in_own_loop(
    aplan,
    "plan",
    """What ``fetch`` with the same keywords would do now. Takes, returns and raises what ``aplan`` does.""",
)
