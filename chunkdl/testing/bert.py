"""A repository shaped like bert-base-uncased, of any size, made without torch or numpy.

Decides files, names and shapes: real config, tokenizer and safetensors header, generated weights. Loads
with transformers; knows nothing of any language. Beside the weights lie the same weights in older
families (as decoys of the right names and noise inside), so that choosing files has something to leave out.
"""

from __future__ import annotations

import json
import string
import struct
from dataclasses import dataclass
from itertools import count, islice, product
from typing import TYPE_CHECKING, Any

from chunkdl.model import MIB
from chunkdl.testing.content import JoinedContent, SeededContent
from chunkdl.testing.hub_repo import HubRepo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.testing.content import Content

_FLOAT_BYTES = 4
_POSITIONS = 512
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_DECOYS = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot")
# The vocabulary of the real model, and one that does not outweigh a small model.
_REAL_VOCABULARY = 30_522
_SMALL_VOCABULARY = 1_024
_REAL_VOCABULARY_FROM_BYTES = 40 * MIB


@dataclass(frozen=True)
class BertShape:
    """The numbers of a config.json that decide every tensor's shape."""

    vocabulary: int
    hidden: int
    layers: int
    intermediate: int

    @property
    def heads(self) -> int:
        """Attention heads of 64 dimensions, as BERT has them."""
        return max(self.hidden // 64, 1)

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield names and shapes as transformers writes them for ``BertForMaskedLM``."""
        hidden = self.hidden
        for name, rows in (("word", self.vocabulary), ("position", _POSITIONS), ("token_type", 2)):
            yield f"bert.embeddings.{name}_embeddings.weight", (rows, hidden)
        yield from _norm("bert.embeddings", hidden)
        for layer in range(self.layers):
            yield from self._layer(f"bert.encoder.layer.{layer}")
        yield "cls.predictions.bias", (self.vocabulary,)
        yield from _dense("cls.predictions.transform.dense", hidden, hidden)
        yield from _norm("cls.predictions.transform", hidden)

    def weight_bytes(self) -> int:
        """Size of all tensors together."""
        return sum(_tensor_bytes(shape) for _, shape in self.tensors())

    def _layer(self, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            yield from _dense(f"{prefix}.attention.{part}", self.hidden, self.hidden)
        yield from _norm(f"{prefix}.attention.output", self.hidden)
        yield from _dense(f"{prefix}.intermediate.dense", self.intermediate, self.hidden)
        yield from _dense(f"{prefix}.output.dense", self.hidden, self.intermediate)
        yield from _norm(f"{prefix}.output", self.hidden)


def bert_repo(
    weights_bytes: int = 48 * MIB,
    *,
    repo_id: str = "bert-base-uncased",
    canonical_id: str | None = "google-bert/bert-base-uncased",
    seed: int = 0,
    decoys: bool = True,
    chat_templates: bool = False,
) -> HubRepo:
    """Make the repository.

    Args:
        weights_bytes: about how large model.safetensors shall be, at least 1 MiB; shapes are chosen to fit within 5 %.
        repo_id: the name that users type.
        canonical_id: the hub's own id, or None if it is the same.
        seed: decides the weights.
        decoys: add the same weights' older families, of the same size each.
        chat_templates: add ``chat_template.jinja`` and ``additional_chat_templates/tool_use.jinja``.
    """
    shape = fitting_shape(weights_bytes)
    vocabulary = _vocabulary(shape.vocabulary)
    files: dict[str, Content | bytes | str] = {
        ".gitattributes": "*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": "---\nlicense: apache-2.0\n---\n\n# Shapes of bert-base-uncased, random weights\n",
        "config.json": _json(_config(shape)),
        "model.safetensors": safetensors(shape, seed),
        "tokenizer.json": _json(_tokenizer(vocabulary)),
        "tokenizer_config.json": _json({"do_lower_case": True, "model_max_length": _POSITIONS}),
        "vocab.txt": "".join(f"{token}\n" for token in vocabulary),
    }
    if decoys:
        size = shape.weight_bytes()
        files.update({name: SeededContent(seed * 100 + index, size) for index, name in enumerate(_DECOYS, 1)})
    if chat_templates:
        files["chat_template.jinja"] = "{% for m in messages %}{{ m.content }}{% endfor %}\n"
        files["additional_chat_templates/tool_use.jinja"] = "{% for m in messages %}tool {{ m.content }}{% endfor %}\n"
    return HubRepo(repo_id, files, canonical_id=canonical_id)


def fitting_shape(weights_bytes: int) -> BertShape:
    """Return the largest shape whose tensors take no more than ``weights_bytes``, tuned by its inner width."""
    vocabulary = _REAL_VOCABULARY if weights_bytes >= _REAL_VOCABULARY_FROM_BYTES else _SMALL_VOCABULARY
    best = BertShape(vocabulary, hidden=64, layers=1, intermediate=64)
    for hidden in range(64, 1025, 64):
        layers = min(12, max(1, hidden // 64))
        narrow = BertShape(vocabulary, hidden, layers, intermediate=1)
        one_wider = BertShape(vocabulary, hidden, layers, intermediate=2).weight_bytes() - narrow.weight_bytes()
        spare = (weights_bytes - narrow.weight_bytes()) // one_wider
        # A width below the hidden size is no BERT any more; the narrower model with wider layers is taken then.
        if spare >= hidden:
            best = BertShape(vocabulary, hidden, layers, intermediate=1 + spare)
    return best


def safetensors(shape: BertShape, seed: int) -> JoinedContent:
    """Return a valid safetensors file: eight bytes of header length, the header, the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dimensions in shape.tensors():
        stop = offset + _tensor_bytes(dimensions)
        header[name] = {"dtype": "F32", "shape": list(dimensions), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return JoinedContent(struct.pack("<Q", len(text)) + text, SeededContent(seed, offset, floats=True))


def _dense(name: str, rows: int, columns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.LayerNorm.weight", (width,)
    yield f"{name}.LayerNorm.bias", (width,)


def _tensor_bytes(shape: tuple[int, ...]) -> int:
    elements = 1
    for extent in shape:
        elements *= extent
    return elements * _FLOAT_BYTES


def _vocabulary(size: int) -> list[str]:
    """Return special tokens, letters, and made-up words, each whole and as a continuation."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    words = ("".join(letters) for length in count(2) for letters in product(string.ascii_lowercase, repeat=length))
    pieces = (piece for word in words for piece in (word, f"##{word}"))
    start = [*_SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters)]
    return [*start, *islice(pieces, size - len(start))]


def _config(shape: BertShape) -> dict[str, Any]:
    return {
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": _POSITIONS,
        "model_type": "bert",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
        "vocab_size": shape.vocabulary,
    }


def _tokenizer(vocabulary: list[str]) -> dict[str, Any]:
    """Return what the tokenizers library reads: BERT's normaliser, splitter and WordPiece."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": token, **flags} for index, token in enumerate(_SPECIAL_TOKENS)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: index for index, token in enumerate(vocabulary)},
        },
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
