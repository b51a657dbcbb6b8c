"""Asking several hubs at once, each within its bounds, without one failure touching another.

Decides the bounds of the metadata phase. Deliberately does not decide whose answer counts.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from chunkdl.errors import ChunkdlError, Stalled
from chunkdl.identify.huggingface import HubApi
from chunkdl.identify.vouching import Candidate
from chunkdl.model import MirrorKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.model import Mirror, Reference, RemoteFile
    from chunkdl.settings import Settings

# Once one mirror has told its story, how long the others are waited for: a slow voice is worth some seconds,
# since the choice between one voice and two is the choice between a rumour and a story.
GRACE_S = 5.0
# Pages keep a listing alive, but not for ever: a quarter of a million files come in 256 answers of some 0.3 s.
_MOST_PATIENCE = 6


@dataclass(frozen=True, slots=True)
class Refused:
    """A mirror that told no story, and why."""

    mirror: Mirror
    error: ChunkdlError


async def ask(reference: Reference, hub: HubApi, whole_s: float) -> Candidate:
    """One hub's story about ``reference``; at most ``whole_s`` without a new page, and six times that in all.

    Raises what ``HubApi`` raises; Stalled if the hub answers too slowly on the whole.
    """
    async with progressing(hub.mirror, whole_s) as on_page:
        watched = replace(hub, on_page=on_page)
        info = await watched.resolve(reference)
        files = await watched.listing(reference, info.canonical_id, info.commit)
    return Candidate(hub.mirror, info, files)


async def listing_of(
    hub: HubApi, reference: Reference, canonical_id: str, commit: str, whole_s: float
) -> tuple[RemoteFile, ...]:
    """Every file of ``commit`` as ``hub`` lists it; bounded and raising as ``ask``."""
    async with progressing(hub.mirror, whole_s) as on_page:
        return await replace(hub, on_page=on_page).listing(reference, canonical_id, commit)


@asynccontextmanager
async def progressing(mirror: Mirror, whole_s: float) -> AsyncIterator[Callable[[], None]]:
    """Bound what is asked of ``mirror`` inside the block; yields what is to be called after each page.

    At most ``whole_s`` without a page, and six times that in all; Stalled beyond.
    """
    now = asyncio.get_running_loop().time
    latest = now() + _MOST_PATIENCE * whole_s
    try:
        async with asyncio.timeout(whole_s) as limit:
            yield lambda: limit.reschedule(min(now() + whole_s, latest))
    except TimeoutError as error:
        message = f"{mirror.name} gave no complete answer within {whole_s:g} s"
        raise Stalled(message, mirror=mirror.name) from error


def origin_hub(client: MetadataClient, settings: Settings) -> HubApi:
    """The origin, asked impatiently: where it is blocked it times out on every command."""
    return HubApi(client, settings.origin, settings.answer_s, settings.origin_connect_s)


def mirror_hub(client: MetadataClient, settings: Settings, mirror: Mirror) -> HubApi:
    """A mirror, asked with the patience that bytes get."""
    return HubApi(client, mirror, settings.answer_s, min(settings.connect_s, settings.answer_s))


class Stories:
    """Mirrors being asked in the background, one task each; an async context manager that leaves none behind."""

    def __init__(self, reference: Reference, client: MetadataClient, settings: Settings) -> None:
        self._reference = reference
        self._client = client
        self._settings = settings
        self._group = asyncio.TaskGroup()
        self._tasks: dict[str, asyncio.Task[Candidate | Refused]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        # The group would wrap the body's own failure, which is one decision's outcome and no group of any.
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        await self._group.__aexit__(*((kind, error, None) if cancelled else (None, None, None)))

    def begin(self, mirrors: Iterable[Mirror]) -> None:
        """Start asking those of ``mirrors`` that speak the hub's protocol and are not being asked yet."""
        for each in mirrors:
            if each.name not in self._tasks and each.kind is MirrorKind.HUGGING_FACE:
                self._tasks[each.name] = self._group.create_task(self._ask(each), name=f"ask {each.name}")

    def told(self) -> list[Candidate]:
        """The stories that are in by now, in the order in which mirrors were asked."""
        return [each for each in self._answers() if isinstance(each, Candidate)]

    def refused(self) -> list[Refused]:
        """Who has refused by now."""
        return [each for each in self._answers() if isinstance(each, Refused)]

    async def gather(self) -> list[Candidate]:
        """Wait for all, but no longer than GRACE_S after the first story; every wait of a task is bounded."""
        waiting = set(self._tasks.values())
        while waiting and not self.told():
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=GRACE_S)
        return self.told()

    def _answers(self) -> list[Candidate | Refused]:
        return [task.result() for task in self._tasks.values() if task.done() and not task.cancelled()]

    async def _ask(self, mirror: Mirror) -> Candidate | Refused:
        try:
            return await ask(
                self._reference, mirror_hub(self._client, self._settings, mirror), self._settings.metadata_s
            )
        except ChunkdlError as error:
            return Refused(mirror, error)
