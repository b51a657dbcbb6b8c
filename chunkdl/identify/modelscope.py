"""ModelScope's protocol: what a revision of a repository holds, and where its bytes are.

Speaks to one server. Facts: modelscope-hub 0.5.1. A listing of a model stops at 3000 entries without a word, so a
longer one is walked folder by folder; data sets have pages. Deliberately does not decide whose word counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

from chunkdl.core.content_headers import read_facts
from chunkdl.core.paths import check_paths
from chunkdl.errors import AccessDenied, ArtifactNotFound, TransportError
from chunkdl.identify.catalogue import Catalogue
from chunkdl.identify.modelscope_answers import parse_entries, parse_envelope, parse_refs
from chunkdl.identify.modelscope_refusals import is_missing, meant_status, no_repo, no_revision, refusal
from chunkdl.identify.modelscope_walk import Capped, Walk
from chunkdl.identify.sources import encode_path
from chunkdl.model import Hub, RepoType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from chunkdl.identify.huggingface import MetadataAnswer, MetadataClient
    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Mirror

DEFAULT_REVISION = Hub.MODELSCOPE.default_revision
# Above it the server says nothing (modelscope-hub ``REPO_FILES_TRUNCATION_LIMIT``); some 400 bytes an entry.
MAX_ANSWER_BYTES = 16 << 20
# Entries a page of a data set's tree: what the SDK asks for.
PAGE_ENTRIES = 200
# Pauses before a page is asked again: the server was seen to deny one listing in hundreds to those it had let in.
_PAUSES_S = (1.0, 2.0)
_OK = 200
_READABLE = frozenset({200, 206})


class Route(Enum):
    """Two ways to the same bytes: the web's honours ranges for every file, the API's for redirected ones alone."""

    WEB = "web"
    API = "api"


@dataclass(frozen=True, slots=True)
class ModelScopeApi:
    """One ModelScope server.

    Args:
        client: who makes the requests.
        mirror: which server; its own token goes along, to its own origin only.
        answer_s: bound of each single answer.
        connect_s: bound of each connection, None for the client's own.
        on_page: called after every page of a listing, so that a watchdog sees progress.
        sleep: waits between tries.
    """

    client: MetadataClient
    mirror: Mirror
    answer_s: float
    connect_s: float | None = None
    on_page: Callable[[], None] = lambda: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def catalogue(self, repo_type: RepoType, repo_id: str, revision: str) -> Catalogue:
        """Every file of a revision, as far as the server lists it.

        Raises:
            ArtifactNotFound, AccessDenied: the server's final word.
            TransportError: no answer, or none that can be used.
            PlacementRefused: a hostile path, or one that stands twice.
        """
        try:
            files, complete = await self._files(repo_type, repo_id, revision)
        except _Missing:
            raise await self._what_is_missing(repo_type, repo_id, revision) from None
        check_paths(each.path for each in files)
        return Catalogue(self.mirror, repo_type, repo_id, revision, tuple(files), complete)

    async def refs(self, repo_type: RepoType, repo_id: str) -> tuple[str, ...]:
        """Names of branches and tags; raises as ``catalogue``."""
        what = f"{repo_type.value} {repo_id}"
        try:
            return parse_refs(await self._get(f"{self._api(repo_type, repo_id)}/revisions", what), self.mirror)
        except _Missing:
            raise no_repo(what, self.mirror) from None

    async def route(self, catalogue: Catalogue, file: Listed) -> Route:
        """The better way to the bytes of a catalogue that works, tried with the first byte of ``file``."""
        if default_route(catalogue.repo_type) is Route.API:
            return Route.API
        try:
            answer = await self.client.ask_headers(
                file_url(catalogue, file.path, Route.WEB),
                mirror=self.mirror,
                timeout_s=max(self.answer_s, self.mirror.first_byte_s),
                connect_s=self.connect_s,
                method="GET",
                follow=True,
            )
        except TransportError:
            return Route.API
        usable = answer.status in _READABLE and read_facts(answer.status, answer.headers).size == file.size
        return Route.WEB if usable else Route.API

    async def _files(self, repo_type: RepoType, repo_id: str, revision: str) -> tuple[list[Listed], bool]:
        what = f"{repo_type.value} {repo_id}"
        api = self._api(repo_type, repo_id)
        asked = f"Revision={quote(revision, safe='')}"
        heard = False

        async def page(query: str) -> list[Listed]:
            nonlocal heard
            path = "repo/tree" if repo_type is RepoType.DATASET else "repo/files"
            data = await self._again(f"{api}/{path}?{asked}&{query}", what, let_in=heard)
            heard = True
            self.on_page()
            return parse_entries(data, self.mirror)

        walk = Walk(page, self.mirror)
        try:
            return await (walk.pages(PAGE_ENTRIES) if repo_type is RepoType.DATASET else walk.folders()), True
        except Capped as capped:
            return capped.files, False

    async def _again(self, url: str, what: str, *, let_in: bool) -> Any:
        """Ask; once ``let_in``, a denial or a failure of transport is asked again."""
        for pause_s in _PAUSES_S if let_in else ():
            try:
                return await self._get(url, what)
            except AccessDenied:
                pass  # asked again below
            except TransportError as error:
                if not error.retryable:
                    raise
            await self.sleep(pause_s)
        return await self._get(url, what)

    async def _get(self, url: str, what: str) -> Any:
        answer = await self.client.get_metadata(
            url, mirror=self.mirror, timeout_s=self.answer_s, connect_s=self.connect_s, max_bytes=MAX_ANSWER_BYTES
        )
        if answer.status == _OK:
            envelope = parse_envelope(answer.body, self.mirror)
            if not envelope.failed:
                return envelope.data
            status, said = meant_status(_OK, envelope), envelope.said
        else:
            status, said = answer.status, self._said(answer)
        if is_missing(status):
            raise _Missing
        raise refusal(status, answer.headers, said, what, self.mirror)

    def _said(self, answer: MetadataAnswer) -> str:
        try:
            return parse_envelope(answer.body, self.mirror).said
        except TransportError:
            return ""

    async def _what_is_missing(self, repo_type: RepoType, repo_id: str, revision: str) -> ArtifactNotFound:
        """The repository, or the revision of it: the listing's 404 does not say."""
        try:
            there = await self.refs(repo_type, repo_id)
        except ArtifactNotFound as error:
            return error
        return no_revision(f"{repo_type.value} {repo_id}", revision, there, self.mirror)

    def _api(self, repo_type: RepoType, repo_id: str) -> str:
        return f"{self.mirror.url}/api/v1/{repo_type.plural}/{encode_path(repo_id)}"


class _Missing(Exception):
    """A 404 whose meaning takes one more question."""


def default_route(repo_type: RepoType) -> Route:
    """The way to take where none was tried: the web's, but for data sets, for which it is documented nowhere."""
    return Route.WEB if repo_type is RepoType.MODEL else Route.API


def file_url(catalogue: Catalogue, path: str, route: Route) -> str:
    """Where the bytes of ``path`` are; by the revision's own name, which is what the server is known to take."""
    base, repo = catalogue.mirror.url, encode_path(catalogue.repo_id)
    kind, revision = catalogue.repo_type.plural, quote(catalogue.revision, safe="")
    if route is Route.WEB:
        return f"{base}/{kind}/{repo}/resolve/{revision}/{encode_path(path)}"
    return f"{base}/api/v1/{kind}/{repo}/repo?Revision={revision}&FilePath={quote(path, safe='')}"
