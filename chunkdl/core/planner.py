"""What is to be done for each content of an artifact, from what is wanted and what is already here.

Decides, per distinct digest, whether its bytes are present, reused, resumed or fetched, in which
order, and how much disk that takes. Deliberately knows no mirror, no network and no file system:
``assemble.inventory`` looks, ``transfer`` acts, and ``--dry-run`` prints exactly this value.

Invariants: every chosen path belongs to exactly one content; ``pending`` and ``claimed`` of a
content never overlap and together are the whole of it whenever it must be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from chunkdl.core.ranges import RangeSet
from chunkdl.errors import DiskFull, MirrorMisbehaved
from chunkdl.model import GIB, MIB, ByteRange, Digest, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chunkdl.core.selection import Selection
    from chunkdl.model import Artifact

# The grid of journal and blame. 8 MiB costs one journal record a second at 8 MB/s; below 1 GiB half of
# it loses less when a segment proves wrong and still leaves the tail room to be split.
_SEGMENT_BYTES = 8 * MIB
_SEGMENT_BYTES_UNDER_1_GIB = 4 * MIB

# A content of less than one segment is one request on a warm connection and never worth splitting:
# such files (configs, tokenizers) go first, so that a listing's errors show before gigabytes flow.
_SMALL_BYTES = _SEGMENT_BYTES_UNDER_1_GIB


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one look at the disk found.

    Args:
        blobs: digests whose blob is already in this repository's folder with the right size.
        elsewhere: paths of files that may hold a digest, not yet hashed, the best first.
        partials: ranges that a journal claims for a digest's part file, not yet proven.
        placed: repository paths that already stand where they are wanted with the right size.
        copies: bytes that placing a digest takes on disk beside what is fetched, where links do not do.
        free_bytes: free space of the file system, None where it cannot be believed.
    """

    blobs: frozenset[Digest] = frozenset()
    elsewhere: Mapping[Digest, tuple[str, ...]] = field(default_factory=dict)
    partials: Mapping[Digest, tuple[ByteRange, ...]] = field(default_factory=dict)
    placed: frozenset[str] = frozenset()
    copies: Mapping[Digest, int] = field(default_factory=dict)
    free_bytes: int | None = None


class Action(StrEnum):
    """What happens to one content."""

    PRESENT = "present"  # nothing to do but show it
    REUSE = "reuse"  # hash a file that is here already, then take it over
    RESUME = "resume"  # prove what the journal claims, fetch the rest
    FETCH = "fetch"
    EMPTY = "empty"  # zero bytes: made, never requested (no range of nothing exists)


@dataclass(frozen=True, slots=True)
class PlannedContent:
    """One digest, under all the paths that the repository knows it by. Sizes in bytes."""

    digest: Digest
    size: int
    paths: tuple[str, ...]
    action: Action
    pending: tuple[ByteRange, ...] = ()
    claimed: tuple[ByteRange, ...] = ()
    segment_bytes: int = _SEGMENT_BYTES_UNDER_1_GIB
    reuse_from: tuple[str, ...] = ()
    bytes_to_copy: int = 0

    @property
    def bytes_to_fetch(self) -> int:
        """What the network has to bring if every claim proves true."""
        return sum(map(len, self.pending))

    @property
    def bytes_reused(self) -> int:
        """What need not be fetched: the whole, or what the journal claims."""
        return self.size - self.bytes_to_fetch


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be done for one reference; a value that can be printed and compared.

    ``contents`` stand in order of priority. ``left_out`` is what selection dropped, ``by_rule`` says that
    its rules alone did.
    """

    artifact: Artifact
    contents: tuple[PlannedContent, ...]
    chosen: tuple[RemoteFile, ...]
    left_out: tuple[RemoteFile, ...] = ()
    notices: tuple[str, ...] = ()
    by_rule: bool = False

    @property
    def bytes_total(self) -> int:
        """Size of all distinct contents."""
        return sum(each.size for each in self.contents)

    @property
    def bytes_to_fetch(self) -> int:
        """What the network has to bring."""
        return sum(each.bytes_to_fetch for each in self.contents)

    @property
    def bytes_reused(self) -> int:
        """What is here already, in this repository, another one or part files."""
        return self.bytes_total - self.bytes_to_fetch

    @property
    def bytes_left_out(self) -> int:
        """What selection saved."""
        return sum(each.size for each in self.left_out)

    @property
    def disk_needed(self) -> int:
        """Bytes that the disk must still have room for; part files already hold their claims."""
        return self.bytes_to_fetch + sum(each.bytes_to_copy for each in self.contents)

    @property
    def executable(self) -> tuple[str, ...]:
        """Chosen paths that may run code when loaded."""
        return tuple(each.path for each in self.chosen if each.executable)


def segment_bytes(size: int) -> int:
    """Grid of a file of ``size`` bytes."""
    return _SEGMENT_BYTES_UNDER_1_GIB if size < GIB else _SEGMENT_BYTES


def make_plan(artifact: Artifact, selection: Selection, inventory: Inventory, *, force: bool = False) -> Plan:
    """Lay ``selection`` against ``inventory``; ``force`` plans as if nothing were here.

    Raises:
        MirrorMisbehaved: the listing gives one digest two sizes.
    """
    here = Inventory(free_bytes=inventory.free_bytes, copies=inventory.copies) if force else inventory
    contents = [_plan_content(files, here) for files in _by_digest(selection.chosen)]
    contents.sort(key=lambda each: each.size >= _SMALL_BYTES)  # stable: listing order within both halves
    return Plan(artifact, tuple(contents), selection.chosen, selection.left_out, selection.notices, selection.by_rule)


def check_space(needed: int, free_bytes: int | None, *, where: str = "the cache") -> None:
    """Refuse a plan that cannot fit; an implausible ``free_bytes`` (None) refuses nothing.

    Raises:
        DiskFull: with both numbers.
    """
    if free_bytes is not None and needed > free_bytes:
        raise DiskFull(
            f"{where} needs {needed} more bytes and has {free_bytes} free ({needed - free_bytes} too few)",
            hint="free some space, choose another folder, or pass --no-space-check if the number is wrong",
        )


def _by_digest(files: Iterable[RemoteFile]) -> list[list[RemoteFile]]:
    groups: dict[Digest, list[RemoteFile]] = {}
    for each in files:
        group = groups.setdefault(each.digest, [])
        group.append(each)
        if each.size != group[0].size:
            raise MirrorMisbehaved(
                f"the listing gives {each.digest} two sizes: {group[0].path} {group[0].size}, {each.path} {each.size}",
                hint="the hub's answer is damaged; try again, or another --origin",
                file=each.path,
            )
    return list(groups.values())


def _plan_content(files: list[RemoteFile], here: Inventory) -> PlannedContent:
    digest, size, paths = files[0].digest, files[0].size, tuple(each.path for each in files)
    copied = here.copies.get(digest, 0)
    if digest in here.blobs or here.placed.issuperset(paths):
        return PlannedContent(digest, size, paths, Action.PRESENT, bytes_to_copy=copied)
    if size == 0:
        return PlannedContent(digest, size, paths, Action.EMPTY)
    grid, found = segment_bytes(size), here.elsewhere.get(digest, ())
    if found:
        return PlannedContent(
            digest, size, paths, Action.REUSE, segment_bytes=grid, reuse_from=found, bytes_to_copy=copied
        )
    claims = RangeSet(here.partials.get(digest, ()))
    claimed, pending = claims.overlap(0, size), claims.gaps(0, size)
    return PlannedContent(
        digest,
        size,
        paths,
        Action.RESUME if claimed else Action.FETCH,
        pending=tuple(pending),
        claimed=tuple(claimed),
        segment_bytes=grid,
        bytes_to_copy=copied,
    )
