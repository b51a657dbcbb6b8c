"""What one commit is and who holds it, learnt once for many calls that want single files of it.

Decides what is asked again: nothing that was answered. How old an answer may grow is its user's decision.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.identify.sources import MirrorCoverage
from chunkdl.pipeline.askers import asker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from chunkdl.identify.authority import Identified
    from chunkdl.identify.known import Known
    from chunkdl.model import Artifact, Mirror, Reference
    from chunkdl.pipeline.askers import Asker
    from chunkdl.pipeline.session import Session


class Identity:
    """One revision of one repository."""

    def __init__(self, reference: Reference, session: Session) -> None:
        """``reference`` names the whole repository; ``session`` has the settings that say whom to ask."""
        self._asker = asker_of(reference, session)
        self._session = session
        self._lock = asyncio.Lock()
        self._identified: Identified | None = None
        self._heard: dict[str, MirrorCoverage] = {}

    @property
    def known(self) -> Known:
        """What earlier runs learnt."""
        return self._asker.known

    async def learn(self) -> Identified:
        """The artifact and who holds it as far as that is known by now.

        Raises:
            ChunkdlError: as ``identify.authority.identify``; the next call asks again.
        """
        async with self._lock:
            if self._identified is None:
                self._identified = await self._asker.identify(())
                for notice in self._identified.notices:
                    self._session.notice(notice)
        found, heard = self._identified, self._heard
        to_ask = tuple(each for each in found.to_ask if each.name not in heard)
        return replace(found, sources=(*found.sources, *heard.values()), to_ask=to_ask)

    def asker(self, reference: Reference) -> Asker:
        """What answers for ``reference``, a file of this revision."""
        return _Remembered(self, reference)

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """Ask, and keep what each says."""

        def heard(coverage: MirrorCoverage) -> None:
            if not coverage.silent:  # the next call asks again: it may be back
                self._heard[coverage.mirror.name] = coverage
            on_mirror(coverage)

        await self._asker.ask_mirrors(artifact, mirrors, heard)

    async def confirm(self) -> Artifact | None:
        """A better authority's word on the artifact, once it has given it."""
        async with self._lock:
            found = self._identified
            assert found is not None
            if not found.confirm:
                return found.artifact
            confirmed = await self._asker.confirm(found.artifact)
            if confirmed is not None:
                origin = MirrorCoverage(self._session.settings.origin, has_commit=True)
                others = (each for each in found.sources if each.mirror.name != origin.mirror.name)
                self._identified = replace(found, artifact=confirmed, sources=(origin, *others), confirm=False)
            return confirmed


class _Remembered:
    """An ``Asker`` that answers from an identity."""

    def __init__(self, identity: Identity, reference: Reference) -> None:
        self.known = identity.known
        self._identity = identity
        self._reference = reference

    async def identify(self, _told: Collection[str]) -> Identified:
        found = await self._identity.learn()
        # its notices were given when it was learnt
        return replace(found, artifact=self._mine(found.artifact), notices=())

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        await self._identity.ask_mirrors(artifact, mirrors, on_mirror)

    async def confirm(self, _artifact: Artifact) -> Artifact | None:
        confirmed = await self._identity.confirm()
        return self._mine(confirmed) if confirmed is not None else None

    def _mine(self, artifact: Artifact) -> Artifact:
        return replace(artifact, reference=self._reference)
