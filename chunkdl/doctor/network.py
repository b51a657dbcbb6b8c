"""All sources at once, each followed as far as it leads and no longer than its limit.

Decides the order of steps: what is below must stand before what is above is asked.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.doctor.exchanges import Listener, ask_listing, ask_range, ask_token, gave_up
from chunkdl.doctor.exchanges_by_content import ask_catalogue, ask_range_by_content
from chunkdl.doctor.seen import SourceSeen
from chunkdl.doctor.steps import Steps, failed
from chunkdl.doctor.wire import Way, walk
from chunkdl.errors import ChunkdlError
from chunkdl.http.client import HttpClient
from chunkdl.http.proxies import proxy_for, redacted_proxy
from chunkdl.http.redirects import parse_url
from chunkdl.http.resolver import Addresses
from chunkdl.model import MirrorKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from chunkdl.model import Mirror, Reference
    from chunkdl.settings import Settings

# Name 6 s, connection 10 s, encryption 10 s, listing 20 s, first byte 20 s would be 66 s one after the other;
# a person who waits for advice does so for less, and a source that needs more is a finding by itself.
SOURCE_LIMIT_S = 45.0


@dataclass(frozen=True, slots=True)
class Probes:
    """What looking needs from outside; tests bring other clocks and environments.

    Args:
        client: asks over HTTP.
        addresses: name resolution.
        environ: where proxies are read from.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch.
        limit_s: for one source in all.
    """

    client: HttpClient
    addresses: Addresses
    environ: Mapping[str, str]
    clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    limit_s: float = SOURCE_LIMIT_S


@asynccontextmanager
async def probing(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Probes]:
    """The real ones, while the block runs."""
    addresses = Addresses()
    async with HttpClient(connect_s=settings.connect_s, environ=environ, addresses=addresses) as client:
        yield Probes(client, addresses, environ)


async def look_at_sources(
    reference: Reference, usual: Reference, settings: Settings, probes: Probes
) -> tuple[SourceSeen, ...]:
    """Every source, at the same time; never longer than ``probes.limit_s``. Fails for none of them.

    Args:
        reference: what the origin is asked about, and mirrors too unless it may be private.
        usual: a name that everybody may hear.
        settings: who is asked.
        probes: with what.
    """
    hushed = bool(settings.origin.token) or settings.is_private(reference.repo_id)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _Source(each, settings, probes).look(usual if hushed and not each.is_origin else reference)
            )
            for each in settings.sources
        ]
    return tuple(task.result() for task in tasks)


class _Source:
    """One source while it is followed."""

    def __init__(self, mirror: Mirror, settings: Settings, probes: Probes) -> None:
        self._mirror = mirror
        self._settings = settings
        self._probes = probes
        self._steps = Steps(probes.clock)
        self._listener = Listener(probes.client, probes.wall_clock)
        self._seen = SourceSeen(mirror.name, mirror.url, mirror.is_origin)

    async def look(self, reference: Reference) -> SourceSeen:
        self._seen = replace(self._seen, asked=reference.repo_id)
        try:
            async with asyncio.timeout(self._probes.limit_s):
                await self._follow(reference)
        except TimeoutError:
            self._steps.seen.append(gave_up(self._probes.limit_s))
        except ChunkdlError as error:  # a proxy or a bundle of certificates that cannot mean anything
            self._steps.seen.append(failed("settings", 0.0, error, 0.0))
        return replace(self._seen, steps=tuple(self._steps.seen), skew_s=self._listener.skew_s)

    async def _follow(self, reference: Reference) -> None:
        mirror, settings, probes = self._mirror, self._settings, self._probes
        url = parse_url(mirror.url.partition("{")[0], mirror=mirror.name)
        proxy = proxy_for(url, mirror.proxy, probes.environ)
        self._seen = replace(self._seen, proxy=redacted_proxy(proxy) if proxy else "")
        way = Way(str(url), proxy, mirror.ca_file)
        addresses = await walk(way, self._steps, probes.addresses, connect_s=settings.connect_s)
        if addresses is None:
            return
        self._seen = replace(self._seen, addresses=addresses)
        if mirror.kind is MirrorKind.HUGGING_FACE:
            await self._converse(reference)
        elif mirror.kind is MirrorKind.MODELSCOPE:
            await self._converse_by_content(reference)

    async def _converse_by_content(self, reference: Reference) -> None:
        found = await ask_catalogue(self._mirror, reference, self._listener, self._settings, self._steps)
        if found is not None:
            answered = await ask_range_by_content(found, self._probes.client, self._settings, self._steps)
            if answered is not None:
                self._seen = replace(self._seen, final_host=answered[0], ranged=answered[1])

    async def _converse(self, reference: Reference) -> None:
        mirror, settings = self._mirror, self._settings
        artifact = await ask_listing(mirror, reference, self._listener, settings, self._steps)
        if artifact is not None:
            answered = await ask_range(mirror, artifact, self._probes.client, self._steps)
            if answered is not None:
                self._seen = replace(self._seen, final_host=answered[0], ranged=answered[1])
        await ask_token(mirror, self._listener, settings, self._steps)
