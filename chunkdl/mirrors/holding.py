"""What a mirror holds of an artifact: the commit or another one, which files are the same, how far behind it is.

Decides by digests and sizes; dates only say how old a difference is. Pure: a mirror's own story and the artifact
in, a comparison with its words out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from chunkdl.identify.modelscope_answers import day_of
from chunkdl.identify.vouching import compare, short
from chunkdl.spelling import spell_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.identify.by_content import Comparison
    from chunkdl.identify.sources import MirrorCoverage
    from chunkdl.identify.vouching import Candidate
    from chunkdl.model import Artifact, RemoteFile

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Holding:
    """One mirror and one repository.

    Args:
        reference: as it was typed.
        has_repo: None if that is not known.
        heard: somebody answered, whatever it was.
        commit: what its revision is; None if not known.
        same_commit: that is the artifact's.
        has_commit: it lists the artifact's commit, be it that its branch is elsewhere by now, and with whichever files.
        last_modified: of its revision, as it says.
        identical, different, absent: files of the artifact in its revision, by digest and size.
        share: of the artifact's bytes, those that it proved to hold.
        coverage: what may be asked from it; None for nothing.
        story: its own listing, None if it told none.
        note: why something is not known, or empty.
    """

    reference: str
    has_repo: bool | None = None
    heard: bool = False
    commit: str | None = None
    same_commit: bool = False
    has_commit: bool = False
    last_modified: str = ""
    identical: int = 0
    different: int = 0
    absent: int = 0
    share: float = 0.0
    coverage: MirrorCoverage | None = None
    story: Candidate | None = None
    note: str = ""


def held(artifact: Artifact, story: Candidate, behind: Candidate | None = None) -> Holding:
    """Compare a mirror's story of the reference with the artifact.

    ``behind`` is its story of the artifact's commit, where its revision is elsewhere by now.
    """
    listed = {each.path: each for each in story.files}
    counts = _counts(artifact, listed)
    coverage = compare(behind or story, artifact)
    return Holding(
        artifact.reference.text,
        has_repo=True,
        heard=True,
        commit=story.info.commit,
        same_commit=story.info.commit == artifact.commit,
        has_commit=coverage.has_commit,
        last_modified=story.info.last_modified,
        identical=counts["identical"],
        different=counts["different"],
        absent=counts["absent"],
        share=_share(artifact, coverage),
        coverage=coverage,
        story=story,
    )


def held_by_content(artifact: Artifact, comparison: Comparison | None, coverage: MirrorCoverage) -> Holding:
    """What a server with revisions of its own proved to hold; ``comparison`` None is one without the repository."""
    if comparison is None:
        return Holding(artifact.reference.text, has_repo=False, heard=True, note=coverage.lag or "")
    whole = sum(each.size for each in artifact.files)
    day = day_of(comparison.catalogue.committed_at)
    return Holding(
        artifact.reference.text,
        has_repo=True,
        heard=True,
        last_modified=f"{day}T00:00:00+00:00" if day else "",
        identical=len(comparison.identical),
        different=comparison.different,
        absent=comparison.absent,
        share=comparison.identical_bytes / whole if whole else 0.0,
        coverage=coverage,
        note=comparison.in_words(),
    )


def _counts(artifact: Artifact, listed: Mapping[str, RemoteFile]) -> dict[str, int]:
    counts = {"identical": 0, "different": 0, "absent": 0}
    for each in artifact.files:
        there = listed.get(each.path)
        same = there is not None and (there.size, there.digest) == (each.size, each.digest)
        counts["absent" if there is None else "identical" if same else "different"] += 1
    return counts


def _share(artifact: Artifact, coverage: MirrorCoverage) -> float:
    whole = sum(each.size for each in artifact.files)
    if not whole:
        return 1.0
    if coverage.has_commit:
        return 1 - sum(each.size for each in artifact.files if each.path in coverage.refused) / whole
    there = coverage.elsewhere or {}
    return sum(each.size for each in artifact.files if each.path in there) / whole


def lag_in_words(holding: Holding, authority_modified: str) -> str | None:
    """How a mirror differs, with dates and counts; None if it shows the same commit with the same files.

    ``authority_modified`` is what the authority says of its own revision, empty if unknown.
    """
    if holding.commit is None:
        by_content = holding.coverage is not None and holding.coverage.urls is not None
        return holding.note if by_content else None
    total = holding.identical + holding.different + holding.absent
    files = (
        f"{holding.identical} of {spell_count(total, 'file')} identical, "
        f"{holding.different} different, {holding.absent} absent"
    )
    if holding.same_commit:
        return f"same commit, other files: {files}" if holding.different or holding.absent else None
    when = holding.last_modified.partition("T")[0]
    there = f"its revision is {short(holding.commit)}" + (f" of {when}" if when else "")
    return f"{_behind(holding.last_modified, authority_modified)}, {there}: {files}{_commit_in_words(holding, total)}"


def _commit_in_words(holding: Holding, total: int) -> str:
    if not holding.has_commit:
        return ""
    refused = holding.coverage.refused if holding.coverage is not None else ()
    files = f" with {total - len(refused)} of {spell_count(total, 'file')} identical" if refused else ""
    return f"; the commit itself is there{files}"


def _behind(there: str, here: str) -> str:
    days = days_between(there, here)
    if days is None or abs(days) < 1:
        return "another commit" if days is None else "less than a day apart"
    return f"{spell_count(abs(round(days)), 'day')} {'behind' if days > 0 else 'ahead'}"


def days_between(earlier: str, later: str) -> float | None:
    """Days from one ``lastModified`` to another; None if either is no date."""
    try:
        return (_epoch(later) - _epoch(earlier)) / _DAY_S
    except ValueError:
        return None


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
