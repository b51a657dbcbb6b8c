"""Sizes and digests where a hub names files but does not describe them: each file is asked for by itself.

Decides which requests that takes: HEAD, and a GET of the first byte where HEAD is refused or says too little.
Deliberately only for hubs without a tree of their own; what a header means stands in ``core.content_headers``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chunkdl.core.content_headers import EMPTY, ContentFacts, read_facts
from chunkdl.errors import ConnectFailed, MirrorMisbehaved, PolicyRefused, Stalled
from chunkdl.identify.answers import git_blob_sha1, pointer_text
from chunkdl.identify.refusals import names_the_missing, refusal
from chunkdl.identify.sources import encode_path
from chunkdl.model import DigestAlgorithm, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkdl.identify.huggingface import MetadataAnswer, MetadataClient
    from chunkdl.model import Mirror, Reference

# As many as huggingface_hub's threads a download; no server without a tree was seen to mind.
_AT_ONCE = 8
# What the public hub lets an anonymous client ask of its resolvers in five minutes (hub documentation, 2025).
MAX_ASKED_FILES = 3000
# All of them together: six times what a metadata phase may take, as a listing of many pages may.
_WHOLE_S = 120.0

_FORBIDDEN, _NOT_ALLOWED, _SERVER_ERROR = 403, 405, 500
_SPEAKING = frozenset({200, 206, 416})  # 416 says how long an empty content is
_MISSING = frozenset({404, 410})
_NO_FACTS = ContentFacts()


@dataclass(slots=True)
class FileByFile:
    """Asks one hub about single files of one commit.

    Args:
        client: who makes the requests.
        mirror: which hub.
        reference: what was typed, for messages.
        folder_url: what stands before a file's encoded path: ``…/resolve/<commit>``.
        commit: that every answer must come from, where it says so.
        answer_s: bound of each answer.
        connect_s: bound of each connection, None for the client's own.
        on_file: called after every file, so that a watchdog sees progress.
    """

    client: MetadataClient
    mirror: Mirror
    reference: Reference
    folder_url: str
    commit: str
    answer_s: float
    connect_s: float | None
    on_file: Callable[[], None]
    _methods: tuple[str, ...] = ("HEAD", "GET")

    async def describe(self, paths: Sequence[str]) -> dict[str, RemoteFile]:
        """Size and digest of each of ``paths``, which are checked ones.

        Raises:
            PolicyRefused: a file that no digest is known of, or more files than may be asked for.
            ArtifactNotFound, AccessDenied, TransportError: as for any metadata.
        """
        if len(paths) > MAX_ASKED_FILES:
            raise PolicyRefused(
                f"{self.mirror.name} has no tree API, and asking for {len(paths)} files one by one is too much",
                hint=f"use an origin with a tree API; at most {MAX_ASKED_FILES} files are asked for",
                mirror=self.mirror.name,
            )
        found: dict[str, RemoteFile] = {}
        waiting = iter(paths)
        try:
            async with asyncio.timeout(_WHOLE_S):
                # The first one alone: it shows whether HEAD works, and whether there are digests at all.
                await self._take(waiting, found, at_most=1)
                await self._take_together(waiting, found)
        except TimeoutError as error:
            message = f"{self.mirror.name} described {len(found)} of {len(paths)} files within {_WHOLE_S:g} s"
            raise Stalled(message, mirror=self.mirror.name) from error
        return found

    async def _take_together(self, waiting: Iterator[str], found: dict[str, RemoteFile]) -> None:
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(self._take(waiting, found), name=f"describe files on {self.mirror.name}")
        except ExceptionGroup as failures:
            failure = failures.exceptions[0]  # one file suffices to make a listing useless
        if failure is not None:
            raise failure  # by itself, outside the group, with the cause that it came with

    async def _take(self, waiting: Iterator[str], found: dict[str, RemoteFile], at_most: int = MAX_ASKED_FILES) -> None:
        for _, path in zip(range(at_most), waiting, strict=False):
            found[path] = await self._described(path)
            self.on_file()

    async def _described(self, path: str) -> RemoteFile:
        facts = said = _NO_FACTS
        for method in self._methods:
            said = await self._asked(method, path, facts)
            facts = facts.joined(said)
            if facts.complete:
                break
        if facts.digest is None and facts.size == said.size == 0:
            facts = replace(facts, digest=EMPTY)  # the last word came with a body, or rather without
        return self._file(path, facts)

    async def _asked(self, method: str, path: str, known: ContentFacts) -> ContentFacts:
        """What this method tells: on the hub's own answer, else behind its redirects."""
        try:
            answer = await self._answer(method, path, follow=False)
        except ConnectFailed:
            if method == "GET":
                raise
            answer = None  # some servers break on HEAD
        if answer is None or _refuses_head(method, answer):
            self._methods = ("GET",)
            return _NO_FACTS
        facts = self._facts(answer, path)
        if not _redirects(answer) or known.joined(facts).complete:
            return facts
        target = await self._answer(method, path, follow=True)
        return facts if _refuses_head(method, target) else facts.joined(self._facts(target, path))

    async def _answer(self, method: str, path: str, *, follow: bool) -> MetadataAnswer:
        return await self.client.ask_headers(
            f"{self.folder_url}/{encode_path(path)}",
            mirror=self.mirror,
            # A cache may fetch from its own upstream first, for which a mirror's patience may be set.
            timeout_s=max(self.answer_s, self.mirror.first_byte_s),
            connect_s=self.connect_s,
            method=method,
            follow=follow,
        )

    def _facts(self, answer: MetadataAnswer, path: str) -> ContentFacts:
        if answer.status in _MISSING and not names_the_missing(answer.headers):
            raise self._misbehaved(f"lists {path!a} but does not serve it", path)
        if answer.status not in _SPEAKING and not _redirects(answer):
            raise refusal(answer.status, answer.headers, self.reference, self.mirror)
        facts = read_facts(answer.status, answer.headers)
        if _place(answer.url) != _place(self.mirror.url):
            return ContentFacts(facts.size)  # a data host's entity tags are its own: xet's, too, have 64 digits
        if facts.commit not in {None, self.commit}:
            raise self._misbehaved(f"serves {path!a} of another commit than {self.commit}", path)
        return facts

    def _file(self, path: str, facts: ContentFacts) -> RemoteFile:
        if facts.digest is None:
            raise PolicyRefused(
                f"{self.mirror.name} names no digest of {path!a}, so what it sends would be unverifiable",
                hint="use an origin that has a tree API, or sends X-Linked-Etag; a cache may be cut off from its own",
                mirror=self.mirror.name,
                file=path,
            )
        if facts.size is None or not facts.complete:
            raise self._misbehaved(f"does not say how long {path!a} is", path)
        if facts.digest.algorithm is DigestAlgorithm.GIT_SHA1:
            return RemoteFile(path, facts.size, facts.digest)
        pointer = git_blob_sha1(pointer_text(facts.digest, facts.size))
        return RemoteFile(path, facts.size, facts.digest, pointer_oid=pointer)

    def _misbehaved(self, what: str, path: str) -> MirrorMisbehaved:
        return MirrorMisbehaved(f"{self.mirror.name} {what}", mirror=self.mirror.name, file=path)


def _refuses_head(method: str, answer: MetadataAnswer) -> bool:
    """True if GET may fare better: HEAD is forbidden or breaks, and no reason of the hub's own is given."""
    status = answer.status
    refused = status in {_FORBIDDEN, _NOT_ALLOWED} or status >= _SERVER_ERROR
    return method == "HEAD" and refused and "x-error-code" not in answer.headers


def _redirects(answer: MetadataAnswer) -> bool:
    return 300 <= answer.status < 400  # noqa: PLR2004  # RFC 9110 §15.4


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
