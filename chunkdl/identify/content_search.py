"""Looking for an artifact's files on a ModelScope server: under which name, in which state, over which route.

Decides when to stop: at the first name that holds all that can be compared, else the best of the few. No request is
made where nothing could be proved, so that the name is not told for nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.errors import AccessDenied, ArtifactNotFound, ChunkdlError
from chunkdl.identify.asking import GRACE_S, progressing
from chunkdl.identify.by_content import Comparison, comparable, compare_contents, coverage_of
from chunkdl.identify.modelscope import DEFAULT_REVISION, ModelScopeApi, Route
from chunkdl.identify.modelscope_names import names_there
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.model import RepoType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.model import Artifact, Mirror
    from chunkdl.settings import Settings

_TYPES = frozenset({RepoType.MODEL, RepoType.DATASET})  # what both hubs have


async def look_for(
    artifact: Artifact, mirror: Mirror, *, client: MetadataClient, settings: Settings
) -> Comparison | None:
    """The best comparison among the names tried; None if there is nothing to look for or none of them is there.

    Raises:
        TransportError: no answer, or none that can be used.
    """
    if artifact.reference.repo_type not in _TYPES or not comparable(artifact.files):
        return None
    best: Comparison | None = None
    async with progressing(mirror, settings.metadata_s) as on_page:
        api = replace(api_of(mirror, client, settings), on_page=on_page)
        for name in names_there(artifact.canonical_id):
            try:
                catalogue = await api.catalogue(artifact.reference.repo_type, name, DEFAULT_REVISION)
            except (ArtifactNotFound, AccessDenied):
                continue  # under that name it has nothing for us
            found = compare_contents(artifact, catalogue)
            if best is None or found.identical_bytes > best.identical_bytes:
                best = found
            if not found.different and not found.absent:
                break
    return best


async def cover_by_content(
    artifact: Artifact, mirror: Mirror, *, client: MetadataClient, settings: Settings
) -> MirrorCoverage:
    """What ``mirror`` proved to hold of ``artifact``; raises as ``look_for``."""
    comparison = await look_for(artifact, mirror, client=client, settings=settings)
    return await routed(comparison, mirror, client=client, settings=settings)


async def attest(
    artifact: Artifact, mirrors: Sequence[Mirror], *, client: MetadataClient, settings: Settings
) -> list[Comparison]:
    """What each of ``mirrors`` lists beside ``artifact``; who does not answer within GRACE_S has no voice here."""
    found: list[Comparison] = []

    async def one(mirror: Mirror) -> None:
        try:
            comparison = await look_for(artifact, mirror, client=client, settings=settings)
        except ChunkdlError:
            return  # it is asked again beside the transfer, and reported there
        if comparison is not None:
            found.append(comparison)

    try:
        async with asyncio.timeout(GRACE_S), asyncio.TaskGroup() as group:
            for each in mirrors:
                group.create_task(one(each), name=f"attest {each.name}")
    except TimeoutError:
        pass  # those that are in have been taken
    return found


async def routed(
    comparison: Comparison | None, mirror: Mirror, *, client: MetadataClient, settings: Settings
) -> MirrorCoverage:
    """A comparison as something to be asked from, over the route that works; None is a mirror without the files."""
    if comparison is None:
        return MirrorCoverage(mirror, has_commit=False, lag="not used: nothing there could be matched by sha256")
    largest = comparison.largest
    api = api_of(mirror, client, settings)
    route = await api.route(comparison.catalogue, largest) if largest is not None else Route.WEB
    return coverage_of(comparison, route)


def api_of(mirror: Mirror, client: MetadataClient, settings: Settings) -> ModelScopeApi:
    """A mirror, asked with the patience that bytes get."""
    return ModelScopeApi(client, mirror, settings.answer_s, min(settings.connect_s, settings.answer_s))
