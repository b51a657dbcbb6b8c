"""A reference that a lock file fixed: nobody is asked what it means, everybody may bring the bytes.

Decides that a lock goes before every hub, reachable or not, and which mirrors may hear of what it names. Of
ModelScope's revisions nobody can ask by commit: there the server must still list what was fixed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chunkdl.core.drift import drift
from chunkdl.errors import PolicyRefused
from chunkdl.identify import hearing
from chunkdl.identify.authority import Identified, ask_mirrors
from chunkdl.identify.known import Known
from chunkdl.identify.modelscope_hub import ModelScopeHub
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.url_references import read_address
from chunkdl.identify.url_sources import copies_of, own_host
from chunkdl.model import Hub
from chunkdl.observe import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from chunkdl.identify.lockfile import LockedArtifact
    from chunkdl.model import Artifact, Mirror
    from chunkdl.pipeline.session import Session


def locked_asker(session: Session, locked: LockedArtifact, where: str) -> LockedAsker:
    """The way to one entry of the lock file ``where``, by the hub that it is of."""
    if locked.reference.hub is Hub.MODELSCOPE:
        return LockedModelScopeAsker(session, locked, where)
    if locked.reference.hub.names_files:
        return LockedFileAsker(session, locked, where)
    return LockedAsker(session, locked, where)


class LockedAsker:
    """One repository of a lock file. Methods as ``Asker`` describes them."""

    def __init__(self, session: Session, locked: LockedArtifact, where: str) -> None:
        """``where`` names the lock file."""
        self.known = Known.of(session.settings)
        self._session = session
        self._locked = locked
        self._where = where

    async def identify(self, told: Collection[str]) -> Identified:  # noqa: ARG002  others were told the same
        """As it was locked; the origin is a source of bytes like any other."""
        settings, locked = self._session.settings, self._locked
        heard = hearing.once_seen(
            settings, locked.reference, locked.canonical_id, private=not locked.public, gated=False
        )
        source = MirrorCoverage(settings.origin, has_commit=True)
        return Identified(locked.artifact(self._where), (source,), heard, (self._notice(),))

    def _notice(self) -> Notice:
        locked = self._locked
        day = datetime.fromtimestamp(locked.locked_at, UTC)
        what = f"commit {locked.commit}" if locked.commit else str(locked.files[0].digest)
        return Notice("locked", f"{locked.ref}: as {self._where} fixed it on {day:%Y-%m-%d}, {what}")

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """By commit, then by content."""
        session = self._session
        await ask_mirrors(artifact, mirrors, client=session.client, settings=session.settings, on_mirror=on_mirror)

    async def confirm(self, artifact: Artifact) -> Artifact | None:  # noqa: ARG002
        """There is no better word than a lock's."""
        return None


class LockedFileAsker(LockedAsker):
    """One file of a lock file, by torch's name or its address: its own host and whoever stands in for it."""

    async def identify(self, told: Collection[str]) -> Identified:  # noqa: ARG002
        """Its digest is fixed, so it may come from several; a name that is private goes to its own host alone."""
        settings, locked = self._session.settings, self._locked
        url, name = read_address(locked.reference.url or "").url, locked.files[0].path
        heard = locked.public and not settings.is_private(locked.canonical_id)
        copies = copies_of(url, settings.url_mirrors) if heard else []
        places = [(own_host(url, settings), url), *copies]
        sources = (MirrorCoverage(mirror, has_commit=False, urls={name: address}) for mirror, address in places)
        return Identified(locked.artifact(self._where), tuple(sources), notices=(self._notice(),))


class LockedModelScopeAsker(LockedAsker):
    """A repository of ModelScope's: the server has its branches alone, so it is asked whether they still hold that."""

    async def identify(self, told: Collection[str]) -> Identified:
        """As it was locked, while the server lists every file of it with that sha256.

        Raises:
            PolicyRefused: it does not; the message names the files.
        """
        session, locked = self._session, self._locked
        known = Known(session.settings.state_dir, session.settings.modelscope.url)
        hub = ModelScopeHub(session.settings, session.client, known, time.time())
        found = await hub.identify(locked.reference, told)
        wanted = {each.path for each in locked.files}
        moved = drift(locked.files, [each for each in found.artifact.files if each.path in wanted])
        if moved:
            raise PolicyRefused(
                f"{locked.ref}: {session.settings.modelscope.name} has no longer what {self._where} fixed: "
                f"{', '.join(moved.lines())}",
                hint=f"chunkdl lock {locked.ref} follows it",
            )
        return Identified(locked.artifact(self._where), found.sources, notices=(*found.notices, self._notice()))
