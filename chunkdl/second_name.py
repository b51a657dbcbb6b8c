"""A second name for a file's bytes: by hard link where that is wanted and works, else by reflink, else by copy.

Decides in which order they are tried. Deliberately does not know what the bytes are, nor whether they are right.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from chunkdl.disk import Means, clone_or_copy, reading_source, replacing, share_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def link_or_copy(
    src: Path,
    dst: Path,
    *,
    link: Callable[[Path, Path], None] = os.link,
    clone: Callable[[int, int], None] = share_blocks,
) -> Means:
    """Give the bytes of ``src`` the name ``dst``: hard link, else reflink, else copy, in this order.

    A link at ``src`` is resolved first, so that ``dst`` is never a link itself. ``dst`` appears
    complete and synced. Raises ``FileExistsError`` if ``dst`` is taken, ``FileNotFoundError`` or
    ``SourceUnreadable`` if there is nothing to be read, ``OSError`` if bytes cannot be stored, and
    ``NotWanted`` between pieces of a copy.
    """
    real = src.resolve(strict=True)
    try:
        link(real, dst)
    except FileExistsError:
        raise
    except OSError:  # other volume, no hard links there, protected_hardlinks: each has the same remedy
        return _copy_to(real, dst, clone)
    return Means.LINKED


def copy_file(src: Path, dst: Path, *, clone: Callable[[int, int], None] = share_blocks) -> Means:
    """Give a copy of the bytes of ``src`` the name ``dst``: reflink, else copy, so that editing one spares the other.

    Otherwise as ``link_or_copy``.
    """
    return _copy_to(src.resolve(strict=True), dst, clone)


def _copy_to(src: Path, dst: Path, clone: Callable[[int, int], None]) -> Means:
    with reading_source():
        source = src.open("rb")
    with source, replacing(dst) as fd:
        means = clone_or_copy(source.fileno(), fd, clone=clone)
        if os.path.lexists(dst):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(dst))
    return means
