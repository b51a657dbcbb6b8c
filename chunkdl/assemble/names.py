"""Whether the names of a listing can all stand in one folder of this very file system.

What no file system may hold is refused by text alone (``core.paths``). What depends on the file system
is found out by trying: two names that differ in case or Unicode composition only.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from chunkdl.assemble.staging import staging
from chunkdl.core.paths import check_for_windows, check_paths, find_twins
from chunkdl.disk import create_new, store_errors
from chunkdl.errors import PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def check_names(paths: Sequence[str], *, probe_in: Path) -> None:
    """Refuse paths that cannot become files, or not all of them side by side.

    Args:
        paths: repository paths.
        probe_in: an existing folder of the file system in question, for a trial that leaves nothing.

    Raises:
        PlacementRefused: naming the path, or both.
        StoreError: the trial failed.
    """
    check_paths(paths)
    if os.name == "nt":
        for path in paths:
            check_for_windows(path)
    for one, other in find_twins(paths):
        with store_errors(probe_in):
            _check_tells_apart(probe_in, one, other)


def _check_tells_apart(probe_in: Path, one: str, other: str) -> None:
    a, b = next((a, b) for a, b in zip(one.split("/"), other.split("/"), strict=True) if a != b)
    with staging(probe_in) as probe:
        probe.mkdir()
        try:
            os.close(create_new(probe / a))
            blind = os.path.lexists(probe / b)
        finally:
            shutil.rmtree(probe, ignore_errors=True)
    if blind:
        raise PlacementRefused(
            f"this file system takes {one!r} and {other!r} for one file",
            hint="leave one out with --exclude, or choose another folder",
            file=other,
        )
