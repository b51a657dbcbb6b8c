"""Pool, hub and server as one thing that lives in a thread while a program runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.endpoint.hub import EngineHub
from chunkdl.endpoint.server import offered
from chunkdl.pipeline.pool import pooled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chunkdl.errors import ChunkdlError
    from chunkdl.observe import Observer
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.report import Report
    from chunkdl.settings import Settings


@dataclass(frozen=True, slots=True)
class Offer:
    """A loopback hub that is being served at ``url``."""

    url: str
    hub: EngineHub

    async def fetch(self, reference: str, options: FetchOptions) -> Report:
        """Fetch beforehand; a failure is in the report."""
        return await self.hub.fetch(reference, options)


@asynccontextmanager
async def offer(
    settings: Settings, options: FetchOptions, observer: Observer, on_failure: Callable[[ChunkdlError], object]
) -> AsyncIterator[Offer]:
    """Serve while the block runs.

    Raises:
        UsageError: nobody can listen on loopback here.
    """
    async with pooled(settings, options, observer) as pool:
        hub = EngineHub(pool, settings, on_failure=on_failure)
        async with offered(hub) as url:
            yield Offer(url, hub)
