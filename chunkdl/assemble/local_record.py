"""What is known about one file of a local folder, by the hub's own record beside it.

A record says: at this time this file was the content ``etag`` of ``commit``. Decides when that may be
believed: only while the file was not written to afterwards, by the clocks that huggingface_hub 2.4
compares. Follows no link, reads no content.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.staging import staging
from chunkdl.disk import create_new, open_nofollow, replace, write_all
from chunkdl.model import is_commit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.model import RemoteFile

# The hub's own tolerance: times of files may be as coarse as a second (FAT two, but that is how it is compared).
_SLACK_S = 1.0
# Three short lines; whatever is longer is no record.
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The three lines of a ``.metadata`` file; ``timestamp`` is seconds since the epoch."""

    commit: str
    etag: str
    timestamp: float

    def encode(self) -> bytes:
        """As huggingface_hub writes it."""
        return f"{self.commit}\n{self.etag}\n{self.timestamp}\n".encode()

    @classmethod
    def decode(cls, data: bytes) -> FileRecord | None:
        """The record, or None if these bytes are none."""
        try:
            commit, etag, timestamp = (line.strip() for line in data.decode().split("\n")[:3])
            at = float(timestamp)
        except ValueError:
            return None
        return cls(commit, etag, at) if is_commit(commit) and math.isfinite(at) else None


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a path: its status if it is a regular file, and its record if that may be believed."""

    status: os.stat_result | None
    record: FileRecord | None

    def is_known_as(self, file: RemoteFile) -> bool:
        """True if the record says that this is the content; its size agrees."""
        return (
            self.status is not None
            and self.status.st_size == file.size
            and self.record is not None
            and self.record.etag == file.digest.hex
        )

    def may_be(self, file: RemoteFile) -> bool:
        """True if only hashing can tell: the size agrees and no record names another digest of the same kind."""
        if self.status is None or self.status.st_size != file.size:
            return False
        return self.record is None or len(self.record.etag) != len(file.digest.hex) or self.is_known_as(file)


def doubted(folder: LocalFolder, files: Iterable[RemoteFile]) -> LocalFolder:
    """The same folder without belief in the records of ``files``, until other files stand in their places."""
    found = {each.path: regular(folder.file(each.path)) for each in files}
    return LocalFolder(folder.root, frozenset(_mark(path, status) for path, status in found.items() if status))


def _mark(path: str, status: os.stat_result) -> tuple[str, int, int]:
    """One state of one file: another one once it is replaced or written to."""
    return path, status.st_ino, status.st_mtime_ns


def look(folder: LocalFolder, path: str) -> Seen:
    """What stands at a repository path; nothing here fails, what cannot be read is not there.

    Raises:
        PlacementRefused: a hostile path.
    """
    status = regular(folder.file(path))
    record = read_record(folder.metadata(path)) if status is not None else None
    if status is not None and record is not None and status.st_mtime - _SLACK_S > record.timestamp:
        record = None  # written to since: the record is about what it was before
    if status is not None and _mark(path, status) in folder.doubted:
        record = None  # its bytes are known to be others
    return Seen(status, record)


def read_record(path: Path) -> FileRecord | None:
    """The record in a file, None if there is none."""
    if regular(path) is None:
        return None
    try:
        with open(path, "rb", opener=open_nofollow) as file:
            return FileRecord.decode(file.read(_MOST_BYTES))
    except OSError:
        return None


def write_record(path: Path, record: FileRecord, *, stage_in: Path) -> None:
    """Put a record at ``path`` whole, by way of the folder ``stage_in``.

    Not synced: one that is lost costs a hashing and nothing else.
    """
    with staging(stage_in) as new:
        fd = create_new(new)
        try:
            write_all(fd, record.encode(), 0)
        finally:
            os.close(fd)
        replace(new, path)


def regular(path: Path) -> os.stat_result | None:
    """The status of a regular file, None for a link and anything else."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
