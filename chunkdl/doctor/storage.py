"""Folders tried by doing: a few bytes written and synced, a link made, and everything taken away again.

What the permissions say is not asked: mounts, quotas and containers say otherwise too often.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.disk import create_new, free_bytes, fsync_file, store_errors, write_all
from chunkdl.doctor.seen import FolderSeen
from chunkdl.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# More than file systems keep inside the inode, so that a block has to be found and a quota asked.
_TRIAL_BYTES = 64 << 10


def look_at_folder(role: str, path: Path, where: str) -> FolderSeen:
    """Try ``path``, or where it would be made: its nearest folder that exists. Blocking; leaves nothing behind."""
    seen = FolderSeen(role, str(path), where, free_bytes=free_bytes(path))
    trial = nearest(path) / f".chunkdl-doctor-{secrets.token_hex(8)}"
    try:
        with store_errors(path):
            blocking = next((each for each in (path, *path.parents) if each.exists()), path)
            if not blocking.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{blocking} is no folder")
            _write(trial)
        return replace(
            seen,
            symlinks=_can(trial, _symlink),
            hard_links=_can(trial, os.link),
            exposed=role == "state" and _exposed(path),
        )
    except StoreError as error:
        return replace(seen, trouble=error.message, hint=error.hint, exit_code=error.exit_code)
    finally:
        with suppress(OSError):
            trial.unlink()


def nearest(path: Path) -> Path:
    """``path`` if it is a folder, else the nearest folder above it."""
    return next((each for each in (path, *path.parents) if each.is_dir()), path)


def _write(path: Path) -> None:
    fd = create_new(path)
    try:
        write_all(fd, bytes(_TRIAL_BYTES), 0)
        fsync_file(fd)
    finally:
        os.close(fd)


def _symlink(target: Path, link: Path) -> None:
    link.symlink_to(target.name)


def _can(trial: Path, make: Callable[[Path, Path], None]) -> bool:
    second = trial.with_name(f"{trial.name}-2")
    try:
        make(trial, second)
    except OSError:
        return False
    second.unlink()
    return True


def _exposed(path: Path) -> bool:
    """Whoever can write into the state folder decides what we believe (see ``identify.known``)."""
    try:
        found = path.stat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return not own or bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
