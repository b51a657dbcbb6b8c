"""Who has what: for a list of repositories, whether each mirror shows the origin's commit, another one, or nothing.

Decides what is asked: one short question a mirror and repository; listings only where a mirror tells no commits and is
compared by content. Who may hear a name is decided as everywhere: the origin is asked first, and a private or gated
name goes no further.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from chunkdl.errors import AccessDenied, ArtifactNotFound, ChunkdlError
from chunkdl.identify import hearing
from chunkdl.identify.asking import mirror_hub, origin_hub
from chunkdl.identify.content_search import look_for
from chunkdl.identify.modelscope_answers import day_of
from chunkdl.model import Artifact, Authority, AuthorityKind, MirrorKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.identify.answers import RepoInfo
    from chunkdl.identify.by_content import Comparison
    from chunkdl.identify.huggingface import HubApi, MetadataClient
    from chunkdl.model import Mirror, Reference
    from chunkdl.settings import Settings

# Questions in flight, all mirrors together: polite to each of the handful there are.
_MAX_AT_ONCE = 8


class State(StrEnum):
    """What a mirror answered about one repository."""

    SAME = "same"
    OTHER = "other"  # another commit than the origin's
    THERE = "there"  # a commit, and no origin to compare it with
    SAME_FILES = "same files"  # it tells no commits; every file that can be compared by sha256 is the same
    SOME_FILES = "some files"  # the same, of some of them
    ABSENT = "absent"
    REFUSED = "refused"  # gated, private, or a token is wanted
    SILENT = "silent"  # no usable answer, or none in time
    NOT_ASKED = "not asked"  # the name is nobody's business, or there is nothing to compare with


@dataclass(frozen=True, slots=True)
class Cell:
    """One mirror, one repository; ``modified`` is ``lastModified`` there."""

    state: State
    commit: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One repository: by mirror name, what it answered; the origin is among them."""

    reference: str
    cells: dict[str, Cell]


async def cover(
    references: Sequence[Reference], *, settings: Settings, client: MetadataClient, limit_s: float
) -> tuple[Row, ...]:
    """A row for each reference, in order; what is not answered within ``limit_s`` is silent."""
    rows = [Row(each.text, {}) for each in references]
    places = asyncio.Semaphore(_MAX_AT_ONCE)
    try:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for reference, row in zip(references, rows, strict=True):
                group.create_task(_fill(row, reference, settings, client, places), name=f"cover {reference.text}")
    except TimeoutError:
        pass  # what is missing is filled in below
    silent = Cell(State.SILENT)
    names = [each.name for each in settings.sources]
    return tuple(Row(each.reference, {name: each.cells.get(name, silent) for name in names}) for each in rows)


async def _fill(
    row: Row, reference: Reference, settings: Settings, client: MetadataClient, places: asyncio.Semaphore
) -> None:
    async with places:
        true = await _info(origin_hub(client, settings), reference)
    row.cells[settings.origin.name] = _cell(true, None)
    info = None if isinstance(true, ChunkdlError) else true
    heard = _heard(reference, true, settings)
    alike = [each for each in heard if each.kind is MirrorKind.MODELSCOPE]
    artifact = await _listed(reference, info, settings, client, places) if alike and info is not None else None
    asked = [each for each in heard if each.kind is MirrorKind.HUGGING_FACE] + (alike if artifact is not None else [])
    for each in settings.mirrors:
        if each not in asked:
            row.cells[each.name] = Cell(State.NOT_ASKED)

    async def ask(mirror: Mirror) -> None:
        async with places:
            if mirror.kind is MirrorKind.HUGGING_FACE:
                row.cells[mirror.name] = _cell(await _info(mirror_hub(client, settings, mirror), reference), info)
            elif artifact is not None:
                row.cells[mirror.name] = await _cell_by_content(artifact, mirror, settings, client)

    await asyncio.gather(*map(ask, asked))


async def _listed(
    reference: Reference, info: RepoInfo, settings: Settings, client: MetadataClient, places: asyncio.Semaphore
) -> Artifact | None:
    """What the origin lists, for those who can be compared with nothing less; None if it does not say."""
    hub = origin_hub(client, settings)
    try:
        async with places:
            files = await hub.listing(reference, info.canonical_id, info.commit)
    except ChunkdlError:
        return None
    authority = Authority(AuthorityKind.ORIGIN, settings.origin.url, authenticated=True)
    return Artifact(reference, info.canonical_id, info.commit, files, authority)


async def _cell_by_content(artifact: Artifact, mirror: Mirror, settings: Settings, client: MetadataClient) -> Cell:
    try:
        found = await look_for(artifact, mirror, client=client, settings=settings)
    except AccessDenied:
        return Cell(State.REFUSED)
    except ChunkdlError:
        return Cell(State.SILENT)
    return Cell(State.ABSENT) if found is None or not found.identical else _compared(found)


def _compared(found: Comparison) -> Cell:
    whole = not found.different and not found.absent
    modified = day_of(found.catalogue.committed_at)
    return Cell(State.SAME_FILES if whole else State.SOME_FILES, modified=modified)


def _heard(reference: Reference, true: RepoInfo | ChunkdlError, settings: Settings) -> tuple[Mirror, ...]:
    if isinstance(true, AccessDenied):
        return ()
    if isinstance(true, ChunkdlError):  # absent or silent: a token may stand for a private name
        return () if settings.origin.token else hearing.without_origin(settings, reference)
    return hearing.once_seen(settings, reference, true.canonical_id, private=true.private, gated=true.gated)


async def _info(hub: HubApi, reference: Reference) -> RepoInfo | ChunkdlError:
    try:
        return await hub.resolve(reference)
    except ChunkdlError as error:
        return error


def _cell(told: RepoInfo | ChunkdlError, true: RepoInfo | None) -> Cell:
    if isinstance(told, ArtifactNotFound):
        return Cell(State.ABSENT)
    if isinstance(told, AccessDenied):
        return Cell(State.REFUSED)
    if isinstance(told, ChunkdlError):
        return Cell(State.SILENT)
    state = State.THERE if true is None else State.SAME if told.commit == true.commit else State.OTHER
    return Cell(state, told.commit, told.last_modified)
