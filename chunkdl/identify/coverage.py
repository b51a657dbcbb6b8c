"""Which mirrors hold the artifact's commit, asked while the transfer already runs.

Decides what each mirror may be asked for: the commit, single contents that it proved by digest, or nothing.
Deliberately not on the way to the first byte: every mirror is reported as soon as it is known.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.errors import ArtifactNotFound, ChunkdlError, ConnectFailed, HTTPStatus, Stalled, TransportError
from chunkdl.identify.answers import RepoInfo
from chunkdl.identify.asking import ask, listing_of, mirror_hub
from chunkdl.identify.content_search import cover_by_content
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.vouching import Candidate, compare
from chunkdl.model import MirrorKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.model import Artifact, Mirror
    from chunkdl.settings import Settings

    OnMirror = Callable[[MirrorCoverage], None]

# Pauses before asking again a mirror that failed in transport: some answer one request in ten, and one that is away
# when a long run begins may be back within the hour. The last pause lasts; whoever asks ends it with the transfer, and
# a day of asking is the end of it in any case.
_PAUSES_S = (1.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_TRIES_MAX = 1440
# Who answers nonsense is there, and may send a great deal of it: that is not listened to every minute.
_NONSENSE_MAX = 3
_AWAY = (ConnectFailed, Stalled, HTTPStatus)
_MAX_AT_ONCE = 8  # mirrors asked at once; there are rarely more than three


async def ask_mirrors(
    artifact: Artifact,
    mirrors: Iterable[Mirror],
    *,
    client: MetadataClient,
    settings: Settings,
    on_mirror: OnMirror,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ask each of ``mirrors`` for the artifact's commit and call ``on_mirror`` once for each, in any order.

    Never fails for a mirror's fault: whoever does not answer is asked again and again, and when this is cancelled, or
    at last gives up, reported with that as its ``lag``.
    """
    places = asyncio.Semaphore(_MAX_AT_ONCE)

    async def once(mirror: Mirror) -> MirrorCoverage:
        async with places:
            return await _covered(artifact, mirror, client, settings)

    async def one(mirror: Mirror) -> None:
        failures: list[ChunkdlError] = []
        try:
            covered = await _cover(mirror, lambda: once(mirror), sleep, failures)
        except asyncio.CancelledError:
            if failures:  # nobody waits for its next chance: why it gave nothing is known all the same
                on_mirror(_silent(mirror, failures[-1]))
            raise
        on_mirror(covered)

    async with asyncio.TaskGroup() as group:
        for each in mirrors:
            group.create_task(one(each), name=f"cover {each.name}")


async def _cover(
    mirror: Mirror,
    once: Callable[[], Awaitable[MirrorCoverage]],
    sleep: Callable[[float], Awaitable[None]],
    failures: list[ChunkdlError],
) -> MirrorCoverage:
    """What ``mirror`` may be asked for; ``failures`` holds the latest that may pass."""
    if mirror.kind is MirrorKind.STATIC:
        return MirrorCoverage(mirror, has_commit=True)  # a folder knows no commits: digests alone judge it
    for number in range(_TRIES_MAX):
        try:
            return await once()
        except TransportError as error:
            nonsense = not isinstance(error, _AWAY) and number + 1 >= _NONSENSE_MAX
            if nonsense or not error.retryable:
                return _silent(mirror, error)
            failures[:] = [error]
        except ChunkdlError as error:
            return _silent(mirror, error)
        await sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
    return _silent(mirror, failures[-1])


async def _covered(artifact: Artifact, mirror: Mirror, client: MetadataClient, settings: Settings) -> MirrorCoverage:
    if mirror.kind is MirrorKind.MODELSCOPE:
        return await cover_by_content(artifact, mirror, client=client, settings=settings)
    hub = mirror_hub(client, settings, mirror)
    try:
        files = await listing_of(hub, artifact.reference, artifact.canonical_id, artifact.commit, settings.metadata_s)
    except ArtifactNotFound:
        moving = artifact.reference if not artifact.reference.pinned else replace(artifact.reference, revision=None)
        return compare(await ask(moving, hub, settings.metadata_s), artifact)
    return compare(Candidate(mirror, RepoInfo(artifact.canonical_id, artifact.commit), files), artifact)


def _silent(mirror: Mirror, error: ChunkdlError) -> MirrorCoverage:
    return MirrorCoverage(mirror, has_commit=False, lag=f"not used: {error.message}", silent=True)
