"""huggingface_hub's store of blobs that several repositories share (1.32+): what in it nobody uses any more.

Decides that a payload may go only if its list of users can be read and none of them still links to it, as
``_shared_blobs.py`` of huggingface_hub 2.4 decides; in doubt it stays. Never writes through a link into it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.hub_lock import HubLock
from chunkdl.caches.looking import children, first_hop, stored

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.caches.seen import Stored

_MARKER, _MARK = ".huggingface-shared-blobs", b"1\n"
_XET_HASH = re.compile(r"[0-9a-f]{64}")
_USER = re.compile(r"(?:models|datasets|spaces|kernels)--[^/\\]+/blobs/[^/\\]+")
_LOCK_MODE = 0o666  # the hub's own: other users of a shared cache take the same lock


def is_shared_store(folder: Path) -> bool:
    """True for a store that bears the hub's mark; an unmarked folder is somebody else's."""
    marker = folder / _MARKER
    try:
        return not folder.is_symlink() and not marker.is_symlink() and marker.read_bytes() == _MARK
    except OSError:
        return False


def payload_of(blob: Path, hub: Path) -> Path | None:
    """The payload in the store that a repository's blob leads to; None for a blob of its own."""
    target = first_hop(blob)
    store = hub / "blobs"
    if target is None or not target.is_relative_to(store) or len(target.relative_to(store).parts) != 2:  # noqa: PLR2004
        return None
    fits = _XET_HASH.fullmatch(target.name) and target.parent.name == target.name[:2]
    return target if fits and is_shared_store(store) else None


def unused_payloads(hub: Path) -> tuple[Stored, ...]:
    """Payloads that no repository links to any more."""
    store = hub / "blobs"
    if not is_shared_store(store):
        return ()
    payloads = (each for folder in children(store) if len(folder.name) == 2 for each in children(folder))  # noqa: PLR2004
    found = (stored(each) for each in payloads if _XET_HASH.fullmatch(each.name) and not each.is_symlink())
    return tuple(each for each in found if each is not None and _is_unused(each.path, hub))


def sweep(payload: Path, hub: Path) -> int:
    """Remove a payload if nobody uses it; returns the bytes freed. Blocking; in doubt, or locked, it stays."""
    lock = HubLock(payload.with_name(f"{payload.name}.lock"), mode=_LOCK_MODE)
    if not lock.acquire():
        return 0
    try:
        there = stored(payload)
        if there is None or payload.is_symlink() or not _is_unused(payload, hub):
            return 0
        payload.unlink()
        with suppress(OSError):
            _users_file(payload).unlink(missing_ok=True)
        return there.size
    finally:
        lock.release()


def _is_unused(payload: Path, hub: Path) -> bool:
    try:
        lines = _users_file(payload).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    users = (hub / line for line in lines if _USER.fullmatch(line) and ".." not in line.split("/"))
    return not any(first_hop(each) == payload for each in users)


def _users_file(payload: Path) -> Path:
    return payload.with_name(f"{payload.name}.refs")
