"""Where a conversion reads and where it may write: a folder of its own, never inside a cache.

Decides by names and by what stands on disk; a cache's snapshots are links to blobs that are named after
their content, so that converted files among them would be lies.
"""

from __future__ import annotations

import os
from pathlib import Path

from chunkdl.disk import NEW_SUFFIX, store_errors
from chunkdl.errors import ArtifactNotFound, PlacementRefused

# Bookkeeping that belongs to the folder it was made for: the hub's records of --local-dir, version control.
_BOOKKEEPING = frozenset({".cache", ".git", ".svn", "__pycache__"})
_REPO_FOLDERS = ("models--", "datasets--", "spaces--")
_SNAPSHOTS = "snapshots"


def files_below(source: Path) -> dict[str, int]:
    """Names below ``source``, with slashes, and sizes in bytes; links to files are files, bookkeeping is not listed.

    Raises:
        ArtifactNotFound: there is no such folder.
        PlacementRefused: a link to a folder: what it leads to may be anybody's, and may lead back here.
        StoreError: it cannot be read, or a link leads nowhere.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise ArtifactNotFound(
            f"{source} {what}: convert takes a folder",
            hint='of a name at the hub it takes what fetch prints: chunkdl convert "$(chunkdl fetch REF)" --dtype bf16',
        )
    found: dict[str, int] = {}
    with store_errors(source):
        for folder, folders, names in os.walk(source, onerror=_raise):
            folders[:] = sorted(set(folders) - _BOOKKEEPING)
            if linked := [each for each in folders if Path(folder, each).is_symlink()]:
                raise PlacementRefused(
                    f"{Path(folder, linked[0])} is a link to a folder, which convert does not follow",
                    hint="put a copy of the folder in the link's place (cp -rL copies a tree with all that it links)",
                )
            for name in sorted(names):
                path = Path(folder, name)
                found[path.relative_to(source).as_posix()] = path.stat().st_size
    return found


def _raise(error: OSError) -> None:
    raise error


def usual_target(source: Path, word: str, here: Path) -> Path:
    """Beside a plain folder; for a snapshot of a cache, in the current folder ``here``, named after the model."""
    repo = next((each for each in source.parents if each.name.startswith(_REPO_FOLDERS)), None)
    if repo is not None:
        return here / f"{repo.name.rpartition('--')[2]}-{word}"
    return source.with_name(f"{source.name}-{word}")


def check_target(target: Path, source: Path, cache_dir: Path) -> None:
    """Refuse a place that is taken, or that is not the user's own.

    Raises:
        PlacementRefused: with what to name instead.
    """
    hint = "name a new folder with -o DIR"
    if os.path.lexists(target):
        raise PlacementRefused(f"{target} exists already", hint=f"remove it, or {hint}")
    real, cache = target.parent.resolve() / target.name, cache_dir.resolve()
    in_repo = any(each.name.startswith(_REPO_FOLDERS) and (each / _SNAPSHOTS).is_dir() for each in real.parents)
    if real.is_relative_to(cache) or in_repo:
        raise PlacementRefused(f"{target} lies inside the cache, which holds proven files only", hint=hint)
    if real.is_relative_to(source.resolve()):
        raise PlacementRefused(f"{target} lies inside what is converted", hint=hint)


def abandoned(target: Path) -> list[Path]:
    """What earlier conversions to ``target`` left that were killed; another may still be running."""
    if not target.parent.is_dir():
        return []
    prefix = f".{target.name}."
    return sorted(
        each for each in target.parent.iterdir() if each.name.startswith(prefix) and each.name.endswith(NEW_SUFFIX)
    )
