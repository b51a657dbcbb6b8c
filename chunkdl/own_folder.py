"""Folders of this user alone: whoever can write to what we remember decides what we believe.

Decides by owner and permission bits, where the system has them; elsewhere every folder counts as one's own.
Deliberately does not know what lies in the folders. Functions block and raise plain ``OSError``.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MODE = 0o700


def make_own(folder: Path) -> None:
    """Make ``folder``, and what is missing above it, for this user alone, whatever the umask would leave to a group."""
    missing = [each for each in folder.parents if not each.exists()]
    for each in (*reversed(missing), folder):  # pathlib would make the parents in the umask's mode
        each.mkdir(mode=_MODE, exist_ok=True)


def is_own(folder: Path) -> bool:
    """True if ``folder`` belongs to this user and nobody else may write to it."""
    found = folder.stat()
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return own and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def check_own(folder: Path) -> None:
    """``PermissionError`` unless ``folder`` is this user's alone."""
    if not is_own(folder):
        raise PermissionError(f"{folder} belongs to somebody else or others may write to it (chmod go-w {folder})")
