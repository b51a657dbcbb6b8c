"""What a local folder can serve without any network, told by the records in it.

Decides which commit a folder holds: the one asked for by its 40 digits, else the one of the newest
record. A folder does not say which branch that was; like huggingface_hub, we take what is there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.cached import CachedSnapshot, digest_named
from chunkdl.assemble.listing import read_tree
from chunkdl.assemble.local_folder import METADATA_SUFFIX
from chunkdl.assemble.local_record import look
from chunkdl.errors import PlacementRefused
from chunkdl.model import RemoteFile, is_commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.assemble.local_folder import LocalFolder
    from chunkdl.assemble.local_record import Seen


def cached_folder(folder: LocalFolder, revision: str | None) -> CachedSnapshot | None:
    """What the folder holds of a revision; None if no record in it can be believed. Blocking."""
    seen = dict(_records(folder))
    stamps = {each.record.commit: each.record.timestamp for each in _by_age(seen) if each.record is not None}
    commit = revision if revision is not None and is_commit(revision) else next(reversed(stamps), None)
    if commit is None or commit not in stamps:
        return None
    listing = read_tree(folder.tree(commit))
    listed = {each.path: each for each in listing or ()}
    files, known = {}, []
    for path, each in seen.items():
        file = listed.get(path) or _as_recorded(path, each, commit)
        if file is not None and each.is_known_as(file):
            files[path] = file.size
            known.append(file)
    return CachedSnapshot(commit, folder.root, files, tuple(known), listing)


def _by_age(seen: dict[str, Seen]) -> list[Seen]:
    return sorted(seen.values(), key=lambda each: each.record.timestamp if each.record else 0.0)


def _records(folder: LocalFolder) -> Iterator[tuple[str, Seen]]:
    """Every file with a record that may be believed, in order of path."""
    records = [Path(where, name) for where, _, names in os.walk(folder.downloads) for name in names]
    paths = [each.relative_to(folder.downloads).as_posix() for each in records if each.name.endswith(METADATA_SUFFIX)]
    for path in sorted(each.removesuffix(METADATA_SUFFIX) for each in paths):
        try:
            seen = look(folder, path)
        except PlacementRefused:
            continue
        if seen.record is not None:
            yield path, seen


def _as_recorded(path: str, seen: Seen, commit: str) -> RemoteFile | None:
    if seen.record is None or seen.status is None or seen.record.commit != commit:
        return None
    digest = digest_named(seen.record.etag)
    return RemoteFile(path, seen.status.st_size, digest) if digest else None
