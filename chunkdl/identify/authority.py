"""Who may say what the files are: the origin, what it said earlier, or, under ``auto``, mirrors that vouch.

Decides the order and its exceptions (privacy, gates, a silent origin). Mirrors supply bytes; only where nobody
else answers do they supply a listing, and then it is marked as unauthenticated to the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.errors import ArtifactNotFound, ChunkdlError, ConnectFailed, HTTPStatus, Stalled, TransportError
from chunkdl.identify import hearing, wording
from chunkdl.identify.asking import Stories, ask, listing_of, origin_hub
from chunkdl.identify.attestation import Attestation
from chunkdl.identify.content_search import attest
from chunkdl.identify.coverage import ask_mirrors
from chunkdl.identify.fingerprints import fingerprint
from chunkdl.identify.known import Earlier, Known
from chunkdl.identify.refusals import gated
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.identify.vouching import Candidate, compare, elect
from chunkdl.model import Artifact, Authority, AuthorityKind, Mirror, MirrorKind
from chunkdl.observe import ignore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from chunkdl.identify.by_content import Comparison
    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.identify.vouching import Select
    from chunkdl.model import Digest, Reference, RemoteFile, Verified
    from chunkdl.observe import Notice
    from chunkdl.settings import Settings

__all__ = ["Identified", "MirrorCoverage", "ask_mirrors", "confirm_with_origin", "identify", "relayed"]


@dataclass(frozen=True, slots=True)
class Identified:
    """An artifact, who holds it as far as that is known at once, and what remains to be done beside the transfer.

    ``to_ask`` are mirrors for ``ask_mirrors``. ``confirm`` is True if the origin has not spoken in this run:
    ``confirm_with_origin`` then belongs beside the transfer, before placement. ``learn`` is told, after placement, what
    the bytes turned out to be by the digests of the listing, and says what a person should know of that.
    """

    artifact: Artifact
    sources: tuple[MirrorCoverage, ...]
    to_ask: tuple[Mirror, ...] = ()
    notices: tuple[Notice, ...] = ()
    confirm: bool = False
    learn: Callable[[Mapping[Digest, Verified]], Awaitable[tuple[Notice, ...]]] | None = None


def _everything(files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
    return files


async def identify(
    reference: Reference,
    *,
    settings: Settings,
    client: MetadataClient,
    known: Known,
    now: float,
    select: Select = _everything,
) -> Identified:
    """Turn ``reference`` into an artifact.

    Args:
        reference: what to fetch.
        settings: origin, mirrors, trust, limits.
        client: makes the requests.
        known: what earlier runs learnt; told what this one learns.
        now: wall clock, seconds since the epoch.
        select: which files of a listing mirrors must agree on, and whose pickles are named.

    Raises:
        ArtifactNotFound, AccessDenied: the origin's final word, or offline.
        AuthorityUnreachable: nobody answered who may be believed.
        PolicyRefused: strict trust and an origin over plain HTTP; a hostile path in the listing.
    """
    if settings.offline:
        raise wording.offline(reference, settings)
    if settings.trust == "strict" and not settings.origin_authenticated:
        raise wording.plain_http(settings)
    inquiry = _Inquiry(reference, settings, client, known, now, select)
    async with Stories(reference, client, settings) as stories:
        return await inquiry.decide(stories)


async def relayed(
    reference: Reference, *, settings: Settings, known: Known, told: Collection[str]
) -> Identified | None:
    """What the origin has just said to one of those named ``told``, for whom we waited; None if they learnt nothing.

    It is the origin's word of this very run as much as if we had asked ourselves.
    """
    earlier = await known.last(reference) if told else None
    if earlier is None or not set(told) & set(earlier.told.split()):
        return None
    said_at = earlier.artifact.authority.as_of
    artifact = replace(earlier.artifact, authority=replace(earlier.artifact.authority, kind=AuthorityKind.ORIGIN))
    if known.name and said_at is not None:  # ours now: others wait for us, who never saw whom we waited for
        await known.remember(earlier, said_at)
    heard = hearing.once_seen(settings, reference, artifact.canonical_id, private=earlier.private, gated=earlier.gated)
    return Identified(artifact, (MirrorCoverage(settings.origin, has_commit=True),), heard)


@dataclass(frozen=True, slots=True)
class _Inquiry:
    """One identification: its circumstances, and the steps in DESIGN's order."""

    reference: Reference
    settings: Settings
    client: MetadataClient
    known: Known
    now: float
    select: Select

    async def decide(self, stories: Stories) -> Identified:
        silent_s = await self._silent_for_s()
        if self.settings.trust == "auto":
            stories.begin(hearing.at_once(self.settings, self.reference))
        failure: TransportError | None = None
        if silent_s is None:
            answer = await self.ask_origin()
            if isinstance(answer, Candidate):
                return await self._by_origin(answer, stories)
            failure = answer
        return await self._without_origin(stories, failure, silent_s)

    async def _silent_for_s(self) -> float | None:
        """How long ago the origin failed to answer, if that is recent enough not to wait for it again."""
        since = await self.known.silent_since()
        if (
            since is None
            or self.settings.trust == "strict"
            or not 0 <= self.now - since < self.settings.origin_memory_s
        ):
            return None
        return self.now - since

    async def ask_origin(self) -> Candidate | TransportError:
        try:
            story = await ask(self.reference, origin_hub(self.client, self.settings), self.settings.metadata_s)
        except TransportError as error:
            if isinstance(error, ConnectFailed | Stalled):
                await self.known.note_silence(self.now)
            return error
        await self.known.note_answer()
        return story

    async def _by_origin(self, story: Candidate, stories: Stories) -> Identified:
        await self.check_gate(story)
        artifact = _artifact(self.reference, story, origin_authority(self.settings))
        await self.known.remember(Earlier(artifact, story.info.private, story.info.gated), self.now)
        notices = await self._settled(artifact)
        heard = self._heard(artifact, private=story.info.private, gated=story.info.gated)
        if story.info.gated and self.settings.mirrors:
            notices.append(wording.gated_mirrors(self.reference))
        if self.known.trouble:
            notices.append(wording.state_unusable(self.known.trouble))
        told = [each for each in stories.told() if each.mirror in heard and each.info.commit == artifact.commit]
        sources = (MirrorCoverage(self.settings.origin, has_commit=True), *(compare(each, artifact) for each in told))
        known = {each.mirror.name for each in sources}
        to_ask = tuple(each for each in heard if each.name not in known)
        return Identified(artifact, sources, to_ask, tuple(notices))

    async def check_gate(self, story: Candidate) -> None:
        if not story.info.gated:
            return
        if self.settings.origin.token is None:
            raise gated(self.reference, self.settings.origin)
        await origin_hub(self.client, self.settings).check_access(self.reference, story.info, story.files)

    def _heard(self, artifact: Artifact, *, private: bool, gated: bool) -> tuple[Mirror, ...]:
        return hearing.once_seen(self.settings, self.reference, artifact.canonical_id, private=private, gated=gated)

    async def _settled(self, artifact: Artifact) -> list[Notice]:
        """Compare what was once placed on the word of mirrors with what the origin says of that commit."""
        earlier = await self.known.unconfirmed(self.reference)
        if earlier is None:
            return []
        try:
            files = await self._listing_of(earlier.commit, artifact)
        except ArtifactNotFound:
            files = ()
        except ChunkdlError:
            return []  # tired again, or it lets us see no longer: the question stays open
        await self.known.settle(self.reference)
        true = bool(files) and fingerprint(files) == earlier.fingerprint
        return [wording.confirmed(earlier) if true else wording.differs(earlier, self.reference)]

    async def _listing_of(self, commit: str, artifact: Artifact) -> tuple[RemoteFile, ...]:
        if commit == artifact.commit:
            return artifact.files
        hub = origin_hub(self.client, self.settings)
        return await listing_of(hub, self.reference, artifact.canonical_id, commit, self.settings.metadata_s)

    async def listed_for(self, artifact: Artifact, named: Artifact) -> tuple[RemoteFile, ...] | None:
        """What the origin lists for ``artifact``'s commit, ``named`` being what it says now; None if it is tired."""
        try:
            return await self._listing_of(artifact.commit, named)
        except TransportError:
            return None
        except ArtifactNotFound as error:
            raise wording.contradicted(artifact, f"has no commit {artifact.commit}") from error

    async def _without_origin(
        self, stories: Stories, failure: TransportError | None, silent_s: float | None
    ) -> Identified:
        if self.settings.trust == "strict":
            raise wording.unreachable(self.settings, failure, ())
        silence = wording.silent_origin(self.settings, failure, silent_s)
        heard = hearing.without_origin(self.settings, self.reference)
        earlier = await self.known.last(self.reference)
        if earlier is not None:
            return await self._by_memory(earlier, stories, failure, silence)
        stories.begin(heard)
        every = await stories.gather()
        told = [each for each in self._behind_no_gate(every) if each.mirror.vouches]
        if told:
            heard = hearing.behind_gate(heard) if any(each.behind_gate for each in every) else heard
            return await self._by_mirrors(told, heard, silence)
        if failure is None:  # only remembered: before giving up it is asked after all
            answer = await self.ask_origin()
            if isinstance(answer, Candidate):
                return await self._by_origin(answer, stories)
            failure = answer
        raise wording.unreachable(self.settings, failure, stories.refused())

    def _behind_no_gate(self, told: list[Candidate]) -> list[Candidate]:
        """If one voice calls the repository gated, only mirrors that a token of their own opens count."""
        if not any(each.behind_gate for each in told):
            return told
        opened = [each for each in told if each.mirror.token]
        if not opened:
            raise gated(self.reference, self.settings.origin)
        return opened

    async def _by_memory(
        self, earlier: Earlier, stories: Stories, failure: TransportError | None, silence: str
    ) -> Identified:
        heard = self._heard(earlier.artifact, private=earlier.private, gated=earlier.gated)
        if failure is None and not heard:  # only remembered, and nobody else has bytes: it is asked after all
            answer = await self.ask_origin()
            if isinstance(answer, Candidate):
                return await self._by_origin(answer, stories)
            failure, silence = answer, wording.silent_origin(self.settings, answer, None)
        # An origin that answers badly (429, 5xx on its API) may still serve files. A silent one only costs time, unless
        # there is nobody else: then it is waited for as any sole source.
        serves = isinstance(failure, HTTPStatus) or not heard
        sources = (MirrorCoverage(self.settings.origin, has_commit=True),) if serves else ()
        notices = (wording.last_known(earlier.artifact, self.now, silence),)
        return Identified(earlier.artifact, sources, heard, notices, confirm=True)

    def _selectable(self, told: list[Candidate]) -> list[Candidate]:
        """Stories that hold what is asked for; if none does, what is missing is the answer."""
        missing: list[ArtifactNotFound] = []
        kept = []
        for each in told:
            try:
                self.select(each.files)
                kept.append(each)
            except ArtifactNotFound as error:
                missing.append(error)
        if not kept:
            raise missing[0]
        return kept

    async def _by_mirrors(self, told: list[Candidate], heard: tuple[Mirror, ...], silence: str) -> Identified:
        usable = self._selectable(told)
        secret = any(self.settings.is_private(each.info.canonical_id) for each in told)
        further = () if secret else heard  # those would be asked by the name that these have told
        compared = await self._compared(usable[0], further)
        election = elect(usable, self.select, [Attestation.of(each) for each in compared])
        names = [each.mirror.name for each in election.vouchers] + [each.mirror.name for each in election.attested]
        authority = Authority(AuthorityKind.MIRRORS, ", ".join(names), authenticated=False)
        artifact = _artifact(self.reference, election.winner, authority)
        executables = [each for each in self.select(artifact.files) if each.executable]
        notices = [wording.vouched(election, executables, silence)]
        if election.others:
            notices.append(wording.others_differ(election))
        if self.settings.origin.token:
            notices.insert(0, wording.name_told(self.reference, [each.name for each in heard]))
        sources = tuple(compare(each, artifact) for each in told)
        known = {each.mirror.name for each in told}
        to_ask = tuple(each for each in further if each.name not in known)
        return Identified(artifact, sources, to_ask, tuple(notices), confirm=True)

    async def _compared(self, story: Candidate, heard: tuple[Mirror, ...]) -> list[Comparison]:
        """What servers without our commits list, for as long as one more voice is worth waiting for."""
        artifact = _artifact(self.reference, story, Authority(AuthorityKind.MIRRORS, story.mirror.name, False))
        asked = [each for each in heard if each.kind is MirrorKind.MODELSCOPE and each.vouches]
        return await attest(artifact, asked, client=self.client, settings=self.settings)


def origin_authority(settings: Settings) -> Authority:
    """The origin as it is named in reports."""
    return Authority(AuthorityKind.ORIGIN, settings.origin.url, settings.origin_authenticated)


def _artifact(reference: Reference, story: Candidate, authority: Authority) -> Artifact:
    return Artifact(reference, story.info.canonical_id, story.info.commit, story.files, authority)


async def confirm_with_origin(
    artifact: Artifact,
    *,
    settings: Settings,
    client: MetadataClient,
    known: Known,
    now: float,
    notify: Callable[[Notice], None] = ignore,
) -> Artifact | None:
    """Ask the origin about an artifact that it has not vouched for in this run.

    Returns the artifact with the origin's authority if it lists that commit with the same contents, None if the
    origin still does not answer (bounded as every metadata phase). A branch that has moved on meanwhile contradicts
    nobody: ``notify`` is told of it.

    Raises:
        PolicyRefused: the origin has no such commit, or lists other contents for it.
        ArtifactNotFound, AccessDenied: the origin says that it is not there, or not yours.
    """
    inquiry = _Inquiry(artifact.reference, settings, client, known, now, _everything)
    story = await inquiry.ask_origin()
    if not isinstance(story, Candidate):
        return None
    try:
        await inquiry.check_gate(story)
    except TransportError:
        return None  # its listing is there and its contents are not, for now
    authentic = _artifact(artifact.reference, story, origin_authority(settings))
    await known.remember(Earlier(authentic, story.info.private, story.info.gated), now)
    files = await inquiry.listed_for(artifact, authentic)
    if files is None:
        return None
    if fingerprint(files) != fingerprint(artifact.files):
        raise wording.contradicted(artifact, "lists other contents for this commit")
    if authentic.commit != artifact.commit:
        notify(wording.newer_commit(artifact, authentic.commit))
    current = authentic.commit == artifact.commit
    return replace(artifact, canonical_id=authentic.canonical_id, authority=authentic.authority, current=current)
