"""Asking one mirror what it holds of an artifact: its own revision first, then the artifact's commit.

Decides nothing: ``holding`` compares. Every failure becomes a note, because a mirror that fails is a result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.errors import ArtifactNotFound, ChunkdlError, ConnectFailed, Stalled
from chunkdl.identify.answers import RepoInfo
from chunkdl.identify.asking import ask, mirror_hub, origin_hub
from chunkdl.identify.content_search import look_for, routed
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.vouching import Candidate
from chunkdl.mirrors.holding import Holding, held, held_by_content
from chunkdl.model import MirrorKind

if TYPE_CHECKING:
    from chunkdl.identify.huggingface import HubApi, MetadataClient
    from chunkdl.model import Artifact, Mirror, Reference
    from chunkdl.settings import Settings


async def inquire(
    reference: Reference, artifact: Artifact | None, mirror: Mirror, *, client: MetadataClient, settings: Settings
) -> Holding:
    """What ``mirror`` says about ``reference``; without an ``artifact`` only whether it answers and has it."""
    if mirror.kind is MirrorKind.STATIC:
        coverage = MirrorCoverage(mirror, has_commit=True)
        return Holding(reference.text, share=1.0, coverage=coverage, note="a plain folder tells no commits")
    hub = origin_hub(client, settings) if mirror.is_origin else mirror_hub(client, settings, mirror)
    try:
        if mirror.kind is MirrorKind.MODELSCOPE:
            return await _by_content(reference, artifact, mirror, client=client, settings=settings)
        return await _by_commit(reference, artifact, hub, settings.metadata_s)
    except ArtifactNotFound as error:
        return Holding(reference.text, has_repo=False, heard=True, note=error.message)
    except (ConnectFailed, Stalled) as error:
        return Holding(reference.text, note=error.message)
    except ChunkdlError as error:
        return Holding(reference.text, heard=True, note=error.message)


async def _by_commit(reference: Reference, artifact: Artifact | None, hub: HubApi, whole_s: float) -> Holding:
    story = await _story(reference, hub, whole_s)
    if artifact is None:
        return Holding(reference.text, has_repo=True, heard=True, commit=story.info.commit, story=story)
    if story.info.commit == artifact.commit:
        return held(artifact, story)
    return held(artifact, story, await _behind(artifact, story.mirror, hub))


async def _by_content(
    reference: Reference, artifact: Artifact | None, mirror: Mirror, *, client: MetadataClient, settings: Settings
) -> Holding:
    """Without an artifact there is no digest to look for, and no reason to tell the name."""
    if artifact is None:
        return Holding(reference.text, note="not asked: nobody says which digests to look for")
    comparison = await look_for(artifact, mirror, client=client, settings=settings)
    coverage = await routed(comparison, mirror, client=client, settings=settings)
    return held_by_content(artifact, comparison, coverage)


async def _story(reference: Reference, hub: HubApi, whole_s: float) -> Candidate:
    """The reference as the mirror knows it; its main revision if it does not have the commit that is asked for."""
    try:
        return await ask(reference, hub, whole_s)
    except ArtifactNotFound:
        if not reference.pinned:
            raise
        return await ask(replace(reference, revision=None), hub, whole_s)


async def _behind(artifact: Artifact, mirror: Mirror, hub: HubApi) -> Candidate | None:
    """What the mirror lists for the artifact's commit; None if it does not."""
    try:
        files = await hub.listing(artifact.reference, artifact.canonical_id, artifact.commit)
    except ChunkdlError:
        return None  # absent, or no answer: nothing is promised
    return Candidate(mirror, RepoInfo(artifact.canonical_id, artifact.commit), files)
