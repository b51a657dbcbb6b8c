"""Which of several copies of the same weights to keep: family, variant, precision, quantisation.

Decides per folder, because ``2_Dense/pytorch_model.bin`` may be the only weights there while the
root has safetensors. Drops a file only when a complete set stands in for it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from chunkdl.core.selection_rules import TORCH_FAMILIES, rules
from chunkdl.core.weight_names import (
    SetKey,
    WeightSet,
    gguf_quant,
    missing_shards,
    onnx_variant,
    other_family,
    split_path,
    torch_sets,
)
from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.core.selection import Draft, Wish


def drop_other_families(draft: Draft, wish: Wish) -> None:
    """Keep one family besides torch's: the one asked for, or the best if torch finds nothing."""
    family_of = {path: family for path in draft.paths if (family := other_family(path))}
    sets = torch_sets(draft.paths)
    torch_here = any(found.complete for found in sets.values())
    if wish.format in rules().other_families:
        keep = wish.format
        _require(keep in family_of.values(), f"the repository has no {keep} weights", _families_here(family_of, sets))
        draft.drop(path for found in sets.values() for path in found.paths)
    elif wish.quant is not None:
        keep = "gguf" if "gguf" in family_of.values() else "onnx"
        _require(keep in family_of.values(), f"the repository has no quantised weights for --quant {wish.quant}")
        draft.drop(path for found in sets.values() for path in found.paths)
    elif torch_here or wish.format in TORCH_FAMILIES:
        keep = ""
    else:
        keep = next((each for each in rules().other_families if each in family_of.values()), "")
    draft.drop(path for path, family in family_of.items() if family != keep)


def choose_torch(draft: Draft, wish: Wish) -> None:
    """Of each folder's sets of the same weights keep the best complete one."""
    sets = torch_sets(draft.paths)
    groups: dict[tuple[str, str], dict[SetKey, WeightSet]] = defaultdict(dict)
    for key, found in sets.items():
        groups[key.folder, key.stem][key] = found
    if wish.variant is not None and not any(".onnx" in path for path in draft.paths):
        variants = sorted({key.variant for key in sets if key.variant})
        _require(wish.variant in variants, f"no weights of variant {wish.variant!r}", ", ".join(variants))
    for group in groups.values():
        _choose_set(draft, wish, group)
    if wish.format in TORCH_FAMILIES:
        kept = {rules().torch_suffixes.get(path.rpartition(".")[2]) for path in draft.paths}
        _require(wish.format in kept, f"the repository has no {wish.format} weights", _families_here({}, sets))


def _choose_set(draft: Draft, wish: Wish, group: dict[SetKey, WeightSet]) -> None:
    ranked = sorted((key for key, found in group.items() if found.complete), key=lambda key: _rank(key, wish))
    if not ranked:
        return
    best = ranked[0]
    keep = {best}
    if best.variant and best.variant != wish.variant:
        keep = {next(key for key in ranked if key.variant == each.variant) for each in ranked}
    draft.notices.extend(_compromises(best, keep, wish))
    draft.drop(path for key, found in group.items() if key not in keep for path in found.paths)


def _compromises(best: SetKey, keep: set[SetKey], wish: Wish) -> Iterator[str]:
    """What was asked for and is not there, in words."""
    where = best.folder or "the root"
    if best.variant and best.variant != wish.variant:
        names = ", ".join(sorted(key.variant for key in keep))
        yield f"{where} has only variants ({names}), all are taken; --variant chooses one"
    elif wish.variant and best.variant != wish.variant:
        yield f"{where} has no variant {wish.variant}: the plain weights are taken"
    if wish.format in TORCH_FAMILIES and best.family != wish.format:
        yield f"{where} has no {wish.format} weights: {best.family} is taken"


def _rank(key: SetKey, wish: Wish) -> tuple[bool, bool, bool, int]:
    """Ascending: the variant asked for, then plain, the format asked for, then the better family."""
    return (
        key.variant != (wish.variant or ""),
        key.variant != "",
        wish.format in TORCH_FAMILIES and key.family != wish.format,
        TORCH_FAMILIES.index(key.family),
    )


def drop_twins(draft: Draft, wish: Wish) -> None:
    """Of files that differ only in the suffix (``v1-5.ckpt``, ``v1-5.safetensors``) keep the better family."""
    families = sorted(TORCH_FAMILIES, key=lambda family: family != wish.format)  # stable: asked for first
    twins: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in draft.paths:
        base, _, suffix = path.rpartition(".")
        if (family := rules().torch_suffixes.get(suffix)) and other_family(path) is None:
            twins[base][family].append(path)
    for found in twins.values():
        best = next(family for family in families if family in found)
        draft.drop(path for family, paths in found.items() if family != best for path in paths)


def choose_onnx(draft: Draft, wish: Wish) -> None:
    """Of each ONNX model keep one precision, and the merged decoder instead of its two halves."""
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in draft.paths:
        if ".onnx" in path:
            base, variant = onnx_variant(path)
            groups[base][variant].append(path)
    if not groups:
        return
    asked = wish.variant or (wish.quant if wish.format != "gguf" else None)
    here = {variant for found in groups.values() for variant in found if variant}
    _require(asked is None or asked in here, f"no ONNX weights of precision {asked!r}", ", ".join(sorted(here)))
    for found in groups.values():
        keep = next((each for each in (asked, "") if each in found), None)
        if keep is not None:
            draft.drop(path for variant, paths in found.items() if variant != keep for path in paths)
    _drop_merged_halves(draft)


def _drop_merged_halves(draft: Draft) -> None:
    bases = {path: split_path(onnx_variant(path)[0]) for path in draft.paths if ".onnx" in path}
    merged_in = {folder for folder, name in bases.values() if name == rules().onnx_merged}
    draft.drop(
        path for path, (folder, name) in bases.items() if folder in merged_in and name in rules().onnx_merged_replaces
    )


def choose_gguf(draft: Draft, wish: Wish) -> None:
    """Keep one quantisation with all its shards; companions and files that name none always stay."""
    quants: dict[str, list[str]] = defaultdict(list)
    gguf = [path for path in draft.paths if other_family(path) == "gguf"]
    for path in gguf:
        if quant := gguf_quant(path):
            quants[quant].append(path)
    if not gguf or (wish.quant is None and len(quants) <= 1):
        return
    wanted = _wanted_quant(sorted(quants), wish.quant)
    if wish.quant is None:
        draft.notices.append(f"{wanted} is taken of {len(quants)} quantisations; --quant chooses another")
    if missing := missing_shards(quants[wanted]):
        raise ArtifactNotFound(f"the listing lacks shards of {missing[0]}", hint="choose another --quant")
    draft.drop(path for quant, paths in quants.items() if quant != wanted for path in paths)


def _wanted_quant(choices: list[str], asked: str | None) -> str:
    """The one asked for, else the default; unsloth's ``UD-`` may be left unsaid."""
    name = (asked or rules().gguf_default).upper()
    found = [each for each in (name, f"UD-{name}") if each in choices]
    said = f"no GGUF of quantisation {asked!r}" if asked else "several GGUF quantisations: name one with --quant"
    _require(bool(found), said, ", ".join(choices))
    return found[0]


def _require(condition: bool, message: str, choices: str = "") -> None:  # noqa: FBT001  # reads as an assertion
    if not condition:
        raise ArtifactNotFound(message, hint=f"there is: {choices}" if choices else "--dry-run lists what there is")


def _families_here(family_of: dict[str, str], sets: dict[SetKey, WeightSet]) -> str:
    complete = [key for key, found in sets.items() if found.complete]
    torch = {f"{key.family} of variant {key.variant}" if key.variant else key.family for key in complete}
    return ", ".join([*sorted(torch), *(each for each in rules().other_families if each in family_of.values())])
