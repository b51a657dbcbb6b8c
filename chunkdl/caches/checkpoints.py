"""torch's folder of checkpoints: files that promise eight hex digits of their sha256 in their name, and our parts.

Which names promise what is ``identify``'s. Folders in it belong to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.caches import partials
from chunkdl.caches.looking import stored
from chunkdl.caches.seen import TORCH, CheckpointSeen
from chunkdl.disk import store_errors
from chunkdl.identify.checkpoints import name_digest
from chunkdl.identify.torchhub import table, true_prefix
from chunkdl.identify.url_references import is_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.caches.seen import PartialSeen


def scan_torch(folder: Path) -> tuple[tuple[CheckpointSeen, ...], tuple[PartialSeen, ...]]:
    """Finished checkpoints and begun transfers; other files are not ours to speak of. Blocking.

    Raises:
        StoreError: the folder is there and cannot be read.
    """
    with store_errors(folder):
        try:
            there = sorted(each for each in folder.iterdir() if each.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return (), ()
    ours = [each for each in there if each.name.startswith(".") and partials.is_ours(each.name)]
    found = [_checkpoint(each) for each in there if not each.name.startswith(".")]
    return tuple(each for each in found if each is not None), partials.group(ours, TORCH)


def _checkpoint(path: Path) -> CheckpointSeen | None:
    prefix = promised_prefix(path.name)
    if not prefix and not is_checkpoint(path.name):
        return None
    found = stored(path)
    return CheckpointSeen(path.name, found, prefix) if found is not None else None


def promised_prefix(name: str) -> str:
    """The first hex digits of its sha256: what is known of names that lie, else what the name says; else empty."""
    digest = name_digest(name) if is_checkpoint(name) else None
    return true_prefix(name) or (digest.hex if digest is not None else "")


def published_at(name: str) -> str | None:
    """The address under which torchvision publishes a file of this name; None for others' files."""
    addresses = (address for weights in table().models.values() for address in weights.values())
    return next((each for each in addresses if each.rpartition("/")[2] == name), None)
