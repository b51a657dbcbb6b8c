"""What converting a folder would do: which files are converted, rewritten, copied, left out; and what is refused.

Decides before a byte is written, from names, headers and configurations alone. One family of weights is
enough in the result, so that the rules of selection hold here too. Pickles are never opened: reading one
may run whatever code its author put in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from chunkdl.convert.header import BITS, Header, Tensor, laid_out, read_header, spell_header
from chunkdl.convert.numbers import FLOATS
from chunkdl.core.selection import Draft, Wish, apply_rules
from chunkdl.core.selection_rules import rules
from chunkdl.core.weight_index import is_index, shards_named
from chunkdl.core.weight_names import split_path, torch_sets
from chunkdl.disk import store_errors
from chunkdl.errors import ArtifactNotFound, IntegrityError, PolicyRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# --dtype, the format's word for it, and what configurations write.
DTYPES = {"fp16": "F16", "bf16": "BF16"}
CONFIG_WORDS = {"F16": "float16", "BF16": "bfloat16"}
# transformers 5 writes dtype, 4 wrote torch_dtype; either says in which type to load.
_CONFIG_KEYS = ("dtype", "torch_dtype")
_FLOAT_WORDS = frozenset({"float64", "float32", "float16", "bfloat16"})
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# A configuration larger than this is none; the largest known are some hundred kilobytes.
_JSON_LIMIT_BYTES = 64 << 20


class Act(StrEnum):
    """What becomes of one file."""

    CONVERT = "convert"
    REWRITE = "rewrite"  # JSON that states types or sizes
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Work:
    """One file of the result. ``size`` in bytes, exact; ``text`` is what is written for a rewritten one."""

    name: str
    act: Act
    read_bytes: int
    size: int
    header: Header | None = None
    tensors: tuple[Tensor, ...] = ()
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Conversion:
    """Everything that will be done to ``source``. ``left_out`` are names of files that the result goes without."""

    source: Path
    target: Path
    dtype: str
    works: tuple[Work, ...]
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the result."""
        return sum(each.size for each in self.works)

    @property
    def read_bytes(self) -> int:
        """Bytes that have to be read."""
        return sum(each.read_bytes for each in self.works)


def plan_conversion(source: Path, target: Path, files: Mapping[str, int], dtype: str) -> Conversion:
    """Plan to write ``source`` in ``dtype`` (``F16`` or ``BF16``) to ``target``.

    Args:
        source: the folder.
        target: the folder that will be made.
        files: names below ``source``, with slashes, and their sizes in bytes.
        dtype: a key of ``CONFIG_WORDS``.

    Raises:
        ArtifactNotFound: no safetensors weights.
        IntegrityError: a damaged file or index.
        PolicyRefused: only pickles, weights that are quantised or named after a precision, nothing to do.
    """
    _refuse_without(files)
    names, left_out = _chosen(files)
    _refuse_without(names)
    weights = [each for each in names if each.endswith(".safetensors")]
    _refuse_variants(weights)
    headers = {each: read_header(source / each, each) for each in weights}
    _refuse_types(headers, dtype)
    plans = {name: _tensors(header, dtype) for name, header in headers.items()}
    works = [_work(source, name, files[name], headers, plans, dtype) for name in names]
    pickles = [each for each in names if each.endswith(_PICKLES)]
    notices = [f"{each} is copied as it is: a pickle is never opened" for each in pickles]
    return Conversion(source, target, dtype, tuple(works), left_out, tuple(notices))


def _chosen(files: Mapping[str, int]) -> tuple[list[str], tuple[str, ...]]:
    draft = Draft(sorted(files))
    try:
        apply_rules(draft, Wish())
    except ArtifactNotFound as error:
        what = error.message.partition(": name one with")[0]
        raise ArtifactNotFound(
            f"{what}, and convert takes one whole set of plain safetensors weights",
            hint="fetch the repository without --variant and --quant and convert that; a variant that is here loads as "
            "it is, with variant=NAME",
        ) from error
    return draft.paths, tuple(sorted(set(files).difference(draft.paths)))


def _refuse_without(names: Iterable[str]) -> None:
    if any(each.endswith(".safetensors") for each in names):
        return
    if pickles := [each for each in names if each.endswith(_PICKLES)]:
        raise PolicyRefused(
            f"the only weights are pickles ({pickles[0]}), which chunkdl does not open: reading one can run code",
            hint="fetch the repository with --format safetensors, or a revision that has them (often refs/pr/1)",
            file=pickles[0],
        )
    if any(each.endswith(".gguf") for each in names):
        raise PolicyRefused("GGUF weights are converted by llama.cpp's own llama-quantize", hint="see the README")
    raise ArtifactNotFound("there are no safetensors weights to convert", hint="name the folder that holds them")


def _refuse_variants(weights: Sequence[str]) -> None:
    for key, found in torch_sets(weights).items():
        if key.variant and rules().known_variant.fullmatch(key.variant) and any(map(str.isdigit, key.variant)):
            raise PolicyRefused(
                f"{found.paths[0]} is named after its precision, {key.variant}",
                hint="fetch the plain weights (without --variant) and convert those",
                file=found.paths[0],
            )


def _refuse_types(headers: Mapping[str, Header], dtype: str) -> None:
    for name, header in headers.items():
        for each in header.tensors:
            if each.dtype not in BITS:
                raise PolicyRefused(
                    f"{name} holds {each.dtype} ({each.name}): quantised weights with scales of their own",
                    hint="convert the weights that these were made from",
                    file=name,
                )
    here = {each.dtype for header in headers.values() for each in header.tensors}
    if not here.intersection(FLOATS).difference({dtype}):
        raise PolicyRefused(f"nothing to do: no tensor is of another floating type than {dtype}")


def _tensors(header: Header, dtype: str) -> tuple[Tensor, ...]:
    return laid_out(
        Tensor(each.name, dtype if each.dtype in FLOATS else each.dtype, each.shape, 0, 0) for each in header.tensors
    )


def _work(
    source: Path,
    name: str,
    size: int,
    headers: Mapping[str, Header],
    plans: Mapping[str, tuple[Tensor, ...]],
    dtype: str,
) -> Work:
    if name in headers:
        head = spell_header(plans[name], headers[name].metadata)
        out = len(head) + sum(each.size for each in plans[name])
        return Work(name, Act.CONVERT, size, out, headers[name], plans[name])
    text = None
    if is_index(name, size) and ".safetensors" in name:
        text = _index(source, name, size, plans)
    elif split_path(name)[1] == "config.json":
        text = _config(source, name, size, dtype)
    if text is None:
        return Work(name, Act.COPY, size, size)
    return Work(name, Act.REWRITE, size, len(text), text=text)


def _index(source: Path, name: str, size: int, plans: Mapping[str, Iterable[Tensor]]) -> bytes:
    """The same map; its total is that of the converted tensors."""
    told = _read_json(source, name, size)
    if not isinstance(told, dict) or not isinstance(told.get("weight_map"), dict):
        raise IntegrityError(f"{name} is no index of weights", hint="fetch it again", file=name)
    total = 0
    for shard in shards_named(name, json.dumps(told).encode()):
        if shard not in plans:
            raise IntegrityError(f"{name} names {shard}, which is not there", hint="fetch the rest first", file=name)
        total += sum(each.size for each in plans[shard])
    metadata = told.get("metadata")
    told["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), "total_size": total}
    return _spell_json(told)


def _config(source: Path, name: str, size: int, dtype: str) -> bytes | None:
    """The configuration with its types changed; None if it states none that changes."""
    told = _read_json(source, name, size)
    if not isinstance(told, dict):
        return None
    if told.get("quantization_config") is not None:
        raise PolicyRefused(
            f"{name} says that the weights are quantised already",
            hint="convert the weights that these were made from",
            file=name,
        )
    before = json.dumps(told)
    _restate(told, CONFIG_WORDS[dtype])
    return None if json.dumps(told) == before else _spell_json(told)


def _restate(told: dict[str, Any], word: str) -> None:
    """Parts of a model state their own types (``text_config``, ``vision_config``): theirs are converted too."""
    for key, value in told.items():
        if isinstance(value, dict):
            _restate(value, word)
        elif key in _CONFIG_KEYS and isinstance(value, str) and value in _FLOAT_WORDS:
            told[key] = word


def _read_json(source: Path, name: str, size: int) -> Any:
    if size > _JSON_LIMIT_BYTES:
        raise IntegrityError(f"{name} is larger than {_JSON_LIMIT_BYTES} bytes", hint="fetch it again", file=name)
    with store_errors(source / name):
        text = (source / name).read_bytes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{name} is no JSON: {error}", hint="fetch it again", file=name) from error


def _spell_json(told: Any) -> bytes:
    """As transformers writes it."""
    return (json.dumps(told, indent=2) + "\n").encode("ascii")
