"""What an index of weights says: which shards are the whole, and whether a loader can follow it.

Decides from the index's text and the listing, before shards are fetched and again before they are shown.
Loaders open whatever a ``weight_map`` names beside its index without asking where that leads (transformers
5.23; diffusers and accelerate had to learn it). Deliberately does not mind an index that is no JSON, since
loaders say so themselves.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from chunkdl.core.paths import check_path
from chunkdl.errors import ArtifactNotFound, PlacementRefused

if TYPE_CHECKING:
    from collections.abc import Collection

# accelerate (1.x) follows whatever ``*.index.json`` stands alone in a folder; with a variant it is .index.fp16.json.
_INDEX = re.compile(r"\.index\.(?:.+\.)?json$")
# What every family calls it: model.safetensors.index.json, pytorch_model.bin.index.json, tf_model.h5.index.json …
_FAMILY_INDEX = re.compile(r"\.(?:safetensors|bin|h5|msgpack)\.index\.(?:.+\.)?json$")
# Some hundred bytes a tensor: room for half a million of them, and a bound on what is read into memory.
INDEX_LIMIT_BYTES = 64 << 20
# A message names so much of what an index says.
_SHOWN = 120


def is_index(path: str, size: int) -> bool:
    """True for what loaders may take for an index of weights, by its name and its ``size`` in bytes.

    Other programs call their indexes so as well (data/wiki.index.json of a dataset): what is too large for weights is
    one of weights only under a family's own name.
    """
    name = path.rpartition("/")[2]
    return bool(_FAMILY_INDEX.search(name) or (size <= INDEX_LIMIT_BYTES and _INDEX.search(name)))


def check_size(path: str, size: int) -> None:
    """Refuse an index that is too large to be one, unread.

    Raises:
        PlacementRefused: more than ``INDEX_LIMIT_BYTES``.
    """
    if size > INDEX_LIMIT_BYTES:
        raise _refused(path, f"is larger than {INDEX_LIMIT_BYTES} bytes, more than any index of weights")


def shards_named(path: str, text: bytes) -> tuple[str, ...]:
    """Repository paths of the shards that the index at ``path`` names, sorted; none if it names none.

    Raises:
        PlacementRefused: a shard is no plain file beside the index.
    """
    folder = path.rpartition("/")[0]
    shards = sorted(_named(text))
    for each in shards:
        try:
            check_path(each)
        except PlacementRefused as error:
            raise _refused(path, f"names a shard that is no plain file beside it: {each[:_SHOWN]!a}") from error
    return tuple(f"{folder}/{each}" if folder else each for each in shards)


def check_shards(path: str, shards: Collection[str], *, listed: Collection[str], chosen: Collection[str]) -> None:
    """Refuse a selection that the index at ``path`` calls incomplete.

    Args:
        path: of the index.
        shards: repository paths that it names.
        listed: all paths of the commit.
        chosen: the paths that will be fetched.

    Raises:
        ArtifactNotFound: the repository lacks a shard, or the rules of selection left one out.
    """
    missing = [each for each in shards if each not in listed]
    if missing:
        raise ArtifactNotFound(
            f"{path} names {len(shards)} shards, and the repository lacks {_listed(missing)}",
            hint="the upload is incomplete: try another @revision, --format, or --format all to take it as it is",
            file=path,
        )
    unchosen = [each for each in shards if each not in chosen]
    if unchosen:
        raise ArtifactNotFound(
            f"{path} names {_listed(unchosen)}, which this selection leaves out",
            hint="--format all fetches everything, --include exactly what you name",
            file=path,
        )


def _listed(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0][:_SHOWN]}{more}"


def _named(text: bytes) -> set[str]:
    try:
        index: Any = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    named = index.get("weight_map") if isinstance(index, dict) else None
    return {each for each in named.values() if isinstance(each, str)} if isinstance(named, dict) else set()


def _refused(path: str, what: str) -> PlacementRefused:
    return PlacementRefused(
        f"{path} {what}",
        hint="the repository is damaged or hostile; --exclude the file to fetch the rest",
        file=path,
    )
