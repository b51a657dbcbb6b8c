"""Small safetensors files and model folders, written without the library that will read them."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
WORDS = {kind: word for word, kind in DTYPES.items()}


def spelt(header, data=b"") -> bytes:
    """A file of any header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_tensors(path: Path, tensors, metadata=None) -> Path:
    header = {} if metadata is None else {"__metadata__": metadata}
    data, at = [], 0
    for name, each in tensors.items():
        size = each.nbytes
        header[name] = {"dtype": WORDS[each.dtype], "shape": list(each.shape), "data_offsets": [at, at + size]}
        data.append(each.tobytes())
        at += size
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(spelt(header, b"".join(data)))
    return path


def read_tensors(path: Path):
    """Name → array, and the metadata."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", None)
    body = raw[8 + length :]
    found = {
        name: np.frombuffer(body[slice(*each["data_offsets"])], DTYPES[each["dtype"]]).reshape(each["shape"])
        for name, each in header.items()
    }
    return found, metadata


def numbers(*shape, seed=0, kind="<f4"):
    return np.random.default_rng(seed).standard_normal(shape).astype(kind)


def sharded_model(folder: Path) -> Path:
    """Two shards with an index, configurations, a tokenizer, a bookkeeping folder and a pickle beside them."""
    first = {"embed": numbers(50, 8, seed=1), "steps": np.arange(7, dtype="<i8")}
    second = {"head": numbers(3, 5, seed=2), "mask": np.array([True, False, True])}
    shards = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    for shard, tensors in zip(shards, (first, second), strict=True):
        write_tensors(folder / shard, tensors, {"format": "pt"})
    total = sum(each.nbytes for tensors in (first, second) for each in tensors.values())
    where = {name: shard for shard, tensors in zip(shards, (first, second), strict=True) for name in tensors}
    index = {"metadata": {"total_size": total, "total_parameters": 425}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "model_type": "bert",
        "dtype": "float32",
        "text_config": {"torch_dtype": "float32", "dtype": "int8"},
        "vocab_size": 50,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"model": {}}')
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "record").write_text("not ours")
    return folder
