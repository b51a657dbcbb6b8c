"""Small looks at the file system that fail for nothing: what cannot be read is told as trouble, not raised."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chunkdl.caches.seen import Stored

_BLOCK_BYTES = 512  # the unit of st_blocks (stat(2)); a part file is sparse


def children(folder: Path) -> list[Path]:
    """Entries in order of name; none if it is no readable folder."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def stored(path: Path, *, sparse: bool = False) -> Stored | None:
    """A regular file, or what a link at ``path`` leads to; None for anything else. ``sparse``: count its blocks."""
    try:
        status, is_link = path.stat(), path.is_symlink()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    size = status.st_size
    if sparse:
        size = getattr(status, "st_blocks", size // _BLOCK_BYTES) * _BLOCK_BYTES
    inode = (status.st_dev, status.st_ino)
    return Stored(path, size, inode, status.st_atime, status.st_mtime, status.st_ctime, is_link)


def first_hop(path: Path) -> Path | None:
    """Where a link says it leads, one step, made absolute without following more; None for no link."""
    try:
        target = os.readlink(path)  # noqa: PTH115  # a Path would normalise the text
    except OSError:
        return None
    return Path(os.path.abspath(path.parent / target))  # noqa: PTH100  # resolve() would follow all the way


def modified_at(path: Path) -> float:
    """Time of modification of ``path`` itself; 0 if it is gone."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
