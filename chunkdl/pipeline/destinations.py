"""Which destination the settings mean for a reference: the same online and offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.assemble.folder_destination import FolderDestination
from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.assemble.layout import HubCache, inside
from chunkdl.assemble.local_folder import LocalFolder

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.assemble.destination import Destination
    from chunkdl.model import Reference
    from chunkdl.settings import Settings


def destination_of(reference: Reference, settings: Settings) -> Destination:
    """Where the files of ``reference`` are to stand."""
    cache = HubCache(settings.cache_dir)
    repo = cache.repo(reference.repo_type, reference.repo_id)
    if settings.local_dir is not None:
        return FolderDestination(LocalFolder(settings.local_dir), cache, repo)
    return hub_of(reference, settings)


def hub_of(reference: Reference, settings: Settings) -> HubDestination:
    """The cache, whatever the destination."""
    cache = HubCache(settings.cache_dir)
    repo = cache.repo(reference.repo_type, reference.repo_id)
    return HubDestination(cache, repo, use_symlinks=settings.use_symlinks)


def named_by(reference: Reference, folder: Path) -> Path:
    """What the reference names in the folder that shows it: the folder, or one file."""
    return inside(folder, reference.path) if reference.path else folder
