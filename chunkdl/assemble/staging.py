"""New files that appear whole or not at all, and leave nothing behind when something fails.

Everything is first written under a free name in a repository's ``blobs/`` folder, then renamed:
there the scanner and the readers of huggingface_hub overlook it, while in ``refs/`` it would be a
ref, in ``snapshots/`` a file of the model, and in the cache root a warning. Deliberately does not
know what is written.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from chunkdl.disk import NEW_SUFFIX, create_new, fsync_file, replace, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A free name in ``folder``; whatever still bears it afterwards is removed.

    A rename takes the name away, except where both names are one file already: then the system
    does nothing and reports success, and the removal here is what keeps the folder clean.
    """
    path = folder / f"{secrets.token_hex(8)}{NEW_SUFFIX}"
    try:
        yield path
    finally:
        with suppress(OSError):  # the failure inside is the one to report, and a lost name is success
            path.unlink()


def write_new(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Create ``path`` with the mode that the umask leaves, and sync it. ``FileExistsError`` if taken."""
    fd = create_new(path)
    try:
        write_all(fd, data, 0)
        fsync_file(fd)
    finally:
        os.close(fd)


def put_file(path: Path, data: bytes, *, stage_in: Path) -> None:
    """Put ``data`` at ``path`` atomically, over whatever is there, by way of the folder ``stage_in``."""
    with staging(stage_in) as new:
        write_new(new, data)
        replace(new, path)
