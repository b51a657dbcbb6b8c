"""ModelScope as the hub that a name belongs to: what ``ms:org/name`` is, by its own word.

Decides the order: what a process said for whom we waited, the server, what it said earlier. Every file is identified
by sha256. Deliberately asks no mirror: nobody else is known to hold its revisions, and a name typed for one hub is
not told to another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.core.content_headers import read_facts
from chunkdl.errors import ArtifactNotFound, MirrorMisbehaved, PolicyRefused, ReferenceInvalid, TransportError
from chunkdl.identify import wording
from chunkdl.identify.asking import progressing
from chunkdl.identify.authority import Identified
from chunkdl.identify.catalogue import Catalogue
from chunkdl.identify.known import Earlier
from chunkdl.identify.modelscope import DEFAULT_REVISION, ModelScopeApi, default_route, file_url
from chunkdl.identify.modelscope_answers import Listed
from chunkdl.identify.modelscope_walk import CAP_ENTRIES
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, Reference, RemoteFile
from chunkdl.observe import Notice
from chunkdl.settings.endpoints import is_confidential
from chunkdl.settings.registry import other_hub

if TYPE_CHECKING:
    from collections.abc import Collection

    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.identify.known import Known
    from chunkdl.model import Mirror
    from chunkdl.settings import Settings

# Contents whose length the listing does not say, asked one by one; it says that of none on a sound server.
_MAX_UNSIZED = 64


@dataclass(frozen=True, slots=True)
class ModelScopeHub:
    """One server as an authority; ``now`` is the wall clock, seconds since the epoch."""

    settings: Settings
    client: MetadataClient
    known: Known
    now: float

    async def identify(self, reference: Reference, told: Collection[str]) -> Identified:
        """Turn ``reference`` into an artifact; ``told`` are processes that have just asked the same.

        Raises:
            ReferenceInvalid: a page of another server was pasted.
            ArtifactNotFound, AccessDenied: the server's final word.
            TransportError: no usable answer, now or earlier.
            PolicyRefused: strict trust and plain HTTP; a file without a digest; a listing that the server cuts off.
        """
        mirror, settings = self.settings.modelscope, self.settings
        _check_host(reference, mirror)
        if settings.trust == "strict" and not is_confidential(mirror.url):
            raise wording.plain_http(replace(settings, origin=mirror))
        named = replace(reference, revision=reference.revision or DEFAULT_REVISION)
        earlier = await self.known.last(named)
        if earlier is not None and set(told) & set(earlier.told.split()):
            return await self._again(earlier, AuthorityKind.ORIGIN, ())
        try:
            catalogue = await self._catalogue(named)
        except TransportError as error:
            if earlier is None or settings.trust == "strict":
                raise
            silence = f"{mirror.name} does not answer ({error.message})"
            notice = wording.last_known(earlier.artifact, self.now, silence)
            return await self._again(earlier, AuthorityKind.LAST_KNOWN, (notice,))
        return await self._told(named, catalogue)

    async def _catalogue(self, reference: Reference) -> Catalogue:
        mirror = self.settings.modelscope
        async with progressing(mirror, self.settings.metadata_s) as on_page:
            api = replace(self._api(), on_page=on_page)
            catalogue = await api.catalogue(reference.repo_type, reference.repo_id, reference.revision or "")
            if not catalogue.complete:
                raise _cut_off(reference, mirror)
            return replace(catalogue, files=await self._sized(catalogue))

    async def _told(self, reference: Reference, catalogue: Catalogue) -> Identified:
        mirror = self.settings.modelscope
        if not catalogue.files:  # a repository has one file at least; an answer without any is its SDK's false success
            what = f"{reference.repo_id}@{reference.revision}"
            hint = "it may be in the making: try again later"
            raise ArtifactNotFound(f"{mirror.name} lists no file of {what}", hint=hint, mirror=mirror.name)
        confidential = is_confidential(mirror.url)
        authority = Authority(AuthorityKind.ORIGIN, mirror.url, confidential)
        files = tuple(_file(each, catalogue) for each in catalogue.files)
        artifact = Artifact(reference, reference.repo_id, catalogue.commit, files, authority)
        await self.known.remember(Earlier(artifact), self.now)
        notices = () if confidential else (_plain_http(mirror.url),)
        return Identified(artifact, (await self._source(catalogue),), notices=notices)

    async def _again(self, earlier: Earlier, kind: AuthorityKind, notices: tuple[Notice, ...]) -> Identified:
        """What was said earlier, with the server for its bytes."""
        artifact = replace(earlier.artifact, authority=replace(earlier.artifact.authority, kind=kind))
        if kind is AuthorityKind.ORIGIN and artifact.authority.as_of is not None:
            await self.known.remember(replace(earlier, artifact=artifact), artifact.authority.as_of)
        listed = tuple(Listed(each.path, each.size, each.digest.hex) for each in artifact.files)
        of = artifact.reference
        catalogue = Catalogue(self.settings.modelscope, of.repo_type, of.repo_id, of.revision or "", listed)
        silent = kind is AuthorityKind.LAST_KNOWN
        return Identified(artifact, (await self._source(catalogue, silent=silent),), notices=notices)

    async def _source(self, catalogue: Catalogue, *, silent: bool = False) -> MirrorCoverage:
        """The server as a source of every file; one that is ``silent`` is not asked over which route."""
        largest = max(catalogue.files, key=lambda each: each.size, default=None)
        tried = largest is not None and largest.size and not silent
        untried = default_route(catalogue.repo_type)
        route = await self._api().route(catalogue, largest) if largest is not None and tried else untried
        urls = {each.path: file_url(catalogue, each.path, route) for each in catalogue.files}
        return MirrorCoverage(catalogue.mirror, has_commit=True, urls=urls)

    async def _sized(self, catalogue: Catalogue) -> tuple[Listed, ...]:
        """The files, with the lengths that the listing leaves out from their own headers."""
        unsized = [each for each in catalogue.files if not each.sized]
        if len(unsized) > _MAX_UNSIZED:
            name = catalogue.mirror.name
            raise MirrorMisbehaved(f"{name} does not say how long {len(unsized)} files are", mirror=name)
        lengths = {each.path: await self._length(catalogue, each) for each in unsized}
        return tuple(replace(each, size=lengths.get(each.path, each.size)) for each in catalogue.files)

    async def _length(self, catalogue: Catalogue, file: Listed) -> int:
        mirror, api = catalogue.mirror, self._api()
        answer = await self.client.ask_headers(
            file_url(catalogue, file.path, default_route(catalogue.repo_type)),
            mirror=mirror,
            timeout_s=max(api.answer_s, mirror.first_byte_s),
            connect_s=api.connect_s,
            method="GET",
            follow=True,
        )
        size = read_facts(answer.status, answer.headers).size
        if not size:
            message = f"{mirror.name} does not say how long {file.path!a} is"
            raise MirrorMisbehaved(message, mirror=mirror.name, file=file.path)
        return size

    def _api(self) -> ModelScopeApi:
        """Asked with the patience that bytes get: there is nobody else to ask."""
        connect_s = min(self.settings.connect_s, self.settings.answer_s)
        return ModelScopeApi(self.client, self.settings.modelscope, self.settings.answer_s, connect_s)


def _check_host(reference: Reference, mirror: Mirror) -> None:
    """modelscope.cn and modelscope.ai have a catalogue each; an endpoint of the user's own stands for whatever it says.

    Raises:
        ReferenceInvalid: the pasted page is of one, and the other would be asked.
    """
    asked, pasted = other_hub(mirror.url), other_hub(reference.text.strip())
    if asked is not None and pasted is not None and pasted.host != asked.host:
        raise ReferenceInvalid(
            f"{reference.text} is a page of {pasted.host}, and {mirror.name} is the server of ms: names",
            hint=f"set MODELSCOPE_ENDPOINT={pasted.url} for this command",
        )


def _file(listed: Listed, catalogue: Catalogue) -> RemoteFile:
    if not listed.sha256:
        name = catalogue.mirror.name
        raise PolicyRefused(
            f"{name} names no digest of {listed.path!a}, so what it sends would be unverifiable",
            hint="its listing may be in the making: try again later",
            mirror=name,
            file=listed.path,
        )
    return RemoteFile(listed.path, listed.size, Digest(DigestAlgorithm.SHA256, listed.sha256))


def _cut_off(reference: Reference, mirror: Mirror) -> PolicyRefused:
    full = f"a folder of it has {CAP_ENTRIES} entries or more"
    return PolicyRefused(
        f"{mirror.name} lists only a part of {reference.repo_id}: {full}",
        hint="a copy with files missing would look complete, so none is made",
        mirror=mirror.name,
    )


def _plain_http(url: str) -> Notice:
    message = f"{url} is plain HTTP: what it says is not authenticated, and no token goes there"
    return Notice("origin-plain-http", message)
