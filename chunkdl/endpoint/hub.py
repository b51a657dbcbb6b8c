"""What a program asks of a hub, answered by the engine: listings as identified, files as fetched.

Decides when a file is fetched: as soon as somebody is about to read it, before the answer that leads to the
bytes. The stock client then finds the file in the cache that both share and copies nothing. Knows no sockets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from chunkdl.endpoint.questions import question_of
from chunkdl.endpoint.refusing import nothing_here, refusal
from chunkdl.errors import ChunkdlError
from chunkdl.identify.references import parse_reference
from chunkdl.model import AuthorityKind, is_commit
from chunkdl.observe import ignore
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.pool import How
from chunkdl.pipeline.remembering import Identity
from chunkdl.settings.called import with_token
from chunkdl.share.answers import Catalogue
from chunkdl.share.offer import DEFAULT_REVISION, OfferedCommit, OfferedRepo

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.endpoint.questions import Question
    from chunkdl.model import Artifact, RepoType
    from chunkdl.pipeline.pool import Pool
    from chunkdl.report import Report
    from chunkdl.settings import Settings
    from chunkdl.share.answers import Answer, Asked

    _Key = tuple[RepoType, str, str, str | None]  # and the token

# A branch may move while a program runs for days; within minutes its files should be of one commit.
_BRANCH_KEEPS_S = 300.0
# Listings that are kept, the latest: a program loads a handful, and one of 50,000 files takes tens of megabytes.
_MOST_KEPT = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the file that its piece is of."""

    answer: Answer
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class _Learnt:
    identity: Identity
    artifact: Artifact
    catalogue: Catalogue
    at: float


class EngineHub:
    """Answers for every repository that the settings' origin has.

    Args:
        pool: fetches.
        settings: whom to ask and where to put things; the cache of the programs that ask.
        on_failure: told of every fetch that failed, beside the answer that says so.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        on_failure: Callable[[ChunkdlError], object] = lambda _error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._on_failure = on_failure
        self._clock = clock
        self._learnt: dict[_Key, _Learnt] = {}

    async def reply(self, asked: Asked) -> Reply:
        """Answer one request; files are fetched first, which may take as long as it takes."""
        question = question_of(asked)
        if question is None:
            return Reply(nothing_here())
        try:
            return await self._reply(asked, question)
        except ChunkdlError as error:
            self._on_failure(error)
            return Reply(refusal(error))

    async def fetch(self, reference: str, options: FetchOptions) -> Report:
        """Fetch as the command line does, into the same cache; a failure is in the report."""
        return await self._pool.fetch(reference, options, self._settings, ignore)

    async def _reply(self, asked: Asked, question: Question) -> Reply:
        settings = with_token(self._settings, question.token)
        identity = self._identity(question, settings)
        artifact = (await identity.learn()).artifact
        answer = self._keep(identity, question, artifact).answer(asked)
        if answer.piece is None or not question.reads:
            return Reply(answer)
        return Reply(answer, await self._fetched(identity, question, settings))

    def _identity(self, question: Question, settings: Settings) -> Identity:
        key = _key(question, question.revision)
        learnt = self._learnt.get(key)
        if learnt is not None and self._holds(key, learnt):
            return learnt.identity
        reference = parse_reference(spell(replace(question, path=None)))
        return Identity(reference, self._pool.session.view(settings, FetchOptions(format="all"), self._pool.observer))

    def _holds(self, key: _Key, learnt: _Learnt) -> bool:
        """What a commit is stays; what a branch is may change."""
        return is_commit(key[2]) or self._clock() - learnt.at < _BRANCH_KEEPS_S

    def _keep(self, identity: Identity, question: Question, artifact: Artifact) -> Catalogue:
        """Under what was asked and under its commit: clients ask for the branch once, then for the commit."""
        key = _key(question, question.revision)
        kept = self._learnt.get(key)
        same = kept is not None and kept.identity is identity
        if kept is not None and same and kept.artifact is artifact:
            return kept.catalogue
        at = kept.at if kept is not None and same else self._clock()
        learnt = _Learnt(identity, artifact, catalogue_of(artifact, question), at)
        new = dict.fromkeys((key, _key(question, artifact.commit)), learnt)
        others = [each for each in self._learnt.items() if each[0] not in new and self._holds(*each)]
        self._learnt = {**dict(others[-_MOST_KEPT:]), **new}
        return learnt.catalogue

    async def _fetched(self, identity: Identity, question: Question, settings: Settings) -> Path:
        text = spell(question)
        asker = identity.asker(parse_reference(text))
        report = await self._pool.fetch(text, FetchOptions(format="all"), settings, ignore, How(asker))
        result = report.results[0]
        if result.cause is not None:
            raise result.cause
        assert result.path is not None
        return Path(result.path)


def catalogue_of(artifact: Artifact, question: Question) -> Catalogue:
    """The artifact as an offer, under the name and the revision by which it was asked for.

    A listing that only mirrors vouch for is not offered as complete: nobody may conclude from it what is missing.
    """
    whole = artifact.authority.kind is not AuthorityKind.MIRRORS
    commit = OfferedCommit(artifact.commit, artifact.files, complete=whole)
    repo = OfferedRepo(
        question.repo_type,
        artifact.canonical_id,
        (question.repo_id,),
        MappingProxyType({question.revision or DEFAULT_REVISION: artifact.commit}),
        MappingProxyType({artifact.commit: commit}),
    )
    return Catalogue([repo])


def spell(question: Question) -> str:
    """The question as a reference."""
    revision = question.revision or DEFAULT_REVISION
    at = revision if revision.startswith("refs/") else quote(revision, safe="")
    path = f"/{question.path}" if question.path else ""
    return f"hf://{question.repo_type.url_prefix}{question.repo_id}@{at}{path}"


def _key(question: Question, revision: str | None) -> _Key:
    """A token opens what it opens: what was learnt with one is nobody else's."""
    return question.repo_type, question.repo_id, revision or DEFAULT_REVISION, question.token
