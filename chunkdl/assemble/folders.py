"""Folders made and entered one by one below a root, none of them through a link.

A link where a folder should be could lead anywhere, so it is refused and not followed; the root itself
may be one, because its owner chose it. Deliberately does not judge names: ``core.paths`` does.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from chunkdl.errors import PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def make_folders(
    root: Path, parts: Iterable[str], made: Callable[[Path], object] = lambda _folder: None, file: str | None = None
) -> Path:
    """Make the folders ``parts`` below ``root``, each inside the one before; returns the innermost.

    ``made`` is told of each folder that was not there, as soon as it is; ``file`` is the repository path
    that needs them, for reports.

    Raises:
        PlacementRefused: something that is no folder is in the way.
        OSError: a folder cannot be made.
    """
    folder = root
    for part in parts:
        folder /= part
        try:
            folder.mkdir()
        except FileExistsError:
            _check(folder, file)
        else:
            made(folder)
    return folder


def check_folders(root: Path, parts: Iterable[str], file: str | None = None) -> None:
    """Refuse what would be in the way of ``make_folders``, as far as folders exist.

    Raises:
        PlacementRefused: naming it.
    """
    folder = root
    for part in parts:
        folder /= part
        if not _check(folder, file):
            return


def refuse_folder(path: Path, file: str | None = None) -> None:
    """Refuse a folder that stands where a file belongs.

    Raises:
        PlacementRefused: naming it.
    """
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise PlacementRefused(f"{path} is in the way: a folder", hint=_HINT, file=file)


def _check(folder: Path, file: str | None) -> bool:
    """True for a folder, False for nothing at all; raises for anything else."""
    mode = _mode(folder)
    if mode is None:
        return False
    if not stat.S_ISDIR(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "a file"
        raise PlacementRefused(f"{folder} is in the way: {kind}", hint=_HINT, file=file)
    return True


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


_HINT = "remove it and run again"
