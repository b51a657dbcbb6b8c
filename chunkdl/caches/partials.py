"""Transfers that were begun and not ended, told by the names of our files in one folder.

Decides which files belong together and what is known of their owner. Reads owner files and journals, never
content. In the hub's cache a name begins with the digest; in torch's folder with a dot and the file's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chunkdl.assemble.layout import JOURNAL_SUFFIX, OWNER_SUFFIX, PART_SUFFIX
from chunkdl.assemble.local_folder import PROVEN_SUFFIX
from chunkdl.caches.looking import stored
from chunkdl.caches.seen import PartialSeen
from chunkdl.core.journal_codec import claims, decode
from chunkdl.core.ranges import RangeSet
from chunkdl.disk import NEW_SUFFIX
from chunkdl.process_identity import Life, life_of, life_of_stamped, this_process
from chunkdl.transfer.owner_record import RECORD_BYTES, decode_owner

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.caches.seen import Stored
    from chunkdl.core.journal_codec import Header
    from chunkdl.transfer.owner_record import OwnerRecord

_SUFFIXES = (PART_SUFFIX, JOURNAL_SUFFIX, OWNER_SUFFIX, PROVEN_SUFFIX)
# The right to replace an owner is the owner file's name and a number (``transfer.ownership``).
_OURS = re.compile(rf"(.+)(?:{'|'.join(map(re.escape, _SUFFIXES))})(?:\.\d+)?")
# Damaged content that nothing links, set aside by ``cache verify --repair``.
DAMAGED_SUFFIX = ".chunkdl-damaged"
# A journal of a 700 GB file is 5 MB (``transfer.journal``); what is larger than this is none of ours.
_MOST_JOURNAL_BYTES = 256 << 20


def is_ours(name: str) -> bool:
    """True for a file of a transfer."""
    return _OURS.fullmatch(name) is not None


def is_litter(name: str) -> bool:
    """True for what was about to be renamed, or was set aside."""
    return name.endswith((NEW_SUFFIX, DAMAGED_SUFFIX))


def is_dead_litter(path: Path) -> bool:
    """True if the process that was about to rename it is surely gone."""
    stamp = path.name.removesuffix(NEW_SUFFIX).rpartition(".")[2]
    return path.name.endswith(NEW_SUFFIX) and life_of_stamped(stamp) is Life.DEAD


def group(files: Iterable[Path], place: str) -> tuple[PartialSeen, ...]:
    """The transfers that ``files`` (names of ours in one folder) are left of."""
    groups: dict[str, list[Path]] = {}
    for each in sorted(files):
        if match := _OURS.fullmatch(each.name):
            groups.setdefault(match[1], []).append(each)
    found = (_partial(name, members, place) for name, members in groups.items())
    return tuple(each for each in found if each is not None)


def _partial(name: str, members: list[Path], place: str) -> PartialSeen | None:
    files = tuple(found for each in members if (found := stored(each, sparse=True)) is not None)
    if not files:
        return None  # it ended while we looked
    folder = members[0].parent
    header, held_bytes = _journal(folder / f"{name}{JOURNAL_SUFFIX}")
    owner_file = folder / f"{name}{OWNER_SUFFIX}"
    record = _record(owner_file)
    return PartialSeen(
        name.removeprefix("."),
        place,
        tuple(sorted(files, key=_part_first)),
        held_bytes,
        header.size if header is not None else None,
        _life(owner_file, record),
        record.process if record is not None else None,
        owner_file,
        max(each.modified_at for each in files),
    )


def _part_first(each: Stored) -> bool:
    return not each.path.name.endswith(PART_SUFFIX)


def _journal(path: Path) -> tuple[Header | None, int | None]:
    try:
        data = path.read_bytes() if path.stat().st_size <= _MOST_JOURNAL_BYTES else b""
    except OSError:
        return None, None
    decoded = decode(data)
    return decoded.header, RangeSet(each.range for each in claims(decoded.records)).total


def _record(path: Path) -> OwnerRecord | None:
    try:
        with path.open("rb") as file:
            return decode_owner(file.read(RECORD_BYTES))
    except OSError:
        return None


def _life(path: Path, record: OwnerRecord | None) -> str:
    if record is not None:
        return life_of(record.process, this_process()).value
    return "unknown" if path.exists() else ""
