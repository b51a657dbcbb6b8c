"""A folder of the user's as a destination: real files under their own names, the hub's records beside them.

Contents come from the network or are copied from the hub's cache, never linked to it: the user may
edit what is here. A file that is here already and proves right is adopted where it stands.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.destination import ContentPaths
from chunkdl.assemble.digests import hash_file
from chunkdl.assemble.folders import make_folders
from chunkdl.assemble.hub_destination import is_file_of
from chunkdl.assemble.local_cached import cached_folder
from chunkdl.assemble.local_inventory import take_folder_inventory
from chunkdl.assemble.local_place import Adopted, FolderPlacer
from chunkdl.assemble.local_record import doubted, look, regular
from chunkdl.assemble.place import CACHEDIR_TAG, reuse_blob
from chunkdl.assemble.snapshot import count_absent, moved_by_lock, record_tree, ref_of, write_ref_of
from chunkdl.assemble.staging import put_file, sweep
from chunkdl.assemble.weight_maps import check_weight_maps
from chunkdl.at_work import at_work
from chunkdl.disk import store_errors
from chunkdl.errors import StoreError
from chunkdl.model import RemoteFile
from chunkdl.second_name import copy_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.assemble.layout import HubCache, RepoFolder
    from chunkdl.assemble.local_folder import LocalFolder
    from chunkdl.core.planner import Inventory, PlannedContent
    from chunkdl.model import Artifact, Digest, Verified

# Byte for byte what huggingface_hub 2.4 writes: everything below is not the user's to commit.
_IGNORE_ALL = b"*"


class FolderDestination:
    """One local folder, for one reference of one run. Methods as ``Destination`` describes them."""

    def __init__(
        self,
        folder: LocalFolder,
        cache: HubCache,
        repo: RepoFolder,
        clock: Callable[[], float] = time.time,
        *,
        of_cache: bool = True,
    ) -> None:
        """``cache`` and ``repo`` are copied from and get the ref; ``clock`` stamps records.

        ``of_cache`` False is a repository of another hub: it takes from the cache what has the same digest, and
        writes neither ref nor tree, which would be the Hugging Face hub's word on a commit that it does not have.
        """
        self._of_cache = of_cache
        self._folder = folder
        self._cache = cache
        self._repo = repo
        self._clock = clock
        self._adopted: dict[str, Adopted] = {}
        self._ref_before: str | None = None
        self._wrong: frozenset[Digest] = frozenset()

    @property
    def root(self) -> Path:
        """The user's folder."""
        return self._folder.root

    def doubting(self, wrong: Collection[Digest]) -> FolderDestination:
        """This one, from now on without belief in records of these digests, for the files as they stand now."""
        self._wrong = frozenset(wrong)
        return self

    def inventory(self, commit: str, chosen: Sequence[RemoteFile]) -> Inventory:  # noqa: ARG002  records name digests
        """Records, part files, files that may be adopted, the hub's cache."""
        with at_work(self._folder.root):
            if self._wrong:
                self._folder = doubted(self._folder, [each for each in chosen if each.digest in self._wrong])
            return take_folder_inventory(self._folder, self._cache, self._repo, chosen)

    def prepare(self) -> None:
        """The bookkeeping's folders, hidden from version control and backups as the hub does."""
        folder = self._folder
        with store_errors(folder.root):
            folder.root.mkdir(parents=True, exist_ok=True)
            make_folders(folder.root, folder.download_parts)
            for path, data in ((folder.ignore_file, _IGNORE_ALL), (folder.tag, CACHEDIR_TAG)):
                if not path.exists():
                    put_file(path, data, stage_in=folder.downloads)

    def paths_of(self, content: PlannedContent) -> ContentPaths:
        """Ours by digest, in the hub's ``download/``; the hub locks a file by its path."""
        folder, digest = self._folder, content.digest
        locks = tuple(folder.lock(path) for path in content.paths)
        return ContentPaths(
            folder.blob(digest), folder.part(digest), folder.journal(digest), folder.owner(digest), locks
        )

    def holds(self, content: PlannedContent) -> bool:
        """Proven and waiting, or shown already."""
        if is_file_of(self._folder.blob(content.digest), content.size):
            return True
        return all(look(self._folder, each.path).is_known_as(each) for each in _files(content))

    def reuse(self, source: Path, content: PlannedContent) -> Verified | None:
        """A file of this folder is adopted where it stands, any other copied."""
        if source in map(self._folder.file, content.paths):
            return self._adopt(content)
        blob = self._folder.blob(content.digest)
        return reuse_blob(source, content.digest, content.size, blob, take=copy_file)

    def _adopt(self, content: PlannedContent) -> Verified | None:
        """Hash every file that may be the content, for each can only speak for itself."""
        proofs = [self._prove(each) for each in _files(content) if look(self._folder, each.path).may_be(each)]
        return next((proof for proof in proofs if proof is not None), None)

    def _prove(self, file: RemoteFile) -> Verified | None:
        path = self._folder.file(file.path)
        before = regular(path)
        try:
            proof = hash_file(path, file.digest, file.size)
        except StoreError:  # gone or unreadable: then it is fetched
            return None
        if proof is None or before is None:
            return None
        adopted = Adopted(proof, before)
        if not adopted.is_still(path):
            return None
        self._adopted[file.path] = adopted
        return proof

    def place(self, artifact: Artifact, chosen: Sequence[RemoteFile]) -> Path:
        """The files, then the tree if nothing of the commit is missing, then the ref; then old litter goes."""
        check_weight_maps(chosen, self._found)
        FolderPlacer(self._folder, artifact.commit, self._adopted, self._clock).place(chosen)
        folder = self._folder
        if self._of_cache:
            self._record(artifact)
        sweep(folder.downloads)
        return folder.root

    def _record(self, artifact: Artifact) -> None:
        """The hub's own records, as far as they may be written."""
        folder = self._folder
        with suppress(OSError):  # spares later requests, nothing else: as in a cache
            record_tree(folder.tree(artifact.commit), artifact, self._shown, stage_in=folder.downloads)
        # The hub's client writes the ref in any case. Measured: one that names a commit which the cache does not
        # hold makes its scanner call the whole repository corrupt, and offline loads of an older commit fail.
        if self._repo.snapshot(artifact.commit).is_dir():
            self._ref_before = ref_of(self._repo, artifact)
            with suppress(OSError):
                write_ref_of(self._repo, artifact)

    def notices(self, artifact: Artifact) -> tuple[str, ...]:
        """About a listing of the hub's client that the folder does not fulfil, and the cache's ref."""
        moved = moved_by_lock(self._repo, artifact, self._ref_before)
        absent = count_absent(artifact, self._shown)
        if not absent or not self._folder.tree(artifact.commit).exists():
            return moved
        told = (
            f"huggingface_hub's listing of this commit is in the folder, but {absent} of its files are not: offline, "
            "its snapshot_download without patterns will fail; --format all fetches the rest"
        )
        return (told, *moved)

    def cached(self, revision: str | None) -> CachedSnapshot | None:
        """By the records in the folder."""
        return cached_folder(self._folder, revision)

    def _found(self, file: RemoteFile) -> Path:
        """Where its proven content lies: not shown yet, or adopted."""
        blob = self._folder.blob(file.digest)
        return blob if blob.exists() else self._folder.file(file.path)

    def _shown(self, path: str) -> Path:
        # Not ``file``: a listing may well hold what we refuse to write, and then is not complete here.
        return self._folder.root.joinpath(*path.split("/"))


def _files(content: PlannedContent) -> list[RemoteFile]:
    return [RemoteFile(path, content.size, content.digest) for path in content.paths]
