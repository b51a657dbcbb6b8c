"""The hub's metadata protocol: which commit a revision is, and what lies in a commit.

Speaks to one mirror (the origin is one) and believes what ``answers`` lets pass. Deliberately does not decide
whether that mirror is an authority.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from chunkdl.core.paths import check_paths
from chunkdl.errors import MirrorMisbehaved
from chunkdl.identify.answers import RepoInfo, next_query, parse_info, parse_siblings, parse_tree_page
from chunkdl.identify.file_by_file import FileByFile
from chunkdl.identify.refusals import disabled, names_the_missing, refusal
from chunkdl.identify.sources import encode_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkdl.model import Mirror, Reference, RemoteFile

# 1000 entries a page: a quarter of a million files, more than the hub recommends for any repository (100 000).
MAX_PAGES = 256
# All pages together: some 250 bytes an entry. What security asks of a metadata body.
MAX_LISTING_BYTES = 64 << 20
# Model info of the largest repositories (all siblings named) stays below; also a whole small file.
MAX_INFO_BYTES = 16 << 20
_OK = 200
# Hubs without a tree API (older caches, a lab's own server) answer so; one that has a tree says what is missing.
_NO_SUCH_API = frozenset({404, 405, 501})


class MetadataAnswer(Protocol):
    """What ``HttpClient.get_metadata`` returns; header names are looked up in lower case."""

    @property
    def status(self) -> int: ...  # noqa: D102

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102

    @property
    def body(self) -> bytes: ...  # noqa: D102

    @property
    def url(self) -> str: ...  # noqa: D102


class MetadataClient(Protocol):
    """The part of ``HttpClient`` that identification needs."""

    async def get_metadata(
        self, url: str, *, mirror: Mirror, timeout_s: float, connect_s: float | None = None, max_bytes: int = ...
    ) -> MetadataAnswer:
        """GET ``url``, following only what ``mirror`` may redirect to; TransportError if nothing comes."""
        ...

    async def ask_headers(  # noqa: D102  # see HttpClient
        self, url: str, *, mirror: Mirror, timeout_s: float, connect_s: float | None, method: str, follow: bool
    ) -> MetadataAnswer: ...


@dataclass(frozen=True, slots=True)
class HubApi:
    """One hub's metadata.

    Args:
        client: who makes the requests.
        mirror: which hub; its own token goes along, to its own origin only.
        answer_s: bound of each single answer.
        connect_s: bound of each connection, None for the client's own.
        on_page: called after every page of a listing, so that a watchdog sees progress.
    """

    client: MetadataClient
    mirror: Mirror
    answer_s: float
    connect_s: float | None = None
    on_page: Callable[[], None] = lambda: None

    async def resolve(self, reference: Reference) -> RepoInfo:
        """Canonical id, commit and state of a revision.

        Raises:
            ArtifactNotFound, AccessDenied: the hub's final word.
            TransportError: no answer, or none that can be used.
        """
        api = f"{self.mirror.url}/api/{reference.repo_type.plural}/{encode_path(reference.repo_id)}"
        answer = await self._get(f"{api}/revision/{quote(reference.revision or 'main', safe='')}", MAX_INFO_BYTES)
        self._check_status(answer, reference)
        info = replace(parse_info(answer.body, reference.repo_id, self.mirror), answered_by=answer.url)
        if reference.pinned and info.commit != reference.revision:
            raise MirrorMisbehaved(f"{self.mirror.name} answers another commit than asked", mirror=self.mirror.name)
        if info.disabled:
            raise disabled(reference, self.mirror)
        return info

    async def listing(self, reference: Reference, canonical_id: str, commit: str) -> tuple[RemoteFile, ...]:
        """Every file of ``commit``, in the hub's order.

        Raises as ``resolve``; also PlacementRefused for a hostile path or one that stands twice, and
        PolicyRefused for a hub that has no tree and names no digest of some file.
        """
        tree = f"{self.mirror.url}/api/{reference.repo_type.plural}/{encode_path(canonical_id)}/tree/{commit}"
        query: str | None = "recursive=true&expand=false"
        files: list[RemoteFile] = []
        seen: set[str] = set()
        left_bytes = MAX_LISTING_BYTES
        while query is not None:
            self._check_page(query, seen)
            answer = await self._get(f"{tree}?{query}", left_bytes)
            if len(seen) == 1 and _lacks_tree(answer):
                return await self._named_files(reference, canonical_id, commit)
            self._check_status(answer, reference)
            left_bytes -= len(answer.body)
            files += parse_tree_page(answer.body, self.mirror)
            self.on_page()
            query = next_query(answer.headers, self.mirror)
        check_paths(each.path for each in files)
        return tuple(files)

    async def check_access(self, reference: Reference, info: RepoInfo, files: tuple[RemoteFile, ...]) -> None:
        """Ask for the smallest plain file of a gated repository, if it has one.

        Raises:
            AccessDenied: the hub shows the listing but not the content.
        """
        plain = [each for each in files if each.pointer_oid is None and each.size <= MAX_INFO_BYTES]
        if not plain:
            return
        path = min(plain, key=lambda each: each.size).path
        repo = f"{self.mirror.url}/{reference.repo_type.url_prefix}{encode_path(info.canonical_id)}"
        answer = await self._get(f"{repo}/resolve/{info.commit}/{encode_path(path)}", MAX_INFO_BYTES)
        self._check_status(answer, reference)

    async def _named_files(self, reference: Reference, canonical_id: str, commit: str) -> tuple[RemoteFile, ...]:
        """The listing of a hub without a tree: names from model info, the rest from there or from each file."""
        repo = encode_path(canonical_id)
        api = f"{self.mirror.url}/api/{reference.repo_type.plural}/{repo}/revision/{commit}"
        answer = await self._get(f"{api}?blobs=true", MAX_LISTING_BYTES)
        self._check_status(answer, reference)
        named = parse_siblings(answer.body, commit, self.mirror)
        check_paths(path for path, _ in named)
        self.on_page()
        folder = f"{self.mirror.url}/{reference.repo_type.url_prefix}{repo}/resolve/{commit}"
        asking = FileByFile(
            self.client, self.mirror, reference, folder, commit, self.answer_s, self.connect_s, self.on_page
        )
        asked = await asking.describe([path for path, file in named if file is None])
        return tuple(file or asked[path] for path, file in named)

    async def _get(self, url: str, max_bytes: int) -> MetadataAnswer:
        return await self.client.get_metadata(
            url, mirror=self.mirror, timeout_s=self.answer_s, connect_s=self.connect_s, max_bytes=max(max_bytes, 1)
        )

    def _check_status(self, answer: MetadataAnswer, reference: Reference) -> None:
        if answer.status != _OK:
            raise refusal(answer.status, answer.headers, reference, self.mirror)

    def _check_page(self, query: str, seen: set[str]) -> None:
        if query in seen or len(seen) >= MAX_PAGES:
            raise MirrorMisbehaved(f"{self.mirror.name} sends a listing without an end", mirror=self.mirror.name)
        seen.add(query)


def _lacks_tree(answer: MetadataAnswer) -> bool:
    return answer.status in _NO_SUCH_API and not names_the_missing(answer.headers)
