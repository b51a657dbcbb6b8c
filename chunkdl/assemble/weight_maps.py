"""Indexes of weights that are on this disk, judged before any loader can follow them.

Decides nothing itself: ``core.weight_index`` does, from the text that is read here. Asked twice: once an
index is here and its shards are not, so that nothing is fetched in vain, and before a snapshot is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.weight_index import check_size, is_index, shards_named
from chunkdl.disk import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chunkdl.model import RemoteFile


def check_weight_maps(files: Sequence[RemoteFile], found_at: Callable[[RemoteFile], Path]) -> None:
    """Refuse ``files`` if an index among them leads elsewhere; blocking.

    Args:
        files: about to be shown to loaders.
        found_at: where a file's proven content lies; one that is not there was judged when it was placed.

    Raises:
        PlacementRefused: naming the index and what it names.
        StoreError: an index cannot be read.
    """
    for file in files:
        if is_index(file.path, file.size) and (path := found_at(file)).exists():
            read_index(file.path, file.size, path)


def read_index(name: str, size: int, path: Path) -> tuple[str, ...]:
    """The shards that the index ``name`` of ``size`` bytes, lying at ``path``, names; blocking.

    Raises:
        PlacementRefused: it is too large, or leads elsewhere.
        StoreError: it cannot be read.
    """
    check_size(name, size)
    with store_errors(path):
        text = path.read_bytes()
    return shards_named(name, text)
