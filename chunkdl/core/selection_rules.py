"""The rules of selection as typed values, read once from ``selection_rules.toml`` beside this file.

Decides nothing: the data file says which names are weights, leftovers and quantisations.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from importlib.resources import files

TORCH_FAMILIES = ("safetensors", "bin")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Files that no loader of the main model reads; ``needs`` says when they may be dropped."""

    name: str
    needs: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SelectionRules:
    """Everything the data file says; families stand best first."""

    torch_suffixes: dict[str, str]
    known_stems: frozenset[str]
    known_variant: re.Pattern[str]
    aliases: dict[str, str]
    other_families: dict[str, tuple[str, ...]]
    onnx_variant: re.Pattern[str]
    onnx_aliases: dict[str, str]
    onnx_merged: str
    onnx_merged_replaces: tuple[str, ...]
    gguf_encoding: re.Pattern[str]
    gguf_aliases: dict[str, str]
    gguf_default: str
    gguf_companions: tuple[str, ...]
    gguf_companion_order: tuple[str, ...]
    leftovers: tuple[Leftover, ...]


@cache
def rules() -> SelectionRules:
    """The rules that ship with this version."""
    data = tomllib.loads(files(__package__).joinpath("selection_rules.toml").read_text(encoding="utf-8"))
    return SelectionRules(
        torch_suffixes={suffix: each["family"] for each in data["torch"] for suffix in each["suffixes"]},
        known_stems=frozenset(data["stems"]["known"]),
        known_variant=re.compile(data["variants"]["known"]),
        aliases=data["stems"]["aliases"],
        other_families={each["family"]: tuple(each["patterns"]) for each in data["other"]},
        onnx_variant=re.compile(rf"(?P<base>.+?)[_.-](?P<variant>{data['onnx']['variants']})$", re.IGNORECASE),
        onnx_aliases=data["onnx"]["aliases"],
        onnx_merged=data["onnx"]["merged"],
        onnx_merged_replaces=tuple(data["onnx"]["merged_replaces"]),
        gguf_encoding=re.compile(rf"(?<![A-Z0-9])({data['gguf']['encodings']})(?![A-Z0-9])"),
        gguf_aliases=data["gguf"]["aliases"],
        gguf_default=data["gguf"]["default"],
        gguf_companions=tuple(data["gguf"]["companions"]),
        gguf_companion_order=tuple(data["gguf"]["companion_order"]),
        leftovers=tuple(Leftover(each["name"], each["needs"], tuple(each["patterns"])) for each in data["leftover"]),
    )


def matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    """True if ``path``, in any case, matches one of the data file's lower-case patterns."""
    return _matcher(patterns).match(path.lower()) is not None


@cache
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """All of a rule's patterns at once: listings have tens of thousands of files."""
    return re.compile("|".join(map(translate, patterns)))
