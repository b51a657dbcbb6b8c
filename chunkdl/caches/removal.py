"""What a removal takes away, as a value that can be shown before anything happens. Pure.

Decides which blobs go with a set of revisions: those that no remaining entry of any snapshot leads to, by
path. A blob that was never linked is somebody's unfinished work and stays unless it is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.caches.seen import total_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from chunkdl.caches.seen import CachesSeen, CheckpointSeen, PartialSeen, RepoSeen, RevisionSeen, Stored

    Place = tuple[Path, str]  # a repository's folder and a commit


@dataclass(frozen=True, slots=True)
class RepoRemoval:
    """What goes of one repository. ``whole``: nothing of the hub's or ours is to remain, its folder neither."""

    repo: RepoSeen
    revisions: tuple[RevisionSeen, ...] = ()
    blobs: tuple[Stored, ...] = ()
    partials: tuple[PartialSeen, ...] = ()
    litter: tuple[Stored, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """Everything that one command removes. ``payloads`` are of huggingface_hub's shared store, unused already."""

    repos: tuple[RepoRemoval, ...] = ()
    checkpoints: tuple[CheckpointSeen, ...] = ()
    torch_partials: tuple[PartialSeen, ...] = ()
    payloads: tuple[Stored, ...] = ()
    because: dict[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to do."""
        return not (self.repos or self.checkpoints or self.torch_partials or self.payloads)


@dataclass(slots=True)
class Draft:
    """What is to go of one repository, while it is being decided."""

    revisions: list[RevisionSeen] = field(default_factory=list)
    blobs: list[Stored] = field(default_factory=list)
    partials: list[PartialSeen] = field(default_factory=list)
    litter: list[Stored] = field(default_factory=list)
    whole: bool = False


class Links:
    """Which entries of snapshots lead to which blob, over all repositories; built once for one look."""

    def __init__(self, seen: CachesSeen) -> None:
        self._by_blob: dict[Path, set[Place]] = {}
        for repo in seen.repos:
            for revision in repo.revisions:
                for entry in revision.entries:
                    if entry.blob is not None:
                        self._by_blob.setdefault(entry.blob, set()).add((repo.folder, revision.commit))

    def lead_to(self, blob: Path, *, but_for: Collection[Place] = ()) -> bool:
        """True if some snapshot that is not in ``but_for`` shows the blob."""
        return any(each not in but_for for each in self._by_blob.get(blob, ()))


def with_blobs(links: Links, repo: RepoSeen, draft: Draft) -> RepoRemoval | None:
    """The draft with the blobs that go with its revisions; None if nothing goes at all."""
    gone = {(repo.folder, each.commit) for each in draft.revisions}
    whole = draft.whole and all((repo.folder, each.commit) in gone for each in repo.revisions)
    led_to = {entry.blob for each in draft.revisions for entry in each.entries}
    named = {each.path for each in draft.blobs}
    blobs = tuple(
        each
        for each in repo.blobs
        if (whole or each.path in led_to or each.path in named) and not links.lead_to(each.path, but_for=gone)
    )
    if not (draft.revisions or blobs or draft.partials or draft.litter or whole):
        return None
    return RepoRemoval(repo, tuple(draft.revisions), blobs, tuple(draft.partials), tuple(draft.litter), whole=whole)


def freed_bytes(seen: CachesSeen, removal: Removal) -> int:
    """What the disk gains: bytes whose last name in the caches goes; a hard link elsewhere keeps them.

    Names outside of the caches are not known here.
    """
    gone = list(_names_gone(removal))
    paths = {each.path for each in gone}
    names = (*(each for repo in seen.repos for each in names_of(repo)), *(each.stored for each in seen.checkpoints))
    kept = {each.inode for each in names if each.path not in paths}
    return total_bytes(each for each in gone if each.inode not in kept) + total_bytes(_partials_gone(removal))


def names_of(repo: RepoSeen) -> Iterable[Stored]:
    """Every name that holds bytes: blobs, and real files of snapshots."""
    yield from repo.blobs
    for revision in repo.revisions:
        yield from (each.stored for each in revision.entries if each.stored is not None and each.blob is None)


def _names_gone(removal: Removal) -> Iterable[Stored]:
    for each in removal.repos:
        yield from each.blobs
        for revision in each.revisions:
            yield from (one.stored for one in revision.entries if one.stored is not None and one.blob is None)
    yield from (each.stored for each in removal.checkpoints)
    yield from removal.payloads


def _partials_gone(removal: Removal) -> Iterable[Stored]:
    for repo in removal.repos:
        yield from (file for each in repo.partials for file in each.files)
        yield from repo.litter
    yield from (file for each in removal.torch_partials for file in each.files)
