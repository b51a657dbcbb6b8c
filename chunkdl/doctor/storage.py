"""Folders tried by doing: a few bytes written and synced, a link made, and everything taken away again.

What the permissions say is not asked: mounts, quotas and containers say otherwise too often.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from chunkdl.disk import create_new, free_bytes, fsync_file, store_errors, write_all
from chunkdl.doctor.seen import FolderSeen
from chunkdl.errors import StoreError
from chunkdl.own_folder import is_own

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

# More than file systems keep inside the inode, so that a block has to be found and a quota asked.
_TRIAL_BYTES = 64 << 10
# A disk that sleeps wakes up within 10 s, a busy network mount answers sooner.
STORAGE_LIMIT_S = 20.0


async def within(limit_s: float, look: Callable[[], T]) -> T | None:
    """What a look at storage brings; None if that takes longer, as on a mount whose server is gone.

    Its thread is then left to itself: a daemon, and none of the executor's, so that no exit waits for it.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    brought: Future[T] = Future()

    def work() -> None:
        try:
            brought.set_result(look())
        except BaseException as error:  # noqa: BLE001  # raised where it is awaited
            brought.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, name="chunkdl-look", daemon=True).start()
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), limit_s)
    return brought.result() if brought.done() else None


def silent(role: str, path: Path, where: str, limit_s: float) -> FolderSeen:
    """A folder that could not be tried within ``limit_s``."""
    trouble = f"{path} does not answer: a few bytes were not written within {limit_s:g} s"
    other = "--cache-dir" if role == "cache" else "CHUNKDL_STATE_DIR"
    hint = f"check the mount and its server, or choose another folder with {other}"
    return FolderSeen(role, str(path), where, trouble, hint, StoreError.exit_code, answers=False)


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
        return not is_own(path)
    except OSError:
        return False
