"""New files that appear whole or not at all, and leave nothing behind when something fails.

What a killed process leaves all the same is swept by a later one: decides what is left over and what somebody is at.

Everything is first written under a free name in a repository's ``blobs/`` folder, then renamed:
there the scanner and the readers of huggingface_hub overlook it, while in ``refs/`` it would be a
ref, in ``snapshots/`` a file of the model, and in the cache root a warning. Deliberately does not
know what is written.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.layout import OWNER_SUFFIX
from chunkdl.disk import NEW_SUFFIX, create_new, fsync_file, replace, write_all
from chunkdl.file_clock import now_in
from chunkdl.process_identity import Life, life_of_stamped, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of what another host left nobody can tell whether its process lives; no copy, hash or sync of one file takes a day.
_ABANDONED_AFTER_S = 86_400.0
# The right to replace an owner exists for two small operations; without the owner it is no right any more.
_ORPHANED_AFTER_S = 60.0
_RIGHT = re.compile(rf"(.+{re.escape(OWNER_SUFFIX)})\.\d+")


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A free name in ``folder``; whatever still bears it afterwards is removed.

    A rename takes the name away, except where both names are one file already: then the system
    does nothing and reports success, and the removal here is what keeps the folder clean.
    """
    path = folder / f"{secrets.token_hex(8)}.{stamp()}{NEW_SUFFIX}"
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


def sweep(folder: Path) -> None:
    """Remove what killed processes left half made in ``folder``, never what a living one is at. Blocking; never fails.

    Parts, journals and owner files are no business of this: bytes in them are worth keeping.
    """
    with suppress(OSError):  # a read-only cache serves as it is
        with os.scandir(folder) as entries:
            names = {each.name for each in entries if each.name.endswith(NEW_SUFFIX) or _RIGHT.fullmatch(each.name)}
        for name in sorted(names):
            with suppress(OSError):
                _sweep(folder / name)


def _sweep(path: Path) -> None:
    right = _RIGHT.fullmatch(path.name)
    if right is None:
        life = life_of_stamped(path.name.removesuffix(NEW_SUFFIX).rpartition(".")[2])
        left = life is Life.DEAD or (life is not Life.ALIVE and _age_s(path) > _ABANDONED_AFTER_S)
    else:
        left = not os.path.lexists(path.with_name(right[1])) and _age_s(path) > _ORPHANED_AFTER_S
    if left:
        path.unlink()


def _age_s(path: Path) -> float:
    """Since the file was written; since it was last given or deprived of a name, if that was later."""
    found = path.lstat()
    return now_in(path.parent) - max(found.st_mtime, found.st_ctime)
