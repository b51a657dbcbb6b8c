"""The nouns of cache care: what one look at the disk found. Values only; nothing here touches a file.

A content is told apart by its inode: hard links and links to one blob are the same bytes and count once.
Sizes are bytes, times seconds since the epoch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.process_identity import ProcessIdentity

# The kinds of `type=`; what stands in a REF before the id, for each.
MODEL, DATASET, SPACE, KERNEL, TORCH, PARTIAL = "model", "dataset", "space", "kernel", "torch", "partial"
REPO_KINDS = {"models": MODEL, "datasets": DATASET, "spaces": SPACE, "kernels": KERNEL}
_DIGITS_SHOWN = 12
_HEX = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that takes up space. ``inode`` is (device, number); ``changed_at`` when its inode last changed."""

    path: Path
    size: int
    inode: tuple[int, int]
    accessed_at: float
    modified_at: float
    changed_at: float
    is_link: bool = False

    @property
    def touched_at(self) -> float:
        """When it came here, whichever way: a hard link keeps the old time of modification."""
        return max(self.modified_at, self.changed_at)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a snapshot: a link to ``blob`` (its first hop), or a real file (None). ``stored`` None: broken."""

    path: str
    where: Path
    blob: Path | None
    stored: Stored | None


@dataclass(frozen=True, slots=True)
class RevisionSeen:
    """One commit's folder. ``own_files`` are paths of real files that no listing knows among links."""

    commit: str
    folder: Path
    entries: tuple[Entry, ...]
    refs: tuple[str, ...]
    modified_at: float
    own_files: tuple[str, ...] = ()

    @property
    def contents(self) -> tuple[Stored, ...]:
        """What its entries show."""
        return tuple(each.stored for each in self.entries if each.stored is not None)

    @property
    def accessed_at(self) -> float:
        """When one of its files was last read, as far as the file system records that."""
        return max((each.accessed_at for each in self.contents), default=self.modified_at)


@dataclass(frozen=True, slots=True)
class PartialSeen:
    """A transfer that was begun and not ended: its files in one folder, and who says to be at it.

    Args:
        name: the digest, or whatever stands in its place.
        place: what it belongs to, as typed: ``org/name``, ``torch``.
        files: everything that bears its name, the part first if there is one.
        held_bytes: what the journal claims; None without a journal.
        total_bytes: size of the whole content, None if unknown.
        owner: ``alive``, ``dead``, ``unknown``, or empty for nobody.
    """

    name: str
    place: str
    files: tuple[Stored, ...]
    held_bytes: int | None
    total_bytes: int | None
    owner: str
    process: ProcessIdentity | None
    owner_file: Path
    modified_at: float

    @property
    def id(self) -> str:
        """As ``cache rm`` takes it: the first digits of a digest, or the whole of another name."""
        return f"partial:{self.name[:_DIGITS_SHOWN] if _HEX.fullmatch(self.name) else self.name}"

    @property
    def whose(self) -> str:
        """Who is at it, or may be: nobody can be asked on another host."""
        who = str(self.process or "somebody")
        return f"{who} is at it" if self.owner == "alive" else f"{who} may be at it, and was less than a day ago"

    @property
    def size(self) -> int:
        """What it takes on disk; parts are sparse."""
        return sum(each.size for each in self.files)


@dataclass(frozen=True, slots=True)
class RepoSeen:
    """One repository's folder in the hub's cache.

    Args:
        kind: model, dataset, space or kernel.
        blobs: finished contents in ``blobs/``.
        dangling_refs: refs whose commit has no folder, with what they say.
        strange: names in it that are neither the hub's nor ours.
        incomplete: another program's partials (``*.incomplete``).
        litter: files that one of us was about to rename, or that were set aside.
        dead_litter: those of them whose process is surely gone.
    """

    kind: str
    repo_id: str
    folder: Path
    revisions: tuple[RevisionSeen, ...]
    blobs: tuple[Stored, ...]
    partials: tuple[PartialSeen, ...] = ()
    dangling_refs: tuple[tuple[str, str], ...] = ()
    strange: tuple[str, ...] = ()
    incomplete: tuple[Stored, ...] = ()
    litter: tuple[Stored, ...] = ()
    dead_litter: frozenset[Path] = frozenset()
    trouble: str = ""

    @property
    def id(self) -> str:
        """As ``fetch`` and ``cache rm`` take it."""
        return self.repo_id if self.kind == MODEL else f"{self.kind}s/{self.repo_id}"

    @property
    def contents(self) -> tuple[Stored, ...]:
        """Blobs, and real files of snapshots."""
        shown = (each for revision in self.revisions for each in revision.contents)
        return tuple({each.inode: each for each in (*self.blobs, *shown)}.values())

    @property
    def size(self) -> int:
        """Bytes of all contents, each counted once; partials apart."""
        return total_bytes(self.contents)

    @property
    def accessed_at(self) -> float:
        """When one of its files was last read."""
        return max((each.accessed_at for each in self.contents), default=self.modified_at)

    @property
    def modified_at(self) -> float:
        """When its newest content was written."""
        return max((each.modified_at for each in self.contents), default=0.0)

    @property
    def refs(self) -> tuple[str, ...]:
        """Names of all refs that lead somewhere."""
        return tuple(sorted(ref for each in self.revisions for ref in each.refs))

    @property
    def broken(self) -> tuple[Entry, ...]:
        """Entries that lead nowhere."""
        return tuple(entry for each in self.revisions for entry in each.entries if entry.stored is None)


@dataclass(frozen=True, slots=True)
class CheckpointSeen:
    """A finished file of torch's checkpoint folder; ``prefix`` are the hex digits that its name promises, or empty."""

    name: str
    stored: Stored
    prefix: str

    @property
    def id(self) -> str:
        """As ``cache rm`` takes it."""
        return f"{TORCH}:{self.name}"


@dataclass(frozen=True, slots=True)
class CachesSeen:
    """All that one look found. ``strange`` are names in the cache's root that are nobody's we know."""

    hub: Path
    torch: Path
    repos: tuple[RepoSeen, ...] = ()
    checkpoints: tuple[CheckpointSeen, ...] = ()
    torch_partials: tuple[PartialSeen, ...] = ()
    strange: tuple[str, ...] = ()

    @property
    def partials(self) -> tuple[PartialSeen, ...]:
        """Those of every repository and of torch."""
        return (*(each for repo in self.repos for each in repo.partials), *self.torch_partials)

    @property
    def size(self) -> int:
        """Bytes of everything, partials included, each content counted once."""
        contents = (each for repo in self.repos for each in repo.contents)
        checkpoints = (each.stored for each in self.checkpoints)
        return total_bytes((*contents, *checkpoints)) + sum(each.size for each in self.partials)


def total_bytes(stored: Iterable[Stored]) -> int:
    """Bytes of files, each inode counted once."""
    return sum({each.inode: each.size for each in stored}.values())
