"""Which precision of ONNX and GGUF weights to keep, with all its shards and companions.

Decides by names: one quantisation is enough to load, and which one is the user's choice wherever no
default is beyond doubt. Deliberately never opens a file: external data of an ONNX model is known by the
usual endings, and what fits none of them is kept.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from chunkdl.core.selection_rules import rules
from chunkdl.core.weight_names import (
    gguf_encoding,
    gguf_quant,
    is_companion,
    missing_shards,
    onnx_variant,
    other_family,
    split_path,
    torch_sets,
    without_encoding,
)
from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chunkdl.core.selection import Draft, Wish

    Precisions = Mapping[str, Mapping[str, Sequence[str]]]


def family_of_quant(paths: Sequence[str], quant: str) -> str:
    """``gguf`` or ``onnx``: whichever has weights of ``quant``, in this order.

    Raises:
        ArtifactNotFound: neither; the hint lists what both have.
    """
    quants, groups = _quants(paths), _precisions(paths)
    precisions = sorted({each for found in groups.values() for each in found})
    if _find_quant(sorted(quants), quant):
        return "gguf"
    if _onnx_spelling(quant) in precisions:
        return "onnx"
    variants = {key.variant for key, found in torch_sets(paths).items() if found.complete}
    if quant in variants:
        raise ArtifactNotFound(f"no GGUF or ONNX weights of {quant!r}", hint=f"torch weights: --variant {quant}")
    what = "GGUF" if quants and not groups else "ONNX" if groups and not quants else "GGUF or ONNX"
    raise ArtifactNotFound(
        f"no {what} weights of quantisation {quant!r}",
        hint=_choices([*quants, *_spelt(precisions)]) or "the repository has none: leave --quant out",
    )


def choose_onnx(draft: Draft, wish: Wish) -> None:
    """Of each ONNX model keep one precision with its data, and the merged decoder instead of its two halves."""
    groups = _precisions(draft.paths)
    if not groups:
        return
    said = wish.variant or (wish.quant if wish.format != "gguf" else None)
    asked = None if said is None else _onnx_spelling(said)
    here = sorted({precision for found in groups.values() for precision in found})
    if asked is not None and asked not in here:
        raise ArtifactNotFound(f"no ONNX weights of precision {said!r}", hint=_choices(_spelt(here)))
    lacking: list[str] = []
    others: list[str] = []
    for base, found in groups.items():
        keep = _precision(base, found, asked)
        if asked is not None and keep != asked:
            lacking.append(f"{base} has no precision {said}: {keep or 'the plain one'} is taken")
        others += (path for precision, paths in found.items() if precision != keep for path in paths)
    draft.drop(others)
    _drop_merged_halves(draft)
    kept = {onnx_variant(path)[0] for path in draft.paths if ".onnx" in path}
    draft.notices.extend(line for line in lacking if line.partition(" has ")[0] in kept)


def _precision(base: str, found: Mapping[str, Sequence[str]], asked: str | None) -> str:
    for each in (asked, ""):
        if each is not None and each in found:
            return each
    if len(found) > 1:
        raise ArtifactNotFound(f"{base} has several ONNX precisions: name one with --quant", hint=_choices(found))
    return next(iter(found))


def _precisions(paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        if ".onnx" in path:
            base, precision = onnx_variant(path)
            groups[base][precision].append(path)
    return groups


def _onnx_spelling(quant: str) -> str:
    return rules().onnx_aliases.get(quant.lower(), quant.lower())


def _spelt(precisions: Iterable[str]) -> list[str]:
    """As ``--quant`` takes them: the plain one has a word there."""
    return [each or "fp32" for each in precisions]


def _drop_merged_halves(draft: Draft) -> None:
    bases = {path: split_path(onnx_variant(path)[0]) for path in draft.paths if ".onnx" in path}
    merged_in = {folder for folder, name in bases.values() if name == rules().onnx_merged}
    draft.drop(
        path for path, (folder, name) in bases.items() if folder in merged_in and name in rules().onnx_merged_replaces
    )


def choose_gguf(draft: Draft, wish: Wish) -> None:
    """Keep one quantisation with all its shards; one projector; files that name no encoding always stay."""
    gguf = [path for path in draft.paths if other_family(path) == "gguf"]
    quants = _quants(gguf)
    if not quants:
        if gguf and wish.quant is not None:
            raise ArtifactNotFound(f"no GGUF of quantisation {wish.quant!r}", hint="its names state none")
        return
    wanted = _wanted_quant(sorted(quants), wish.quant)
    if wish.quant is None and len(quants) > 1:
        draft.notices.append(f"{wanted} is taken of {len(quants)} quantisations; --quant chooses another")
    if missing := missing_shards(quants[wanted]):
        raise ArtifactNotFound(
            f"the listing lacks shards of {missing[0]}",
            hint="choose another --quant" if len(quants) > 1 else "the upload is incomplete: try another @revision",
        )
    draft.drop(path for quant, paths in quants.items() if quant != wanted for path in paths)
    _choose_companions(draft)


def _choose_companions(draft: Draft) -> None:
    """A projector in three precisions is needed once."""
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for path in draft.paths:
        if is_companion(path) and (encoding := gguf_encoding(path)):
            groups[without_encoding(path)][encoding] = path
    for found in groups.values():
        keep = next((each for each in rules().gguf_companion_order if each in found), None)
        if keep is not None and len(found) > 1:
            draft.notices.append(f"{found[keep]} is taken of {len(found)} precisions; --include chooses another")
            draft.drop(path for encoding, path in found.items() if encoding != keep)


def _quants(paths: Iterable[str]) -> dict[str, list[str]]:
    quants: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        if other_family(path) == "gguf" and (quant := gguf_quant(path)):
            quants[quant].append(path)
    return quants


def _wanted_quant(choices: list[str], asked: str | None) -> str:
    """The one asked for, the only one, or the default."""
    if asked is None and len(choices) == 1:
        return choices[0]
    found = _find_quant(choices, asked or rules().gguf_default)
    if found is None:
        said = f"no GGUF of quantisation {asked!r}" if asked else "several GGUF quantisations: name one with --quant"
        raise ArtifactNotFound(said, hint=_choices(choices))
    return found


def _find_quant(choices: Sequence[str], asked: str) -> str | None:
    """In any case; unsloth's ``UD-`` may be left unsaid."""
    name = rules().gguf_aliases.get(asked.upper(), asked.upper())
    return next((each for each in (name, f"UD-{name}") if each in choices), None)


def _choices(names: Iterable[str]) -> str:
    return f"there is: {', '.join(found)}" if (found := sorted(names)) else ""
