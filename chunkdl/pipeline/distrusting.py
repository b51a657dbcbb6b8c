"""A destination some of whose contents were found to be wrong: they come again although something stands there.

Decides that a distrusted content is not here, whatever its name and size say, until its file is another one.
What is wrong stays where it is until the right content takes its place in one rename: who reads it meanwhile
is no worse off, and who cannot fetch it has lost nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.folder_destination import FolderDestination
from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.assemble.inventory import claimed, found_elsewhere
from chunkdl.assemble.torch_destination import TorchDestination

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.assemble.destination import ContentPaths, Destination
    from chunkdl.core.planner import Inventory, PlannedContent
    from chunkdl.model import Artifact, Digest, RemoteFile, Verified


def distrusting(inner: Destination, wrong: Collection[Digest]) -> Destination:
    """``inner`` itself if nothing is wrong."""
    if wrong and isinstance(inner, TorchDestination | FolderDestination):
        return inner.doubting(wrong)
    return Distrusting(inner, wrong) if wrong and isinstance(inner, HubDestination) else inner


class Distrusting:
    """Methods as ``Destination`` describes them."""

    def __init__(self, inner: HubDestination, wrong: Collection[Digest]) -> None:
        self._inner = inner
        self._wrong = frozenset(wrong)
        self._seen: dict[Digest, tuple[int, ...] | None] = {}

    @property
    def root(self) -> Path:
        """That of the destination."""
        return self._inner.root

    def inventory(self, commit: str, chosen: Sequence[RemoteFile]) -> Inventory:
        """What is here, but for what is wrong: another repository's file of its digest may serve, or a part of it."""
        inner = self._inner
        found = inner.inventory(commit, [each for each in chosen if each.digest not in self._wrong])
        doubted = {each.digest: each for each in chosen if each.digest in self._wrong}
        near = found_elsewhere(inner.cache, inner.repo, tuple(doubted.values()))
        others = {digest: tuple(each for each in near.get(digest, ()) if not self._is_own(each)) for digest in doubted}
        parts = {
            digest: claimed(inner.repo.part(digest), inner.repo.journal(digest), file)
            for digest, file in doubted.items()
        }
        return replace(
            found,
            elsewhere={**found.elsewhere, **{digest: paths for digest, paths in others.items() if paths}},
            partials={**found.partials, **{digest: ranges for digest, ranges in parts.items() if ranges}},
        )

    def _is_own(self, path: str) -> bool:
        """True for what stands in this very repository: it is what proved wrong."""
        return Path(path).is_relative_to(self._inner.repo.path)

    def prepare(self) -> None:
        """As ever."""
        self._inner.prepare()

    def paths_of(self, content: PlannedContent) -> ContentPaths:
        """As ever; and remembers which file it was that is wrong."""
        paths = self._inner.paths_of(content)
        self._seen.setdefault(content.digest, _mark(paths.blob))
        return paths

    def holds(self, content: PlannedContent) -> bool:
        """True once another file stands there: some process has repaired it."""
        if not self._inner.holds(content):
            return False
        if content.digest not in self._wrong:
            return True
        return _mark(self.paths_of(content).blob) != self._seen[content.digest]

    def reuse(self, source: Path, content: PlannedContent) -> Verified | None:
        """Hashed first, as ever."""
        return self._inner.reuse(source, content)

    def place(self, artifact: Artifact, chosen: Sequence[RemoteFile]) -> Path:
        """As ever."""
        return self._inner.place(artifact, chosen)

    def notices(self, artifact: Artifact) -> tuple[str, ...]:
        """As ever."""
        return self._inner.notices(artifact)

    def cached(self, revision: str | None) -> CachedSnapshot | None:
        """As ever."""
        return self._inner.cached(revision)


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
