"""Where everything lies in the Hugging Face cache: pure arithmetic on paths, no file is touched.

The names are huggingface_hub 2.4's (``file_download.py``, ``_tree_cache.py``), plus our three files
beside a blob in transfer. Our names must not end in ``.incomplete`` (``hf cache prune`` deletes such
files without asking) and must lie in ``blobs/`` (anything foreign in the cache root makes the
scanner warn; a foreign file in ``refs/`` would be a ref).

Invariant: no path made here leaves its root, whatever the repository id, revision or file is called.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.core.paths import check_path
from chunkdl.errors import PlacementRefused
from chunkdl.model import is_commit

if TYPE_CHECKING:
    from chunkdl.model import Digest, RepoType

# Foreign to huggingface_hub's scanner and to its prune, see above.
PART_SUFFIX = ".chunkdl-part"
JOURNAL_SUFFIX = ".chunkdl-journal"
OWNER_SUFFIX = ".chunkdl-owner"


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """One repository's folder in a cache; ``name`` is ``models--org--name`` and the like."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.name

    @property
    def blobs(self) -> Path:
        """Contents by digest, and our files beside them."""
        return self.path / "blobs"

    @property
    def snapshots(self) -> Path:
        """One folder of links a commit; must exist or the scanner calls the repository corrupt."""
        return self.path / "snapshots"

    @property
    def refs(self) -> Path:
        """Branches, tags and pull requests; every file in it counts as a ref."""
        return self.path / "refs"

    def blob(self, digest: Digest) -> Path:
        """The finished content; may be a link into the shared store, so never opened for writing."""
        return self.blobs / digest.hex

    def part(self, digest: Digest) -> Path:
        """The content while it is in transfer, bytes at their final offsets."""
        return self.blobs / f"{digest.hex}{PART_SUFFIX}"

    def journal(self, digest: Digest) -> Path:
        """What the part file is known to hold."""
        return self.blobs / f"{digest.hex}{JOURNAL_SUFFIX}"

    def owner(self, digest: Digest) -> Path:
        """Which process may write the part file."""
        return self.blobs / f"{digest.hex}{OWNER_SUFFIX}"

    def lock(self, digest: Digest) -> Path:
        """huggingface_hub's own lock file for this blob."""
        return self.root / ".locks" / self.name / f"{digest.hex}.lock"

    def snapshot(self, commit: str) -> Path:
        """The folder that loaders are given.

        Raises:
            PlacementRefused: ``commit`` is not 40 lower-case hex digits.
        """
        return self.snapshots / checked_commit(commit)

    def pointer(self, commit: str, path: str) -> Path:
        """The link (or real file) of one repository path.

        Raises:
            PlacementRefused: a hostile path or commit.
        """
        return inside(self.snapshot(commit), path)

    def link_target(self, path: str, digest: Digest) -> str:
        """What the link of ``path`` says: relative, so that a cache may be moved; one ``..`` more per sub-folder."""
        climb = [os.pardir] * (len(("snapshots", "commit")) + path.count("/"))
        return str(Path(*climb, "blobs", digest.hex))

    def ref(self, revision: str) -> Path:
        """The file that names a revision's commit; slashes make sub-folders (``refs/refs/pr/1``).

        Raises:
            PlacementRefused: a hostile revision.
        """
        return inside(self.refs, revision)

    def tree(self, commit: str) -> Path:
        """huggingface_hub's listing of a commit.

        Raises:
            PlacementRefused: ``commit`` is not 40 lower-case hex digits.
        """
        return self.path / "trees" / f"{checked_commit(commit)}.json"

    def no_exist(self, commit: str, path: str) -> Path:
        """The empty file that says that the commit has no such path.

        Raises:
            PlacementRefused: a hostile path or commit.
        """
        return inside(self.path / ".no_exist" / checked_commit(commit), path)


@dataclass(frozen=True, slots=True)
class HubCache:
    """A cache root, such as ``~/.cache/huggingface/hub``."""

    root: Path

    @property
    def tag(self) -> Path:
        """The file that tells backup programs to pass by."""
        return self.root / "CACHEDIR.TAG"

    @property
    def shared_store(self) -> Path:
        """huggingface_hub's store of blobs shared by repositories (1.32+); a link into it is never written through."""
        return self.root / "blobs"

    def repo(self, repo_type: RepoType, repo_id: str) -> RepoFolder:
        """The folder of a repository, named after the id *as typed*: loaders look exactly there.

        Raises:
            PlacementRefused: an id that would not be one plain folder name.
        """
        name = "--".join([repo_type.plural, *repo_id.split("/")])
        check_path(name)
        if "\\" in name:
            raise PlacementRefused(
                f"refused the repository id {repo_id!r}: it holds a backslash", hint="ids are org/name"
            )
        return RepoFolder(self.root, name)


def checked_commit(commit: str) -> str:
    """The commit, if it can be nothing but a plain name.

    Raises:
        PlacementRefused: it is not 40 lower-case hex digits.
    """
    if not is_commit(commit):
        raise PlacementRefused(f"refused the commit {commit!r}: not 40 hex digits", hint="the hub's answer is damaged")
    return commit


def inside(folder: Path, path: str) -> Path:
    """Where a repository path lies below ``folder``.

    Raises:
        PlacementRefused: a hostile path.
    """
    check_path(path)
    joined = folder.joinpath(*path.split("/"))
    # The text was judged already; this is the second lock on the same door, after the operating system's own join.
    if not Path(os.path.normpath(joined)).is_relative_to(os.path.normpath(folder)):
        raise PlacementRefused(f"refused the path {path!r}: it leaves {folder}", hint="the listing is hostile")
    return joined
