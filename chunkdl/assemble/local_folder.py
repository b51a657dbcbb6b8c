"""Where everything lies in a folder of the user's (``--local-dir``): pure arithmetic on paths.

The names below ``.cache/huggingface/`` are huggingface_hub 2.4's (``_local_folder.py``), plus our
files in its ``download/``, keyed by digest so that a republished file is never mixed with the old
one. No name of ours ends as one of the hub's does (``.metadata``, ``.lock``, ``.incomplete``).

Invariant: no path made here leaves the folder, and no repository path reaches the bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.assemble.layout import JOURNAL_SUFFIX, OWNER_SUFFIX, PART_SUFFIX, checked_commit, inside
from chunkdl.errors import PlacementRefused

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.model import Digest

# Complete and proven, waiting for the other contents of its plan.
PROVEN_SUFFIX = ".chunkdl-proven"
METADATA_SUFFIX = ".metadata"

_RECORDS = (".cache", "huggingface")


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder that shows one repository's files under their own names.

    ``doubted`` are states of files that are not what their records say: path, inode, time of the last change in ns.
    """

    root: Path
    doubted: frozenset[tuple[str, int, int]] = frozenset()

    @property
    def records(self) -> Path:
        """What the hub's client and we know about the files."""
        return self.root.joinpath(*_RECORDS)

    @property
    def downloads(self) -> Path:
        """One record a file, and everything in transfer."""
        return self.records / "download"

    @property
    def download_parts(self) -> tuple[str, ...]:
        """The way from the root to ``downloads``."""
        return (*_RECORDS, "download")

    @property
    def tree_parts(self) -> tuple[str, ...]:
        """The way from the root to the folder of ``tree``."""
        return (*_RECORDS, "trees")

    @property
    def ignore_file(self) -> Path:
        """Keeps the bookkeeping out of the user's own version control."""
        return self.records / ".gitignore"

    @property
    def tag(self) -> Path:
        """The file that tells backup programs to pass by."""
        return self.records / "CACHEDIR.TAG"

    def file(self, path: str) -> Path:
        """The file of a repository path.

        Raises:
            PlacementRefused: a hostile path, or one that would forge the bookkeeping.
        """
        found = inside(self.root, path)
        # Compared without case, for file systems that are blind to it.
        if [part.casefold() for part in path.split("/")[: len(_RECORDS)]] == list(_RECORDS):
            folder = "/".join(_RECORDS)
            raise PlacementRefused(
                f"refused the path {path!a}: in a local folder {folder}/ belongs to the bookkeeping",
                hint=f"leave it out with --exclude '{folder}/*'",
                file=path,
            )
        return found

    def metadata(self, path: str) -> Path:
        """The hub's record of a file.

        Raises:
            PlacementRefused: a hostile path.
        """
        return inside(self.downloads, path + METADATA_SUFFIX)

    def lock(self, path: str) -> Path:
        """The hub's lock on a file and its record.

        Raises:
            PlacementRefused: a hostile path.
        """
        return inside(self.downloads, f"{path}.lock")

    def tree(self, commit: str) -> Path:
        """The hub's listing of a commit.

        Raises:
            PlacementRefused: ``commit`` is not 40 lower-case hex digits.
        """
        return self.root.joinpath(*self.tree_parts) / f"{checked_commit(commit)}.json"

    def blob(self, digest: Digest) -> Path:
        """A proven content that is not shown yet."""
        return self.downloads / f"{digest.hex}{PROVEN_SUFFIX}"

    def part(self, digest: Digest) -> Path:
        """A content in transfer."""
        return self.downloads / f"{digest.hex}{PART_SUFFIX}"

    def journal(self, digest: Digest) -> Path:
        """What the part file is known to hold."""
        return self.downloads / f"{digest.hex}{JOURNAL_SUFFIX}"

    def owner(self, digest: Digest) -> Path:
        """Which process may write the part file."""
        return self.downloads / f"{digest.hex}{OWNER_SUFFIX}"
