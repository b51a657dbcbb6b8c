"""Downloads that were begun and not ended, found by the names of their files in the cache.

Reads names, times and owner files, never content; bounded, because a cache may hold a million names.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.layout import JOURNAL_SUFFIX, OWNER_SUFFIX, PART_SUFFIX
from chunkdl.disk import NEW_SUFFIX
from chunkdl.doctor.seen import LeftoverSeen
from chunkdl.model import RepoType
from chunkdl.process_identity import life_of, this_process
from chunkdl.transfer.owner_record import RECORD_BYTES, decode_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names looked at in one cache: far more than any has, and listed within seconds.
_MOST_NAMES = 500_000
_KINDS = (PART_SUFFIX, JOURNAL_SUFFIX, OWNER_SUFFIX, NEW_SUFFIX)
_BLOCK_BYTES = 512  # the unit of st_blocks (stat(2)); a part file is sparse


def look_for_leftovers(cache: Path, now: float) -> tuple[LeftoverSeen, ...]:
    """What lies in the repositories of ``cache``; ``now`` in seconds since the epoch. Blocking; fails for nothing."""
    groups: dict[tuple[str, str], dict[str, os.DirEntry[str]]] = {}
    for folder, entry in islice(_entries(cache), _MOST_NAMES):
        kind = next((each for each in _KINDS if entry.name.endswith(each)), None)
        if kind is not None:
            groups.setdefault((folder, entry.name.removesuffix(kind).partition(".")[0]), {})[kind] = entry
    found = (_leftover(folder, digest, files, now) for (folder, digest), files in sorted(groups.items()))
    return tuple(each for each in found if each is not None)


def _entries(cache: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for repo in _scan(cache):
        if "--" in repo.name:
            for entry in _scan(Path(repo.path) / "blobs"):
                yield repo.name, entry


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, _MOST_NAMES))
    except OSError:
        return []


def _leftover(folder: str, digest: str, files: dict[str, os.DirEntry[str]], now: float) -> LeftoverSeen | None:
    try:
        stats = [each.stat(follow_symlinks=False) for each in files.values()]
    except OSError:
        return None  # it ended while we looked
    size = sum(getattr(each, "st_blocks", each.st_size // _BLOCK_BYTES) * _BLOCK_BYTES for each in stats)
    age_s = max(now - max(each.st_mtime for each in stats), 0.0)
    owner = _life(Path(files[OWNER_SUFFIX].path)) if OWNER_SUFFIX in files else ""
    return LeftoverSeen(_typed(folder), digest, age_s, size, owner, has_part=PART_SUFFIX in files)


def _typed(folder: str) -> str:
    """The reference that names a repository's folder: ``datasets--org--name`` is ``datasets/org/name``."""
    kind, *parts = folder.split("--")
    return "/".join(parts if kind == RepoType.MODEL.plural else (kind, *parts))


def _life(path: Path) -> str:
    try:
        with path.open("rb") as file:
            record = decode_owner(file.read(RECORD_BYTES))
    except OSError:
        return "unknown"
    return life_of(record.process, this_process()).value if record else "unknown"
