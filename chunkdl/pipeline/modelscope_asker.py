"""The way to the artifact of an ``ms:`` name: ModelScope's server, and nobody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chunkdl.identify.known import Known
from chunkdl.identify.modelscope_hub import ModelScopeHub

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from chunkdl.identify.authority import Identified
    from chunkdl.identify.sources import MirrorCoverage
    from chunkdl.model import Artifact, Mirror, Reference
    from chunkdl.pipeline.session import Session


class ModelScopeAsker:
    """One name on ModelScope. Methods as ``Asker`` describes them."""

    def __init__(self, session: Session, reference: Reference) -> None:
        """The server of the settings is asked."""
        self.known = Known(session.settings.state_dir, session.settings.modelscope.url)
        self._session = session
        self._reference = reference

    async def identify(self, told: Collection[str]) -> Identified:
        """By the server's word."""
        session = self._session
        hub = ModelScopeHub(session.settings, session.client, self.known, time.time())
        return await hub.identify(self._reference, told)

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """Nobody is known to mirror ModelScope's revisions."""

    async def confirm(self, artifact: Artifact) -> Artifact | None:
        """There is no better authority than the server that was asked first."""
