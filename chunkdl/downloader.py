"""Many fetches over one warm pool, from any thread and any event loop.

Decides how a call reaches the pool and how the pool ends. What a fetch is stands in ``api`` and below.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from chunkdl.api import FetchOptions, lock_in, result_of
from chunkdl.observe import ignore
from chunkdl.pipeline.background import END_S, Background
from chunkdl.pipeline.beside import fetch_offline_beside
from chunkdl.pipeline.watching import harmless

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from chunkdl.api import FetchResult
    from chunkdl.model import Mirror
    from chunkdl.observe import Observer
    from chunkdl.pipeline.pool import Pool
    from chunkdl.settings import Settings, Trust


class Downloader:
    """Fetches over connections that stay open between calls.

        with chunkdl.Downloader(limit_rate_bytes_per_s=20e6) as downloader:
            first = downloader.fetch("org/one")
            second = downloader.fetch("org/two", revision="v1.0")

    ``async with`` and ``afetch`` do the same in an event loop. Calls may come from any thread and at the same time:
    they share connections, limits and one tail, and those that wish the same share one download. The pool lives in a
    thread of its own; leaving the block cancels what still runs, keeps what is stored, and takes at most 30 s.
    """

    def __init__(  # noqa: PLR0913  keywords that each say one thing
        self,
        *,
        mirrors: Sequence[str | Mirror] | None = None,
        add_mirrors: Sequence[str | Mirror] = (),
        origin: str | None = None,
        trust: Trust | None = None,
        token: str | bool | None = None,
        offline: bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        limit_rate_bytes_per_s: float = 0.0,
        connections: int = 0,
        on_event: Observer = ignore,
        settings: Settings | None = None,
    ) -> None:
        """Nothing is opened until the block begins.

        From ``mirrors`` to ``cache_dir``: as ``SourceOptions`` says, for every call. ``limit_rate_bytes_per_s`` (0: no
        limit) and ``connections`` (a host; 0: each mirror's own cap) hold for all calls together. ``on_event`` is told
        everything that happens in any call, in the pool's thread. ``settings`` stands in place of everything up to
        ``cache_dir`` and of the environment.

        Raises:
            UsageError: the arguments, the environment or the settings file cannot mean anything.
        """
        if settings is None:
            from chunkdl.settings.called import SourceOptions  # noqa: PLC0415

            settings = SourceOptions(mirrors, add_mirrors, origin, trust, token, offline, cache_dir).settings()
        self._settings = settings
        self._limits = FetchOptions(limit_rate_bytes_per_s=limit_rate_bytes_per_s, connections=connections)
        self._observer = on_event
        self._background = Background("chunkdl-downloader")
        self._pool: Pool | None = None

    async def afetch(  # noqa: PLR0913  keywords that each say one thing
        self,
        reference: str,
        *,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        format: str = "auto",  # noqa: A002  the flag's name
        variant: str | None = None,
        quant: str | None = None,
        local_dir: str | os.PathLike[str] | None = None,
        locked: str | os.PathLike[str] | None = None,
        force: bool = False,
        space_check: bool = True,
        allow_unverified: bool = False,
        on_event: Observer = ignore,
    ) -> FetchResult:
        """Fetch one reference over the pool; keywords and errors as those of ``chunkdl.afetch``.

        ``on_event`` hears of this call, and of the pool's progress as a whole, in the pool's thread.
        """
        wanted = FetchOptions(revision, tuple(include), tuple(exclude), format, variant, quant, force=force)
        options = replace(wanted, space_check=space_check, allow_unverified=allow_unverified)
        return await asyncio.wrap_future(self._begin(reference, options, (local_dir, locked), on_event))

    def fetch(  # noqa: PLR0913  keywords that each say one thing
        self,
        reference: str,
        *,
        revision: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        format: str = "auto",  # noqa: A002  the flag's name
        variant: str | None = None,
        quant: str | None = None,
        local_dir: str | os.PathLike[str] | None = None,
        locked: str | os.PathLike[str] | None = None,
        force: bool = False,
        space_check: bool = True,
        allow_unverified: bool = False,
        on_event: Observer = ignore,
    ) -> FetchResult:
        """The same for synchronous code, in any thread; Ctrl-C cancels the call."""
        wanted = FetchOptions(revision, tuple(include), tuple(exclude), format, variant, quant, force=force)
        options = replace(wanted, space_check=space_check, allow_unverified=allow_unverified)
        future = self._begin(reference, options, (local_dir, locked), on_event)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _begin(
        self,
        reference: str,
        options: FetchOptions,
        files: tuple[str | os.PathLike[str] | None, str | os.PathLike[str] | None],
        observer: Observer,
    ) -> Future[FetchResult]:
        settings, limits, (local_dir, locked) = self._settings, self._limits, files
        rate = limits.limit_rate_bytes_per_s
        options = replace(options, limit_rate_bytes_per_s=rate, connections=limits.connections, lock=lock_in(locked))
        if local_dir is not None:
            settings = replace(settings, local_dir=Path(local_dir).expanduser().resolve())
        return self._background.submit(self._fetch(reference, options, settings, observer))

    async def _fetch(
        self, reference: str, options: FetchOptions, settings: Settings, observer: Observer
    ) -> FetchResult:
        if self._pool is None:
            return result_of(await fetch_offline_beside([reference], options, settings, harmless(observer)))
        return result_of(await self._pool.fetch(reference, options, settings, observer))

    def close(self, end_s: float = END_S) -> bool:
        """What leaving the block does; False if the pool did not end within ``end_s`` seconds."""
        return self._background.stop(end_s)

    def __enter__(self) -> Self:
        """Open the pool."""
        self._pool = self._background.start(self._opened)
        return self

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Pool | None]:
        """The pool; None where there is nobody to connect to."""
        if self._settings.offline:
            yield None
            return
        from chunkdl.pipeline.pool import pooled  # noqa: PLC0415  brings the HTTP client along

        async with pooled(self._settings, self._limits, self._observer) as pool:
            yield pool

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Cancel what runs and close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Open the pool beside this event loop."""
        self._pool = await self._background.astart(self._opened)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel what runs and close, without holding up this event loop."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)
