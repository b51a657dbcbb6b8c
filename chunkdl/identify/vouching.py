"""When no authority answers: which of the mirrors' stories is taken, and how it differs from the others.

Decides by independent voices, not by URLs, and only here; a majority is not truth, so whatever is chosen stays
unauthenticated. Pure: candidates in, an election out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.identify.fingerprints import fingerprint
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.settings.registry import operator_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from chunkdl.identify.answers import RepoInfo
    from chunkdl.identify.attestation import Attestation
    from chunkdl.model import Artifact, Mirror, RemoteFile

    Select = Callable[[tuple[RemoteFile, ...]], tuple[RemoteFile, ...]]

_SHOWN_DIGITS = 12  # of a commit, in messages: as git shows and nobody confuses


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mirror's story: a commit and everything in it."""

    mirror: Mirror
    info: RepoInfo
    files: tuple[RemoteFile, ...]

    @property
    def behind_gate(self) -> bool:
        """True if it calls the repository gated or private."""
        return self.info.gated or self.info.private

    @property
    def operator(self) -> str:
        """Whose voice it is: of the host that really answered, since mirrors redirect to one another."""
        return operator_of(self.info.answered_by or self.mirror.url)


@dataclass(frozen=True, slots=True)
class Election:
    """The story taken, everyone who tells it, how many independent voices they are, and the others.

    ``attested`` by those who know no commits and list every content of it that a sha256 names.
    """

    winner: Candidate
    vouchers: tuple[Candidate, ...]
    voices: int
    others: tuple[Candidate, ...]
    attested: tuple[Attestation, ...] = ()


def elect(candidates: Sequence[Candidate], select: Select, attestations: Sequence[Attestation] = ()) -> Election:
    """The story with most independent voices; ties go to the latest ``lastModified``, then to the order given.

    Two tell the same story if they list the same commit with the same path, size and digest for every file
    that ``select`` keeps. ``candidates`` is not empty. An attestation is one more voice for whatever it supports.
    """
    stories: dict[tuple[str, str], list[Candidate]] = {}
    for each in candidates:
        stories.setdefault((each.info.commit, fingerprint(select(each.files))), []).append(each)
    supported = {
        key: [each for each in attestations if each.supports(select(told[0].files))] for key, told in stories.items()
    }

    def weight(key: tuple[str, str]) -> tuple[int, str]:
        return _voices(stories[key], supported[key]), max(each.info.last_modified for each in stories[key])

    key = max(stories, key=weight)
    best = stories[key]
    others = tuple(each for each in candidates if each not in best)
    return Election(best[0], tuple(best), _voices(best, supported[key]), others, tuple(supported[key]))


def _voices(told: Sequence[Candidate], attested: Sequence[Attestation]) -> int:
    return len({each.operator for each in told} | {each.operator for each in attested})


def compare(candidate: Candidate, artifact: Artifact) -> MirrorCoverage:
    """What a mirror that told this story may serve of ``artifact``: the commit, or files proved by digest."""
    listed = {each.path: each for each in candidate.files}
    if candidate.info.commit == artifact.commit:
        refused = frozenset(each.path for each in artifact.files if not _same(each, listed.get(each.path)))
        lag = f"lists {len(refused)} files differently" if refused else None
        return MirrorCoverage(candidate.mirror, has_commit=True, lag=lag, refused=refused)
    when = candidate.info.last_modified.partition("T")[0]
    lag = f"has commit {short(candidate.info.commit)}" + (f" of {when}" if when else "")
    return MirrorCoverage(candidate.mirror, has_commit=False, lag=lag, elsewhere=_elsewhere(candidate, artifact))


def _same(file: RemoteFile, listed: RemoteFile | None) -> bool:
    return listed is not None and (file.size, file.digest) == (listed.size, listed.digest)


def _elsewhere(candidate: Candidate, artifact: Artifact) -> Mapping[str, tuple[str, str]]:
    by_content = {(each.digest, each.size): each.path for each in reversed(candidate.files)}
    found = {each.path: by_content.get((each.digest, each.size)) for each in artifact.files}
    return {path: (candidate.info.commit, other) for path, other in found.items() if other is not None}


def short(commit: str) -> str:
    """A commit as messages show it."""
    return commit[:_SHOWN_DIGITS]
