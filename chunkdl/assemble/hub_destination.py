"""The Hugging Face cache as a destination: blobs by digest, shown as links in a snapshot folder."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.assemble.cached import CachedSnapshot, cached_snapshot
from chunkdl.assemble.destination import ContentPaths
from chunkdl.assemble.inventory import take_inventory
from chunkdl.assemble.place import place_snapshot, placement_notices, prepare, reuse_blob
from chunkdl.assemble.snapshot import ref_of
from chunkdl.assemble.staging import sweep
from chunkdl.at_work import at_work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chunkdl.assemble.layout import HubCache, RepoFolder
    from chunkdl.core.planner import Inventory, PlannedContent
    from chunkdl.model import Artifact, RemoteFile, Verified


@dataclass(slots=True)
class HubDestination:
    """One repository's folder in a cache, for one reference of one run. Methods as ``Destination`` describes them."""

    cache: HubCache
    repo: RepoFolder
    use_symlinks: bool
    _ref_before: str | None = field(default=None, init=False)

    @property
    def root(self) -> Path:
        """The cache's root."""
        return self.cache.root

    def inventory(self, commit: str, chosen: Sequence[RemoteFile]) -> Inventory:
        """Blobs, part files, the same digests in other repositories."""
        with at_work(self.repo.path):
            return take_inventory(self.cache, self.repo, chosen, commit)

    def prepare(self) -> None:
        """An empty ``snapshots/`` first."""
        prepare(self.cache, self.repo)

    def paths_of(self, content: PlannedContent) -> ContentPaths:
        """All of them in ``blobs/``, and the hub's lock of the blob."""
        repo, digest = self.repo, content.digest
        return ContentPaths(
            repo.blob(digest), repo.part(digest), repo.journal(digest), repo.owner(digest), (repo.lock(digest),)
        )

    def holds(self, content: PlannedContent) -> bool:
        """By name and size of the blob, as the hub's own client judges."""
        return is_file_of(self.repo.blob(content.digest), content.size)

    def reuse(self, source: Path, content: PlannedContent) -> Verified | None:
        """A hard link where that works: nobody edits blobs."""
        return reuse_blob(source, content.digest, content.size, self.repo.blob(content.digest))

    def place(self, artifact: Artifact, chosen: Sequence[RemoteFile]) -> Path:
        """The snapshot folder, then the ref; then what killed processes left half made goes."""
        self._ref_before = ref_of(self.repo, artifact)
        folder = place_snapshot(self.repo, artifact, chosen, write_ref=True, use_symlinks=self.use_symlinks)
        sweep(self.repo.blobs)
        return folder

    def notices(self, artifact: Artifact) -> tuple[str, ...]:
        """About the tree and the ref."""
        return placement_notices(self.repo, artifact, self._ref_before)

    def cached(self, revision: str | None) -> CachedSnapshot | None:
        """Ref to commit to snapshot."""
        return cached_snapshot(self.repo, revision)


def is_file_of(path: Path, size: int) -> bool:
    """True if ``path`` is, or leads to, a regular file of ``size`` bytes."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size
