"""The shard names inside an index of weights, judged before any loader can follow them.

Loaders open whatever a ``weight_map`` names beside its index without asking where that leads
(transformers 5.23, diffusers and accelerate had to learn it): one that climbs out of the snapshot is
refused with the whole repository. Decides by the text of the names alone; deliberately does not mind
shards that do not exist, nor an index that is no JSON, since loaders say so themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chunkdl.core.paths import check_path
from chunkdl.disk import store_errors
from chunkdl.errors import PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chunkdl.model import RemoteFile

# What every family calls it: model.safetensors.index.json, pytorch_model.bin.index.json, tf_model.h5.index.json …
_INDEX_SUFFIX = ".index.json"
# Some hundred bytes a tensor: room for half a million of them, and a bound on what is read into memory.
_INDEX_LIMIT_BYTES = 64 << 20


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
        path = found_at(file)
        if file.path.endswith(_INDEX_SUFFIX) and path.exists():
            _check_index(file, path)


def _check_index(file: RemoteFile, path: Path) -> None:
    if file.size > _INDEX_LIMIT_BYTES:
        raise _refused(file, f"is larger than {_INDEX_LIMIT_BYTES} bytes, more than any index of weights")
    with store_errors(path):
        text = path.read_bytes()
    for name in _shards(text):
        try:
            check_path(name)
        except PlacementRefused as error:
            raise _refused(file, f"names a shard that is no plain file beside it: {name[:120]!a}") from error


def _shards(text: bytes) -> set[str]:
    try:
        index: Any = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    named = index.get("weight_map") if isinstance(index, dict) else None
    return {each for each in named.values() if isinstance(each, str)} if isinstance(named, dict) else set()


def _refused(file: RemoteFile, what: str) -> PlacementRefused:
    return PlacementRefused(
        f"{file.path} {what}",
        hint="the repository is damaged or hostile; --exclude the file to fetch the rest",
        file=file.path,
    )
