"""Which destination the settings mean for a reference: the same online and offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.assemble.folder_destination import FolderDestination
from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.assemble.layout import HubCache, inside
from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.torch_destination import TorchDestination
from chunkdl.errors import UsageError
from chunkdl.identify.checkpoints import checkpoint_of
from chunkdl.identify.learnt import Learnt, address_name
from chunkdl.identify.url_references import is_checkpoint
from chunkdl.model import Hub

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.assemble.destination import Destination
    from chunkdl.identify.checkpoints import Checkpoint
    from chunkdl.model import Reference
    from chunkdl.settings import Settings


def destination_of(reference: Reference, settings: Settings, *, force: bool = False) -> Destination:
    """Where the files of ``reference`` are to stand; ``force`` lets a single file replace any other.

    Raises:
        ArtifactNotFound: torchvision knows no such name.
        UsageError: a name of ModelScope's without a folder, or the address of a file that torch would not look for.
    """
    if reference.hub.names_files:
        checkpoint = checkpoint_of(reference)
        folder, memory = checkpoint_folder(checkpoint, settings), Learnt(settings.state_dir)
        return TorchDestination(folder, address_name(checkpoint.url), memory, force=force)
    if reference.hub is Hub.MODELSCOPE and settings.local_dir is None:
        raise UsageError(
            f"{reference.text}: the Hugging Face cache has no place for ModelScope's names",
            hint="add --local-dir DIR: real files there, for from_pretrained('DIR')",
        )
    cache = HubCache(settings.cache_dir)
    repo = cache.repo(reference.repo_type, reference.repo_id)
    if settings.local_dir is not None:
        own = reference.hub is Hub.HUGGING_FACE
        return FolderDestination(LocalFolder(settings.local_dir), cache, repo, of_cache=own)
    return hub_of(reference, settings)


def hub_of(reference: Reference, settings: Settings) -> HubDestination:
    """The cache, whatever the destination."""
    cache = HubCache(settings.cache_dir)
    repo = cache.repo(reference.repo_type, reference.repo_id)
    return HubDestination(cache, repo, use_symlinks=settings.use_symlinks)


def checkpoint_folder(checkpoint: Checkpoint, settings: Settings) -> Path:
    """The folder of a single file: the user's, or torch's for what torch looks for.

    Raises:
        UsageError: it is nothing for torch, and no folder was said.
    """
    if settings.local_dir is not None:
        return settings.local_dir
    if is_checkpoint(checkpoint.name):
        return settings.torch_dir / "checkpoints"
    raise UsageError(
        f"{checkpoint.name} is no checkpoint that torch would look for", hint="say where to put it with --local-dir DIR"
    )


def named_by(reference: Reference, folder: Path) -> Path:
    """What the reference names in the folder that shows it: the folder, one inside it, or one file."""
    path = (reference.path or "").strip("/")  # that of a folder ends with a slash
    return inside(folder, path) if path else folder
