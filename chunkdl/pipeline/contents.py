"""The contents of one plan, brought to one destination: linked, copied, resumed or fetched.

Decides how each action of the plan is carried out and what is closed when. Proof and placement of a
content are one step (``commit``); links and refs come later, when all contents are there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.digests import hash_bytes
from chunkdl.assemble.place import place_small
from chunkdl.core.planner import Action
from chunkdl.errors import IntegrityError, StoreBroken
from chunkdl.identify.sources import source_of
from chunkdl.model import RemoteFile
from chunkdl.observe import FilePlaced
from chunkdl.pipeline.beside import beside
from chunkdl.pipeline.indexes import holds_index, judge_indexes
from chunkdl.pipeline.large import LargeContent, hasher_of, identity_of
from chunkdl.pipeline.outcome import strength_of
from chunkdl.transfer.content import Content
from chunkdl.transfer.memory_part import SMALL_BYTES, MemoryPart
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.assemble.destination import Destination
    from chunkdl.core.planner import Plan, PlannedContent
    from chunkdl.identify.sources import MirrorCoverage
    from chunkdl.model import Artifact, Digest, Source, Verified
    from chunkdl.pipeline.session import Session

# Of contents that are there, so many are remembered by a session: 10 MB, and more files than a repository's listing
# usually has, so that two references with the same files still meet.
ARRIVALS_KEPT = 1 << 14


class Supply:
    """Brings what one plan asks for."""

    def __init__(
        self, session: Session, destination: Destination, artifact: Artifact, covering: Sequence[MirrorCoverage]
    ) -> None:
        """``covering`` are the mirrors known so far; ``cover`` adds more while it runs. ``proofs`` fill up."""
        self.proofs: dict[Digest, Verified] = {}
        self.given: Counter[str] = Counter()
        self._session = session
        self._destination = destination
        self._artifact = artifact
        self._covering = list(covering)
        self._live: dict[Digest, tuple[Content, RemoteFile]] = {}
        self._there_bytes = 0
        self._fetched_bytes = 0

    async def bring(self, plan: Plan) -> dict[Digest, str]:
        """Carry the plan out; maps each digest to where its bytes came from: network, partial or cache.

        Every content is tried; raises the first failure in the plan's order. An index of weights is judged as
        soon as it is here, small as it is: what it refuses ends the transfer.
        """
        self._count_present(plan)
        tasks = [self._session.engine.spawn(self._bring(each), f"content {each.paths[0]}") for each in plan.contents]
        indexes = [(each, task) for each, task in zip(plan.contents, tasks, strict=True) if holds_index(each)]
        try:
            await judge_indexes(plan, indexes, self._session.threads, self._destination)
            found = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return dict(zip((each.digest for each in plan.contents), map(str, found), strict=True))

    @property
    def done_bytes(self) -> int:
        """What of the plan is here: finished, or stored in a part."""
        stored = sum(content.stored.total for content, _ in tuple(self._live.values()))
        return stored + self._there_bytes

    @property
    def fetched_bytes(self) -> int:
        """What of that came over the network by this call, and was kept."""
        return self._fetched_bytes + sum(_fetched(content) for content, _ in tuple(self._live.values()))

    def cover(self, coverage: MirrorCoverage) -> None:
        """A mirror answered late: whatever is still in flight may come from it too."""
        if not self._may_give(coverage):
            return
        self._covering.append(coverage)
        for content, file in self._live.values():
            source = source_of(coverage, self._artifact, file)
            if source is not None:
                self._session.engine.add_source(content, self._policed(source))

    def _count_present(self, plan: Plan) -> None:
        tally = self._session.engine.tally
        tally.planned(len(plan.contents), plan.bytes_total)
        present = [each for each in plan.contents if each.action is Action.PRESENT]
        tally.present(len(present), sum(each.size for each in present))

    async def _bring(self, planned: PlannedContent) -> str | BaseException:
        """Where the bytes came from, or the failure as a value: one bad file never stops the others."""
        try:
            came_from = await self._carry_out(planned)
            self._there_bytes += planned.size
            return came_from  # noqa: TRY300  the failure is the other outcome, not another path
        except Exception as error:  # noqa: BLE001  raised again by bring, in the plan's order
            return error

    async def _carry_out(self, planned: PlannedContent) -> str:
        if planned.action is Action.PRESENT:
            await LargeContent(self._session, self._destination, planned).tidy()
            return "cache"
        came_from = await (self._make_empty(planned) if planned.action is Action.EMPTY else self._get_once(planned))
        if not planned.digest.names_content and planned.digest not in self.proofs:
            await self._prove_again(planned)
        for path in planned.paths:
            text, proven = self._artifact.reference.text, strength_of(planned.digest, came_from, self.proofs)
            self._session.observer(FilePlaced(text, path, planned.size, came_from, proven.value))
        return came_from

    async def _get_once(self, planned: PlannedContent) -> str:
        """Of several references of a run that want the same bytes, one gets them and the others take them from it."""
        arriving = self._session.arriving
        while (other := arriving.get(planned.digest)) is not None:  # again if it failed: maybe another tries by now
            twin = await asyncio.shield(other)
            if twin is not None and await self._reuse(twin, planned):
                return "cache"
            if arriving.get(planned.digest) is other:  # what it brought went away: we are the one, and others see it
                del arriving[planned.digest]
        _forget_oldest(arriving)
        arrived = arriving[planned.digest] = asyncio.get_running_loop().create_future()
        try:
            came_from = await self._get(planned)
            arrived.set_result(self._destination.paths_of(planned).blob)
        finally:
            if not arrived.done():
                del arriving[planned.digest]
                arrived.set_result(None)
        return came_from

    async def _get(self, planned: PlannedContent) -> str:
        for source in planned.reuse_from:
            if await self._reuse(Path(source), planned):
                return "cache"
        if planned.size > SMALL_BYTES:
            async with self._session.part_places:
                return await self._get_large(planned)
        async with self._session.small_places:
            await self._fetch(planned, self._small(planned))
        return "network"

    async def _reuse(self, source: Path, planned: PlannedContent) -> bool:
        proof = await self._taken_over(source, planned)
        if proof is not None:
            self.proofs[planned.digest] = proof
            self._session.engine.tally.present(1, planned.size)
            await LargeContent(self._session, self._destination, planned).tidy()
        return proof is not None

    async def _taken_over(self, source: Path, planned: PlannedContent) -> Verified | None:
        return await beside(self._session.threads.hash, partial(self._destination.reuse, source, planned))

    async def _prove_again(self, planned: PlannedContent) -> None:
        """Another process brought it, and its digest does not say what that is."""
        proof = await self._taken_over(self._destination.paths_of(planned).blob, planned)
        if proof is None:
            raise StoreBroken(f"{planned.paths[0]} went away before it was placed", hint="run the same command again")
        self.proofs[planned.digest] = proof

    async def _make_empty(self, planned: PlannedContent) -> str:
        path, threads = planned.paths[0], self._session.threads
        proof = hash_bytes(b"", planned.digest)
        if proof is None:
            raise IntegrityError(f"{path}: the listing says that it is empty and gives {planned.digest}", file=path)
        blob = self._destination.paths_of(planned).blob
        await settled(threads.submit(threads.sync, place_small, b"", proof, blob))
        self._session.engine.tally.present(1, 0)
        return "network"

    def _small(self, planned: PlannedContent) -> Content:
        part, blob = MemoryPart(planned.size), self._destination.paths_of(planned).blob

        def commit(proof: Verified) -> None:
            place_small(part.data, proof, blob)

        lane = self._session.lane
        return Content(identity_of(planned), part=part, new_hasher=lambda: hasher_of(planned), commit=commit, lane=lane)

    async def _get_large(self, planned: PlannedContent) -> str:
        large = LargeContent(self._session, self._destination, planned)
        async with large.opened() as content:
            if content is None:
                self._session.engine.tally.present(1, planned.size)
                return "cache"
            await self._fetch(planned, content)
            return "partial" if content.claimed_bytes else "network"

    async def _fetch(self, planned: PlannedContent, content: Content) -> None:
        file = RemoteFile(planned.paths[0], planned.size, planned.digest)
        self._live[planned.digest] = (content, file)
        before = _by_host(content)
        try:
            self.proofs[planned.digest] = await self._session.engine.fetch(content, self._sources(file))
        finally:
            self._fetched_bytes += _fetched(content)
            self.given += _by_host(content) - before
            del self._live[planned.digest]

    def _sources(self, file: RemoteFile) -> list[Source]:
        found = (source_of(each, self._artifact, file) for each in self._covering if self._may_give(each))
        return [self._policed(source) for source in found if source is not None]

    def _may_give(self, coverage: MirrorCoverage) -> bool:
        return coverage.mirror.name not in self._session.settings.exhausted

    def _policed(self, source: Source) -> Source:
        return replace(source, mirror=self._session.introduced(source.mirror))


def _forget_oldest(arriving: dict[Digest, asyncio.Future[Path | None]]) -> None:
    """A pool may live for months, and what came long ago is found on the disk."""
    while len(arriving) >= ARRIVALS_KEPT:
        oldest, arrived = next(iter(arriving.items()))
        if not arrived.done():
            break
        del arriving[oldest]


def _fetched(content: Content) -> int:
    return max(0, content.stored.total - content.claimed_bytes)


def _by_host(content: Content) -> Counter[str]:
    found: Counter[str] = Counter()
    for piece in content.provenance:
        found[piece.host] += len(piece.range)
    return found
