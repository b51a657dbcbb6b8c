"""What a server with names and revisions of its own may give of an artifact: files that are the same by digest.

Decides by sha256 and size, never by a name. A file that the artifact knows by git's sha1 alone cannot be compared
with a listing of sha256: it is not asked for there. Pure: an artifact and a catalogue in, a comparison out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.identify.modelscope import Route, file_url
from chunkdl.identify.modelscope_answers import day_of
from chunkdl.identify.sources import MirrorCoverage
from chunkdl.model import DigestAlgorithm
from chunkdl.observe import Notice
from chunkdl.spelling import spell_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chunkdl.identify.catalogue import Catalogue
    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Artifact, RemoteFile


@dataclass(frozen=True, slots=True)
class Comparison:
    """An artifact beside a catalogue: path in the artifact → the same content there, and how many are not.

    ``different``: there is such a path with other content. ``untold``: known by git's sha1 alone.
    """

    catalogue: Catalogue
    identical: Mapping[str, Listed]
    different: int
    absent: int
    untold: int
    identical_bytes: int

    @property
    def total(self) -> int:
        """Files that could be compared."""
        return len(self.identical) + self.different + self.absent

    @property
    def largest(self) -> Listed | None:
        """Of the identical ones."""
        return max(self.identical.values(), key=lambda each: each.size, default=None)

    def in_words(self) -> str:
        """One line for people: where, how many, and from when."""
        day = day_of(self.catalogue.committed_at)
        where = f"{self.catalogue.repo_id}@{self.catalogue.revision}" + (f" of {day}" if day else "")
        counts = f"{len(self.identical)} of {spell_count(self.total, 'file')} identical by sha256"
        more = f"; {self.untold} not comparable" if self.untold else ""
        return f"has {where}: {counts}, {self.different} different, {self.absent} absent{more}"


def comparable(files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Those that a listing of sha256 can speak for; empty ones are made, not fetched."""
    return tuple(each for each in files if each.size and each.digest.algorithm is DigestAlgorithm.SHA256)


def compare_contents(artifact: Artifact, catalogue: Catalogue) -> Comparison:
    """Compare file by file."""
    by_content = {(each.sha256, each.size): each for each in reversed(catalogue.files) if each.sha256}
    paths = {each.path for each in catalogue.files}
    files = comparable(artifact.files)
    found = {each.path: by_content.get((each.digest.hex, each.size)) for each in files}
    identical = {path: there for path, there in found.items() if there is not None}
    others = [each.path for each in files if each.path not in identical]
    different = sum(path in paths for path in others)
    return Comparison(
        catalogue,
        identical,
        different,
        len(others) - different,
        sum(bool(each.size) for each in artifact.files) - len(files),
        sum(each.size for each in files if each.path in identical),
    )


def coverage_of(comparison: Comparison, route: Route) -> MirrorCoverage:
    """What may be asked there, and what a person should know if that is not all that could be."""
    mirror = comparison.catalogue.mirror
    urls = {path: file_url(comparison.catalogue, there.path, route) for path, there in comparison.identical.items()}
    words = comparison.in_words()
    notice = Notice("copy-differs", f"{mirror.name} {words}") if comparison.different else None
    return MirrorCoverage(mirror, has_commit=False, lag=words, urls=urls, notice=notice)
