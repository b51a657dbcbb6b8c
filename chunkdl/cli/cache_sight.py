"""What the commands on caches look at: settings, and one look at all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.caches.checkpoints import scan_torch
from chunkdl.caches.scanning import scan_hub
from chunkdl.caches.seen import CachesSeen
from chunkdl.settings import Flags, load_settings

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.settings import Settings


def settings_of(around: Surroundings, cache_dir: str | None) -> Settings:
    """As for every command; only folders matter here.

    Raises:
        UsageError: a setting cannot mean anything.
    """
    flags = Flags(cache_dir=Path(cache_dir) if cache_dir else None)
    return load_settings(around.environ, None, flags, around.folder)


def look(settings: Settings) -> CachesSeen:
    """The hub's cache and torch's checkpoints; blocking.

    Raises:
        StoreError: one of them is there and cannot be read.
    """
    torch = settings.torch_dir / "checkpoints"
    repos, strange = scan_hub(settings.cache_dir)
    checkpoints, partials = scan_torch(torch)
    return CachesSeen(settings.cache_dir, torch, repos, checkpoints, partials, strange)
