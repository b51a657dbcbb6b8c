"""What a person asks to be verified: repositories, revisions, folders, single files, or everything. Blocking.

Decides what a word means: a path if it looks like one or if a folder of that name bears records; else a name as
``cache ls`` prints it. A path inside the hub's cache means what it shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.caches.claiming import claims_of_checkpoints, claims_of_folder, claims_of_repo, is_local_folder, tree_of
from chunkdl.caches.seen import TORCH
from chunkdl.caches.targets import find_repo, find_revision
from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.caches.claiming import Listings
    from chunkdl.caches.proving import Claim
    from chunkdl.caches.seen import CachesSeen, RepoSeen
    from chunkdl.model import Digest

_PATH_STARTS = ("/", "./", "../", "~", ".\\", "..\\")


class Subjects:
    """Turns words into claims about what one look has found."""

    def __init__(
        self,
        seen: CachesSeen,
        listings: Listings = tree_of,
        learnt: Callable[[Path], Digest | None] = lambda _path: None,
    ) -> None:
        """``learnt`` tells the whole digest of a checkpoint, where an earlier fetch has learnt it."""
        self._seen = seen
        self._listings = listings
        self._learnt = learnt

    def claims(self, words: Sequence[str]) -> tuple[Claim, ...]:
        """What all ``words`` name, everything if there are none.

        Raises:
            ArtifactNotFound: a word names nothing that is here. UsageError: it names several things.
        """
        if not words:
            everything = (claim for repo in self._seen.repos for claim in claims_of_repo(repo, None, self._listings))
            return (*everything, *claims_of_checkpoints(self._seen.checkpoints, self._learnt))
        return tuple(claim for word in words for claim in self._of(word))

    def _of(self, word: str) -> tuple[Claim, ...]:
        if word.startswith(_PATH_STARTS) or Path(word).is_absolute() or is_local_folder(Path(word)):
            return self._of_path(Path(word).expanduser())
        scheme, colon, rest = word.partition(":")
        if colon and scheme == TORCH:
            return self._of_checkpoint(word, rest)
        name, at, revision = word.removeprefix("hf://").partition("@")
        repo = find_repo(self._seen, name)
        if repo is None and Path(word).exists():
            return self._of_path(Path(word))
        if repo is None:
            raise ArtifactNotFound(f"{word}: not in {self._seen.hub}", hint="see: chunkdl cache ls")
        chosen = [find_revision(repo, revision, word)] if at else None
        return claims_of_repo(repo, chosen, self._listings)

    def _of_checkpoint(self, word: str, name: str) -> tuple[Claim, ...]:
        found = [each for each in self._seen.checkpoints if each.name == name]
        if not found:
            raise ArtifactNotFound(f"{word}: not in {self._seen.torch}", hint="see: chunkdl cache ls type=torch")
        return claims_of_checkpoints(found, self._learnt)

    def _of_path(self, path: Path) -> tuple[Claim, ...]:
        where = Path(os.path.abspath(path))  # noqa: PTH100  # links are what is asked about
        if is_local_folder(where):
            return claims_of_folder(LocalFolder(where))
        for repo in self._seen.repos:
            if (found := self._within(repo, where)) is not None:
                return found
        if where in {self._seen.hub, self._seen.torch}:
            everything = self.claims(())
            return tuple(each for each in everything if each.file.is_relative_to(where))
        checkpoints = [each for each in self._seen.checkpoints if each.stored.path == where]
        if checkpoints:
            return claims_of_checkpoints(checkpoints, self._learnt)
        if not os.path.lexists(where):
            raise ArtifactNotFound(f"{path}: there is no such file or folder")
        hint = "a folder filled with --local-dir, a snapshot, a checkpoint, or a name of chunkdl cache ls"
        raise ArtifactNotFound(f"{path}: nothing says what it should be", hint=hint)

    def _within(self, repo: RepoSeen, where: Path) -> tuple[Claim, ...] | None:
        """Claims on what lies at ``where`` in a repository's folder; None if it lies elsewhere."""
        if not where.is_relative_to(repo.folder):
            return None
        for revision in repo.revisions:
            if where.is_relative_to(revision.folder):
                shown = {entry.path for entry in revision.entries if entry.where.is_relative_to(where)}
                found = claims_of_repo(repo, [revision], self._listings)
                return tuple(each for each in found if shown & {*each.paths})
        return tuple(
            each
            for each in claims_of_repo(repo, None, self._listings)
            if where == repo.folder or each.file.is_relative_to(where)
        )
