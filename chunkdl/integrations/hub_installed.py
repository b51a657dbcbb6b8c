"""``installed``: huggingface_hub's own client, set by its public hook to ask the engine in this process.

Decides what happens while the block lasts and that everything is put back. Not for several threads at once:
huggingface_hub has one client a process.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.api import FetchOptions, completed, result_of, run_fetch
from chunkdl.errors import UsageError
from chunkdl.integrations.hub_package import http_library, hub
from chunkdl.observe import ignore
from chunkdl.pipeline.background import Background
from chunkdl.settings.called import SourceOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from chunkdl.endpoint.hub import EngineHub
    from chunkdl.model import Mirror
    from chunkdl.observe import Observer
    from chunkdl.settings import Settings, Trust


@contextmanager
def installed(  # noqa: PLR0913  keywords that each say one thing
    *references: str,
    mirrors: Sequence[str | Mirror] | None = None,
    add_mirrors: Sequence[str | Mirror] = (),
    origin: str | None = None,
    trust: Trust | None = None,
    token: str | bool | None = None,
    limit_rate_bytes_per_s: float = 0.0,
    connections: int = 0,
    on_event: Observer = ignore,
    settings: Settings | None = None,
) -> Iterator[None]:
    """While the block lasts, what huggingface_hub downloads in this process comes through the engine.

    ``references`` are fetched first, as ``chunkdl.fetch`` does; whatever else is asked for is fetched when it is.
    Keywords as those of ``chunkdl.Downloader``; the cache is huggingface_hub's own. Where HF_HUB_OFFLINE is set the
    references must be in the cache, and nothing is asked.

    Raises:
        UsageError: there is no huggingface_hub 1.x or 2.x, or an argument cannot mean anything.
        FetchFailed: one of ``references`` could not be fetched.
    """
    package = _package()
    if settings is None:
        settings = SourceOptions(mirrors, add_mirrors, origin, trust, token).settings()
    settings = replace(settings, cache_dir=Path(package.constants.HF_HUB_CACHE), local_dir=None)
    options = FetchOptions(limit_rate_bytes_per_s=limit_rate_bytes_per_s, connections=connections)
    if settings.offline:
        for each in references:
            result_of(completed(lambda each=each: run_fetch([each], options, settings, on_event)))  # type: ignore[misc]
        yield
        return
    background = Background("chunkdl-hub")
    engine_hub = background.start(lambda: _engine_hub(settings, options, on_event))
    try:
        for each in references:
            result_of(background.submit(engine_hub.fetch(each, options)).result())
        with _client_of(package, engine_hub, background):
            yield
    finally:
        background.stop()


def _package() -> Any:
    package = hub()
    if package is None or not hasattr(package, "set_client_factory"):
        hint = "pip install 'huggingface_hub>=2.4,<3', or run the program under: chunkdl run --"
        raise UsageError("installed() needs huggingface_hub 1.x or 2.x", hint=hint)
    return package


@asynccontextmanager
async def _engine_hub(settings: Settings, options: FetchOptions, observer: Observer) -> AsyncIterator[EngineHub]:
    from chunkdl.endpoint.hub import EngineHub  # noqa: PLC0415
    from chunkdl.pipeline.pool import pooled  # noqa: PLC0415  brings the HTTP client along

    async with pooled(settings, options, observer) as pool:
        yield EngineHub(pool, settings)


@contextmanager
def _client_of(package: Any, engine_hub: EngineHub, background: Background) -> Iterator[None]:
    """The client with our transport before its own; afterwards the factory that was there."""
    from chunkdl.integrations.hub_transport import EngineTransport  # noqa: PLC0415

    library, before = http_library(), _factory(package)

    def client() -> Any:
        inner = before()
        transport = EngineTransport(library, inner, _endpoints(package), engine_hub, background)
        return library.Client(
            transport=transport,
            headers=inner.headers,
            cookies=inner.cookies,
            timeout=inner.timeout,
            follow_redirects=inner.follow_redirects,
            max_redirects=inner.max_redirects,
        )

    package.set_client_factory(client)
    try:
        yield
    finally:
        package.set_client_factory(before)


def _factory(package: Any) -> Callable[[], Any]:
    """The factory that makes clients now.

    There is no public way to ask for it, so it is read, never written; a version that keeps it elsewhere gets back
    clients like the one that it has now, as far as those show what they are.
    """
    kept: Callable[[], Any] | None = getattr(package.utils._http, "_GLOBAL_CLIENT_FACTORY", None)  # noqa: SLF001
    if kept is not None:
        return kept
    now = package.utils.get_session()
    shown = {name: getattr(now, name) for name in ("event_hooks", "headers", "timeout", "follow_redirects")}
    return lambda: type(now)(**shown)


def _endpoints(package: Any) -> tuple[str, ...]:
    """Addresses that mean the hub to this process."""
    return tuple(dict.fromkeys((package.constants.ENDPOINT.rstrip("/"), "https://huggingface.co")))
