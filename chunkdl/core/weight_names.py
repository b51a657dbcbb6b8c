"""What the name of a weight file says: family, weights, variant, shard.

Decides which files together are one complete set of weights. Names are all it knows: it never
looks at sizes or content, and a name that fits no loader's convention is simply no weight file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from chunkdl.core.selection_rules import matches_any, rules

if TYPE_CHECKING:
    from collections.abc import Iterable

# ``model.fp16-00001-of-00003.safetensors``; transformers before 4.40 put the variant after the shard.
_TORCH_NAME = re.compile(
    r"(?P<stem>\w+)(?:\.(?P<variant>\w+))?(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?(?:\.(?P<late>\w+))?\.(?P<suffix>\w+)"
)
_INDEX_NAME = re.compile(r"(?P<stem>\w+)(?:\.(?P<early>\w+))?\.(?P<suffix>\w+)\.index(?:\.(?P<variant>\w+))?\.json")
_SHARDED = re.compile(r"-(?P<shard>\d+)-of-(?P<shards>\d+)\.gguf$", re.IGNORECASE)

# Every rule asks about every name: what was found out is kept for listings of up to so many files.
_REMEMBERED = 1 << 15


@dataclass(frozen=True, slots=True, order=True)
class SetKey:
    """Names one set of weights: ``stem`` in the safetensors spelling, ``variant`` empty for the plain one."""

    folder: str
    stem: str
    family: str
    variant: str


@dataclass(slots=True)
class WeightSet:
    """The files of one set. ``single`` means one file is the whole of it; ``shards`` by what they are part of."""

    paths: list[str] = field(default_factory=list)
    shards: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    single: bool = False
    index: bool = False

    @property
    def complete(self) -> bool:
        """True if a loader finds everything: the one file, or an index with all its shards."""
        return self.single or (self.index and bool(self.shards) and not self.torn)

    @property
    def torn(self) -> str:
        """``1 of 3``, if the names say that shards are missing and nothing else of the set is whole; else empty."""
        if self.single or not self.shards or any(len(found) == total for total, found in self.shards.items()):
            return ""
        total = max(self.shards)
        return f"{len(self.shards[total])} of {total}"


def split_path(path: str) -> tuple[str, str]:
    """Folder (empty at the root) and file name."""
    folder, _, name = path.rpartition("/")
    return folder, name


@lru_cache(_REMEMBERED)
def other_family(path: str) -> str | None:
    """The family of a file that torch does not load, or None."""
    return next((family for family, patterns in rules().other_families.items() if matches_any(path, patterns)), None)


def torch_sets(paths: Iterable[str]) -> dict[SetKey, WeightSet]:
    """All sets of weights under the names that torch's loaders look for, complete or not."""
    sets: dict[SetKey, WeightSet] = defaultdict(WeightSet)
    for path in paths:
        folder, name = split_path(path)
        if other_family(path) is None and not (_add_index(sets, folder, name, path)):
            _add_weights(sets, folder, name, path)
    return dict(sets)


def _add_index(sets: dict[SetKey, WeightSet], folder: str, name: str, path: str) -> bool:
    match = _INDEX_NAME.fullmatch(name)
    stem = _known_stem(match["stem"]) if match else None
    family = rules().torch_suffixes.get(match["suffix"]) if match else None
    if match is None or stem is None or family is None:
        return False
    found = sets[SetKey(folder, stem, family, match["variant"] or match["early"] or "")]
    found.paths.append(path)
    found.index = True
    return True


def _add_weights(sets: dict[SetKey, WeightSet], folder: str, name: str, path: str) -> None:
    match = _TORCH_NAME.fullmatch(name)
    stem = _known_stem(match["stem"]) if match else None
    family = rules().torch_suffixes.get(match["suffix"]) if match else None
    if match is None or stem is None or family is None:
        return
    found = sets[SetKey(folder, stem, family, match["variant"] or match["late"] or "")]
    found.paths.append(path)
    if match["shard"] is None:
        found.single = True
    else:
        found.shards[int(match["shards"])].add(int(match["shard"]))


def _known_stem(stem: str) -> str | None:
    stem = rules().aliases.get(stem, stem)
    return stem if stem in rules().known_stems else None


def gguf_quant(path: str) -> str | None:
    """The encoding that a GGUF's name (else its folder) states, upper case, or None; companions have none."""
    return None if is_companion(path) else gguf_encoding(path)


def is_companion(path: str) -> bool:
    """True for what goes with every quantisation of a model."""
    return matches_any(path, rules().gguf_companions)


def gguf_encoding(path: str) -> str | None:
    """The same, of companions too."""
    folder, name = split_path(path.upper())
    found: list[str] = rules().gguf_encoding.findall(name) or rules().gguf_encoding.findall(folder)
    return rules().gguf_aliases.get(found[-1], found[-1]) if found else None


def without_encoding(path: str) -> str:
    """What is left of a path without its encoding: equal for one thing in several precisions."""
    return rules().gguf_encoding.sub("", path.upper())


def missing_shards(paths: Iterable[str]) -> tuple[str, ...]:
    """Which of the split files among ``paths`` lack siblings, named by their common beginning."""
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    for path in paths:
        if match := _SHARDED.search(path):
            seen[path[: match.start()], int(match["shards"])].add(int(match["shard"]))
    return tuple(base for (base, total), shards in seen.items() if len(shards) != total)


def onnx_variant(path: str) -> tuple[str, str]:
    """An ONNX file's base path without precision, and the precision in lower case, empty for the plain one."""
    base, _, _suffix = path.rpartition(".onnx")
    folder, stem = split_path(base)
    match = rules().onnx_variant.match(stem)
    plain, variant = (match["base"], match["variant"].lower()) if match else (stem, "")
    return (f"{folder}/{plain}" if folder else plain), variant
