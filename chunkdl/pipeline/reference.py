"""One reference from what was typed to a path that loaders find: identify, plan, transfer, assemble.

Decides the order of the stages and what a failure leaves behind: blobs that are proven stay, a snapshot
and its ref appear only when every file of the plan is there, and a plan that fails leaves no folder.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chunkdl.core.planner import Action, check_space, make_plan
from chunkdl.errors import ChunkdlError
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.model import AuthorityKind
from chunkdl.observe import Notice, ReferencePlaced, ReferencePlanned
from chunkdl.pipeline.askers import asker_of
from chunkdl.pipeline.contents import Supply
from chunkdl.pipeline.destinations import destination_of, named_by
from chunkdl.pipeline.distrusting import distrusting
from chunkdl.pipeline.flight import Flight
from chunkdl.pipeline.outcome import failed, placed, planned
from chunkdl.pipeline.wanted import parse_with, select_with
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from chunkdl.assemble.destination import Destination
    from chunkdl.core.planner import Plan
    from chunkdl.identify.authority import Identified
    from chunkdl.model import Artifact, Reference
    from chunkdl.pipeline.askers import Asker
    from chunkdl.pipeline.session import Session
    from chunkdl.report import ReferenceReport

# After the last byte: a round trip or two to the other side of the globe, for an origin that has just come back.
CONFIRM_GRACE_S = 1.0


class ReferenceRun:
    """Carries one reference through the stages."""

    def __init__(self, session: Session, text: str, asker: Asker | None = None) -> None:
        """``text`` is what the user typed; ``asker`` says what it means, by default the one that belongs to it."""
        self._session = session
        self._text = text
        self._asker = asker
        self._supply: Supply | None = None
        self._late: list[MirrorCoverage] = []
        self._offered = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    async def run(self) -> ReferenceReport:
        """The outcome as a value: failures of one reference do not stop the others."""
        try:
            return await self._run(parse_with(self._text, self._session.options))
        except ChunkdlError as error:
            return failed(self._text, error)

    async def _run(self, reference: Reference) -> ReferenceReport:
        asker = self._asker or asker_of(reference, self._session)
        async with Flight(self._session, asker.known, reference).boarded(lambda: self.done_bytes) as told:
            return await self._carry(reference, asker, told)

    @property
    def fetched_bytes(self) -> int:
        """What this call has brought over the network so far."""
        return self._supply.fetched_bytes if self._supply is not None else 0

    @property
    def given(self) -> dict[str, int]:
        """Host → bytes of the contents that it had a part in, as far as they have ended."""
        return dict(self._supply.given) if self._supply is not None else {}

    @property
    def done_bytes(self) -> int:
        """What of the plan is here by now, whoever brought it."""
        return self._supply.done_bytes if self._supply is not None else 0

    async def _carry(self, reference: Reference, asker: Asker, told: Collection[str]) -> ReferenceReport:
        """From the reference to its path; ``told`` are processes that have just done the same."""
        identified = await self._identify(asker, told)
        options = self._session.options
        destination = destination_of(reference, self._session.settings, force=options.force)
        destination = distrusting(destination, options.distrusted)
        plan = await self._plan(identified.artifact, destination)
        self._session.observer(ReferencePlanned(self._text, plan))
        if options.dry_run:
            return planned(self._text, plan)
        confirming = self._ask_beside(identified, plan, asker)
        try:
            if not any(each.useful for each in identified.sources):
                await self._first_offer([each for each in (self._asking, confirming) if each is not None])
            came_from = await self._transfer(identified, plan, destination)
            if confirming is not None:
                plan = replace(plan, artifact=await self._confirmed(plan.artifact, confirming, asker))
        finally:
            for beside in (confirming, self._asking):
                if beside is not None:
                    beside.cancel()
        path = await self._place(plan, destination)
        proofs = self._supply.proofs if self._supply is not None else {}
        for notice in await identified.learn(proofs) if identified.learn is not None else ():
            self._session.notice(notice)
        self._session.observer(ReferencePlaced(self._text, str(path)))
        return placed(self._text, plan, path, came_from, proofs)

    async def _identify(self, asker: Asker, told: Collection[str]) -> Identified:
        identified = await asker.identify(told)
        for notice in identified.notices:
            self._session.notice(notice)
        for coverage in identified.sources:
            self._note_lag(coverage)
        return identified

    def _ask_beside(
        self, identified: Identified, plan: Plan, asker: Asker
    ) -> asyncio.Task[Artifact | ChunkdlError | None] | None:
        """What need not hold up the first byte: which other mirrors hold the commit, and a silent origin's word."""
        session, artifact = self._session, identified.artifact
        if identified.to_ask and any(content.action is not Action.PRESENT for content in plan.contents):
            asking = session.engine.expecting(lambda: asker.ask_mirrors(artifact, identified.to_ask, self._covered))
            self._asking = session.engine.spawn(asking, f"mirrors of {self._text}")
        if not identified.confirm:
            return None
        verdict = session.engine.expecting(lambda: self._verdict(asker, artifact))
        return session.engine.spawn(verdict, f"confirm {self._text}")

    async def _verdict(self, asker: Asker, artifact: Artifact) -> Artifact | ChunkdlError | None:
        """What a better authority says, an objection as a value: the transfer goes on until it is looked at.

        An origin that lists just this is from then on a source of bytes as well.
        """
        try:
            authentic = await asker.confirm(artifact)
        except ChunkdlError as error:
            return error
        if authentic is not None:
            self._covered(MirrorCoverage(self._session.settings.origin, has_commit=True))
        return authentic

    async def _first_offer(self, beside: Sequence[asyncio.Task[Any]]) -> None:
        """Nobody is known to hold anything: a transfer would give up before a far mirror has listed its first page."""
        offered = self._session.engine.spawn(self._offered.wait(), f"first offer for {self._text}")
        waiting: set[asyncio.Task[Any]] = set(beside)
        try:
            async with asyncio.timeout(self._session.settings.metadata_s):
                while waiting and not offered.done():
                    done, _ = await asyncio.wait({offered, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                    waiting -= done
        except TimeoutError:
            pass  # the transfer says who is missing
        finally:
            offered.cancel()

    async def _confirmed(
        self, artifact: Artifact, confirming: asyncio.Task[Artifact | ChunkdlError | None], asker: Asker
    ) -> Artifact:
        """The artifact under the best authority that answered in time; raises what the origin objected.

        Whoever was silent for a whole bound before the transfer is given no second one after it.
        """
        await asyncio.wait((confirming,), timeout=CONFIRM_GRACE_S)
        verdict = confirming.result() if confirming.done() else None
        if isinstance(verdict, ChunkdlError):
            raise verdict
        if verdict is None and artifact.authority.kind is AuthorityKind.MIRRORS:
            await asker.known.note_unconfirmed(artifact, time.time())
        return verdict or artifact

    def _covered(self, coverage: MirrorCoverage) -> None:
        """A mirror answered whether it has the commit, maybe long after transfer began."""
        self._note_lag(coverage)
        self._late.append(coverage)
        if coverage.useful:
            self._offered.set()
        if self._supply is not None:
            self._supply.cover(coverage)

    def _note_lag(self, coverage: MirrorCoverage) -> None:
        if coverage.lag:
            self._session.lag[coverage.mirror.name] = coverage.lag
        if coverage.notice:
            self._session.notice(coverage.notice)

    async def _plan(self, artifact: Artifact, destination: Destination) -> Plan:
        selection = select_with(artifact.reference, artifact.files, self._session.options)
        threads, options = self._session.threads, self._session.options
        inventory = await threads.submit(threads.disk, destination.inventory, artifact.commit, selection.chosen)
        plan = make_plan(artifact, selection, inventory, force=options.force)
        for message in plan.notices:
            self._session.notice(Notice("selection", message))
        if options.space_check:
            check_space(plan.disk_needed, inventory.free_bytes, where=str(destination.root))
        return plan

    async def _transfer(self, identified: Identified, plan: Plan, destination: Destination) -> dict[str, str]:
        """Bring every content; maps each path to where its bytes came from."""
        threads = self._session.threads
        if any(content.action is not Action.PRESENT for content in plan.contents):
            await settled(threads.submit(threads.sync, destination.prepare))
        covering = (*identified.sources, *self._late)
        self._supply = Supply(self._session, destination, identified.artifact, covering)
        by_digest = await self._supply.bring(plan)
        if self._asking is not None:
            self._asking.cancel()  # nothing is left that another mirror could bring
        return {path: by_digest[content.digest] for content in plan.contents for path in content.paths}

    def _as_proven(self, artifact: Artifact) -> Artifact:
        """The artifact with whole digests, where it was listed with less and the bytes are known by now."""
        proofs = self._supply.proofs if self._supply is not None else {}
        less = {each.digest for each in artifact.files if not each.digest.names_content} & set(proofs)
        if not less:
            return artifact
        files = (
            replace(each, digest=proofs[each.digest].digest) if each.digest in less else each for each in artifact.files
        )
        return replace(artifact, files=tuple(files))

    async def _place(self, plan: Plan, destination: Destination) -> Path:
        artifact, threads = self._as_proven(plan.artifact), self._session.threads
        folder = await settled(threads.submit(threads.sync, destination.place, artifact, plan.chosen))
        for message in await threads.submit(threads.sync, destination.notices, artifact):
            self._session.notice(Notice("placement", message))
        return named_by(artifact.reference, folder)
