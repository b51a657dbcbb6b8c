"""The header of a safetensors file: what tensors there are, and where their bytes lie.

The safetensors library judges the file (sizes, shapes, gaps, overlaps, its own limit of 100 MB a header); only
then are the offsets read, which the library does not tell. Decides too how the header of a converted file is
laid out. Deliberately never touches the bytes of a tensor: the library would map the whole file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from chunkdl.disk import store_errors
from chunkdl.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# The format: eight bytes little-endian say how long the JSON is that follows.
_LENGTH_BYTES = 8
# Bits of an element; the names are the format's own.
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16,
    "I16": 16, "U16": 16, "BOOL": 8, "U8": 8, "I8": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor; ``start`` and ``stop`` count bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return self.stop - self.start

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """All tensors of one file in the order of their data; ``data_start`` is where that begins in the file."""

    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str] | None
    data_start: int

    @property
    def data_bytes(self) -> int:
        """Size of all tensors together."""
        return sum(each.size for each in self.tensors)


def read_header(path: Path, name: str) -> Header:
    """Read and judge the header of ``path``, called ``name`` in messages.

    Raises:
        IntegrityError: it is no safetensors file, or a damaged or hostile one.
        StoreError: it cannot be read.
    """
    with store_errors(path):
        try:
            with safe_open(path, framework="np"):
                pass
            with path.open("rb") as file:
                length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
                told: dict[str, Any] = json.loads(file.read(length))
        except (SafetensorError, ValueError) as error:
            raise IntegrityError(
                f"{name} is no whole safetensors file: {error}",
                hint="fetch it again: chunkdl proves every byte",
                file=name,
            ) from error
    metadata = told.pop("__metadata__", None)
    tensors = (
        Tensor(key, each["dtype"], tuple(each["shape"]), *map(int, each["data_offsets"])) for key, each in told.items()
    )
    return Header(tuple(sorted(tensors, key=lambda each: (each.start, each.stop))), metadata, _LENGTH_BYTES + length)


def laid_out(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The same tensors one after another: wide elements first, so that every tensor is aligned, as the library does."""
    at, placed = 0, []
    for each in sorted(tensors, key=lambda each: -BITS[each.dtype]):
        size = each.elements * BITS[each.dtype] // 8
        placed.append(replace(each, start=at, stop=at + size))
        at += size
    return tuple(placed)


def spell_header(tensors: Iterable[Tensor], metadata: Mapping[str, str] | None) -> bytes:
    """The bytes before the data; padded with spaces so that this starts at a multiple of eight."""
    told: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    for each in tensors:
        told[each.name] = {
            "dtype": each.dtype,
            "shape": list(each.shape),
            "data_offsets": [each.start, each.stop],
        }
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text
