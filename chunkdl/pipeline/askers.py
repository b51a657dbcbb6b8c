"""Who is asked what a reference means: each hub has its own way to an artifact, the pipeline has one.

Decides which way belongs to which reference. Deliberately knows nothing of plans, bytes and folders.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from chunkdl.identify.authority import ask_mirrors, confirm_with_origin, identify, relayed
from chunkdl.identify.known import Known
from chunkdl.model import Hub
from chunkdl.pipeline.checkpoint_asker import CheckpointAsker
from chunkdl.pipeline.destinations import destination_of
from chunkdl.pipeline.locked_asker import locked_asker
from chunkdl.pipeline.modelscope_asker import ModelScopeAsker
from chunkdl.pipeline.wanted import locked_in, select_with

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from chunkdl.identify.authority import Identified
    from chunkdl.identify.sources import MirrorCoverage
    from chunkdl.model import Artifact, Mirror, Reference, RemoteFile
    from chunkdl.pipeline.session import Session


class Asker(Protocol):
    """The metadata side of one reference. ``known`` is what earlier runs learnt where it is asked."""

    known: Known

    async def identify(self, told: Collection[str]) -> Identified:
        """The artifact and who holds it; ``told`` are processes that have just asked the same and were waited for.

        Raises what ``identify.authority.identify`` does.
        """

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """Find out what each of ``mirrors`` holds while the transfer runs; ``on_mirror`` hears of each once."""

    async def confirm(self, artifact: Artifact) -> Artifact | None:
        """The artifact under a better authority than it has; None if none answers. Raises what it objects."""


def asker_of(reference: Reference, session: Session) -> Asker:
    """The way to the artifact that ``reference`` names."""
    lock = session.options.lock
    if lock is not None:
        return locked_asker(session, locked_in(lock, reference.text), lock.where)
    if reference.hub is not Hub.HUGGING_FACE:
        destination_of(reference, session.settings)  # refuses a name without a folder before anybody is asked
    return authority_asker(reference, session)


def authority_asker(reference: Reference, session: Session) -> Asker:
    """The same for what it means now, wherever its files would go."""
    if reference.hub is Hub.MODELSCOPE:
        return ModelScopeAsker(session, reference)
    if reference.hub.names_files:
        return CheckpointAsker(session, reference)
    return HubAsker(session, reference)


class HubAsker:
    """Hubs that speak the Hugging Face protocol. Methods as ``Asker`` describes them."""

    def __init__(self, session: Session, reference: Reference) -> None:
        """The origin of the settings is asked."""
        self.known = Known.of(session.settings)
        self._session = session
        self._reference = reference

    async def identify(self, told: Collection[str]) -> Identified:
        """Whom we waited for has the origin's word of this very run; else the authorities in their order."""
        session = self._session
        relay = await relayed(self._reference, settings=session.settings, known=self.known, told=told)
        return relay or await identify(
            self._reference,
            settings=session.settings,
            client=session.client,
            known=self.known,
            now=time.time(),
            select=self._selected,
        )

    def _selected(self, files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
        return select_with(self._reference, files, self._session.options).chosen

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """By commit, then by content."""
        session = self._session
        await ask_mirrors(artifact, mirrors, client=session.client, settings=session.settings, on_mirror=on_mirror)

    async def confirm(self, artifact: Artifact) -> Artifact | None:
        """By the origin, once more."""
        session = self._session
        return await confirm_with_origin(
            artifact,
            settings=session.settings,
            client=session.client,
            known=self.known,
            now=time.time(),
            notify=session.notice,
        )
