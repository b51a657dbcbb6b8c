"""One file by torch's name or by its address: what it must be, and who has it.

Decides whom to ask for its length and what to do when its own host is silent. What a name means and which digest counts
is decided in ``identify``; where the file goes in ``destinations``.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from chunkdl.errors import ChunkdlError, ConnectFailed, Stalled, TransportError
from chunkdl.identify.authority import Identified
from chunkdl.identify.checkpoints import Facts, checkpoint_of, identify_checkpoint
from chunkdl.identify.known import Known
from chunkdl.identify.learnt import Learnt, Lesson
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.url_facts import ask_facts
from chunkdl.identify.url_sources import copies_of, own_host
from chunkdl.model import Artifact, AuthorityKind, DigestAlgorithm, RemoteFile
from chunkdl.observe import Notice
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from chunkdl.identify.checkpoints import Checkpoint, Identification
    from chunkdl.model import Digest, Mirror, Reference, Verified
    from chunkdl.pipeline.session import Session


class CheckpointAsker:
    """Torch's names and plain addresses. Methods as ``Asker`` describes them."""

    def __init__(self, session: Session, reference: Reference) -> None:
        """Raises ``ArtifactNotFound`` for a name unknown to torchvision."""
        self._session = session
        self._reference = reference
        self._checkpoint = checkpoint_of(reference, by_name=session.options.names_prove)
        self._own = own_host(self._checkpoint.url, session.settings)
        self._learnt = Learnt(session.settings.state_dir)
        self.known = Known(session.settings.state_dir, self._own.url)

    async def identify(self, told: Collection[str]) -> Identified:  # noqa: ARG002  one small request: asked anew
        """The length from the address's own host, else from mirrors; the digest from whoever knows it."""
        session, checkpoint = self._session, self._checkpoint
        lesson = None
        if session.settings.trust == "auto":
            lesson = await settled(session.threads.submit(session.threads.disk, self._learnt.lesson, checkpoint.url))
        copies = self._copies(checkpoint, lesson)
        facts, silent = await self._facts(copies)
        identity = identify_checkpoint(checkpoint, facts, lesson, allow_unverified=session.options.allow_unverified)
        file = RemoteFile(checkpoint.name, facts.size, identity.digest)
        reference = replace(self._reference, path=checkpoint.name)
        artifact = Artifact(reference, checkpoint.title, "", (file,), identity.authority)
        return Identified(
            artifact,
            self._sources(identity, facts, copies, silent=silent is not None),
            notices=tuple(self._notices(identity, copies, silent)),
            learn=partial(self._learn, identity, facts, lesson),
        )

    def _copies(self, checkpoint: Checkpoint, lesson: Lesson | None) -> list[tuple[Mirror, str]]:
        """Mirrors that may hear of the file and whose bytes could be told from wrong ones."""
        settings = self._session.settings
        if settings.is_private(checkpoint.title) or (checkpoint.digest is None and lesson is None):
            return []
        return copies_of(checkpoint.url, settings.url_mirrors)

    # -- how long it is --------------------------------------------------------------------------

    async def _facts(self, copies: list[tuple[Mirror, str]]) -> tuple[Facts, str | None]:
        """What is said of the file, and why its own host did not say it; None if it did."""
        settings = self._session.settings
        copies = copies if settings.trust == "auto" else []
        since = await self.known.silent_since() if copies else None
        now = time.time()
        if since is not None and 0 <= now - since < settings.origin_memory_s:
            return await self._facts_elsewhere(copies, None)
        try:
            facts = await self._ask(self._own, self._checkpoint.url, settings.origin_connect_s if copies else None)
        except TransportError as error:
            if isinstance(error, ConnectFailed | Stalled):
                await self.known.note_silence(now)
            if not copies:
                error.hint = "; ".join(each for each in (error.hint, _elsewhere(self._checkpoint)) if each)
                raise
            return await self._facts_elsewhere(copies, error)
        await self.known.note_answer()
        return facts, None

    async def _facts_elsewhere(
        self, copies: list[tuple[Mirror, str]], error: TransportError | None
    ) -> tuple[Facts, str]:
        """The length that most mirrors name; a wrong one delivers nothing, since the digest does not depend on it."""
        asked = [self._ask(mirror, url, None) for mirror, url in copies]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, ChunkdlError):
                raise each
        sizes = Counter(each.size for each in found if isinstance(each, Facts))
        if not sizes:
            failures = [each for each in (error, *found) if isinstance(each, ChunkdlError)]
            raise failures[0]
        why = f"{self._own.name} did not answer lately" if error is None else error.message
        return Facts(sizes.most_common(1)[0][0]), why

    async def _ask(self, mirror: Mirror, url: str, connect_s: float | None) -> Facts:
        settings = self._session.settings
        return await ask_facts(
            self._session.client,
            mirror,
            url,
            self._checkpoint.name,
            answer_s=settings.answer_s if connect_s else settings.metadata_s,
            connect_s=connect_s or settings.connect_s,
        )

    # -- who has it, and what is to be said ------------------------------------------------------

    def _sources(
        self, identity: Identification, facts: Facts, copies: list[tuple[Mirror, str]], *, silent: bool
    ) -> tuple[MirrorCoverage, ...]:
        """Without a digest one host alone, and only while it says that the file is still the same."""
        url, name = self._checkpoint.url, self._checkpoint.name
        validator = "" if identity.mixable else facts.validator
        own = MirrorCoverage(self._own, has_commit=False, urls={name: url}, validator=validator)
        others = [MirrorCoverage(each, has_commit=False, urls={name: address}) for each, address in copies]
        return (*(() if silent else (own,)), *(others if identity.mixable else ()))

    def _notices(
        self, identity: Identification, copies: list[tuple[Mirror, str]], silent: str | None
    ) -> Iterable[Notice]:
        name = self._checkpoint.name
        if self._checkpoint.mislabelled:
            message = f"{name}: its name is known to lie; its sha256 begins with {identity.digest.hex[:8]}"
            yield Notice("mislabelled", message)
        if identity.digest.algorithm is DigestAlgorithm.UNPROVEN:
            message = f"{name}: nothing says which bytes it must have; its length is all that is checked"
            yield Notice("unverified", message)
        if silent is not None:
            names = ", ".join(mirror.name for mirror, _ in copies)
            yield Notice("origin-silent", f"{silent}: the length of {name} is what mirrors say ({names})")

    async def _learn(
        self, identity: Identification, facts: Facts, lesson: Lesson | None, proofs: Mapping[Digest, Verified]
    ) -> tuple[Notice, ...]:
        proof = proofs.get(identity.digest)
        if proof is None:
            return ()
        retold = lesson is not None and identity.authority.kind is AuthorityKind.LAST_KNOWN
        strength = lesson.strength if lesson is not None and retold else proof.strength
        validator = facts.validator or (lesson.validator if lesson is not None and retold else "")
        new = Lesson(proof.digest, proof.size, validator, strength, time.time())
        threads = self._session.threads
        await settled(threads.submit(threads.disk, self._learnt.keep, self._checkpoint.url, new))
        if lesson is None or lesson.digest == new.digest:
            return ()
        message = f"{self._checkpoint.name}: upstream has replaced it; it was {lesson.digest} and is {new.digest}"
        return (Notice("upstream-changed", message),)

    async def ask_mirrors(
        self, artifact: Artifact, mirrors: Iterable[Mirror], on_mirror: Callable[[MirrorCoverage], None]
    ) -> None:
        """None is left to be asked: whoever may have the file is tried for its bytes at once."""

    async def confirm(self, artifact: Artifact) -> Artifact | None:  # noqa: ARG002
        """Nobody knows more."""
        return None


def _elsewhere(checkpoint: Checkpoint) -> str:
    """What helps where the address's own host does not: others only bring what can be told from wrong bytes."""
    return "" if checkpoint.digest is None else "--add-mirror static+URL names a folder that holds the file too"
