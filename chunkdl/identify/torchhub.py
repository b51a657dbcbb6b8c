"""What ``torch:NAME`` means: torchvision's names of models and weights, as its own enums give them.

Decides which file a name stands for, and which file names carry a hash that is not theirs. The table beside this file
is written by ``scripts/torchvision-table``; it holds the first digits of sha256s, because nobody publishes more.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_DEFAULT = "DEFAULT"
# As many near names as a line can hold.
_NEAR = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights of one model: ``resnet50`` and ``IMAGENET1K_V2``, and where torchvision takes it from."""

    model: str
    weights: str
    url: str


@dataclass(frozen=True, slots=True)
class Table:
    """torchvision's enums: ``models`` maps a builder's name to its weights, ``DEFAULT`` being the name of one of them.

    ``mislabelled`` maps file names to the digits that their sha256 really begins with; ``source`` says which release.
    """

    source: str
    models: Mapping[str, Mapping[str, str]]
    mislabelled: Mapping[str, str]


@cache
def table() -> Table:
    """The table, read once."""
    text = files("chunkdl.identify").joinpath("torchvision_weights.toml").read_text(encoding="utf-8")
    return Table(**tomllib.loads(text))


def find_weights(name: str) -> Weights:
    """What ``resnet50`` or ``resnet50.IMAGENET1K_V1`` means; letters of either case will do, as in torchvision.

    Raises:
        ArtifactNotFound: no such model or weights; the hint names near ones.
    """
    model, dot, weights = name.partition(".")
    known = table().models
    model = model.lower()
    if model not in known:
        near = _near(model, known)
        raise ArtifactNotFound(
            f"torch:{name}: {table().source} knows no model {model!r}",
            hint=f"did you mean {near}?" if near else "names are those of torchvision.models.list_models()",
        )
    own = known[model]
    chosen = weights.upper() if dot else _DEFAULT
    chosen = own[_DEFAULT] if chosen == _DEFAULT else chosen
    if chosen not in own:
        choices = ", ".join(each for each in own if each != _DEFAULT)
        raise ArtifactNotFound(f"torch:{name}: {model} has no weights {weights!r}", hint=f"it has {choices}")
    return Weights(model, chosen, own[chosen])


def _near(model: str, known: Collection[str]) -> str:
    return ", ".join(f"torch:{each}" for each in get_close_matches(model, sorted(known), n=_NEAR))


def true_prefix(file_name: str) -> str | None:
    """The digits that the sha256 of a file begins with whose name is known to say others; None for every other name."""
    return table().mislabelled.get(file_name)
