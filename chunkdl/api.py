"""The pipeline on one screen: references in, a report or a path out.

Decides what a library caller sees. Everything heavy is imported when the first fetch begins, so that
``import chunkdl`` stays cheap.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.observe import ignore
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.watching import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from chunkdl.model import Mirror
    from chunkdl.observe import Observer
    from chunkdl.report import ReferenceReport, Report
    from chunkdl.settings import Settings

__all__ = ["FetchFailed", "FetchOptions", "FetchResult", "afetch", "fetch", "run_fetch"]

T = TypeVar("T")

# A loop of its own begins in milliseconds; on a machine that swaps it may take longer.
_LOOP_BEGINS_S = 10.0


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
        from chunkdl.pipeline.offline import fetch_offline  # noqa: PLC0415

        return fetch_offline(references, options, settings, observer)
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
    """Where one reference is now; usable as a path. ``reference`` has files, digests and provenance."""

    path: Path
    reference: ReferenceReport
    report: Report

    def __fspath__(self) -> str:
        """The path, for ``open`` and ``os``."""
        return str(self.path)

    def __str__(self) -> str:
        """The path as text."""
        return str(self.path)


async def afetch(  # noqa: PLR0913  keywords that each say one thing, as on the command line
    reference: str,
    *,
    mirrors: Sequence[str | Mirror] | None = None,
    origin: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_dir: str | os.PathLike[str] | None = None,
    on_event: Observer = ignore,
    settings: Settings | None = None,
    **options: Any,
) -> FetchResult:
    """Fetch one reference and return where it is; safe to cancel, what is stored is kept.

    Args:
        reference: as on the command line, e.g. ``"bert-base-uncased"``.
        mirrors: instead of the configured ones; an empty list leaves the origin alone.
        origin: the hub whose listing is believed.
        cache_dir: root of the hub cache.
        local_dir: folder that gets real files instead; not together with ``cache_dir``.
        on_event: told what happens (``chunkdl.observe``), in the event loop.
        settings: instead of what environment, settings file and the arguments above say.
        options: fields of ``FetchOptions``.

    Raises:
        UsageError: the arguments, the environment or the settings file cannot mean anything.
        FetchFailed: with the report; its ``code`` and ``exit_code`` are those of the cause.
    """
    chosen = settings if settings is not None else _settings(mirrors, origin, cache_dir, local_dir)
    report = await run_fetch([reference], FetchOptions(**options), chosen, on_event)
    return _result(report)


def fetch(reference: str, **arguments: Any) -> FetchResult:
    """Fetch one reference; takes and raises what ``afetch`` does. Works inside a running event loop too."""
    return _in_own_loop(lambda: afetch(reference, **arguments))


def _settings(
    mirrors: Sequence[str | Mirror] | None,
    origin: str | None,
    cache_dir: str | os.PathLike[str] | None,
    local_dir: str | os.PathLike[str] | None,
) -> Settings:
    from chunkdl.settings import Flags, load_settings  # noqa: PLC0415

    flags = Flags(
        origin=origin,
        mirrors=tuple(mirrors or ()),
        no_mirrors=mirrors is not None and not mirrors,
        cache_dir=Path(cache_dir) if cache_dir is not None else None,
        local_dir=Path(local_dir) if local_dir is not None else None,
    )
    return load_settings(os.environ, flags=flags)


def _result(report: Report) -> FetchResult:
    if report.exit_code:
        raise FetchFailed(report)
    result = report.results[0]
    return FetchResult(Path(result.path or ""), result, report)


def _in_own_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to completion in a loop of our own; in a thread of its own if this one already runs a loop."""
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
