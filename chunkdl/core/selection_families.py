"""Which of several copies of the same torch weights to keep: family, variant.

Decides per folder, because ``2_Dense/pytorch_model.bin`` may be the only weights there while the
root has safetensors. Drops a file only when a complete set stands in for it. Precisions of ONNX and
GGUF are ``selection_quants``' matter.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from chunkdl.core.selection_quants import family_of_quant
from chunkdl.core.selection_rules import TORCH_FAMILIES, rules
from chunkdl.core.weight_names import SetKey, WeightSet, other_family, torch_sets
from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chunkdl.core.selection import Draft, Wish

    # What was asked for and is not there, and where: one notice names all folders.
    Lacking = dict[str, list[str]]


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
        keep = family_of_quant(draft.paths, wish.quant)
        draft.drop(path for found in sets.values() for path in found.paths)
    elif torch_here or wish.format in TORCH_FAMILIES:
        keep = ""
    else:
        keep = next((each for each in rules().other_families if each in family_of.values()), "")
        if keep:
            _drop_torn(draft, sets)
    draft.drop(path for path, family in family_of.items() if family != keep)


def _drop_torn(draft: Draft, sets: Mapping[SetKey, WeightSet]) -> None:
    """Half a set is of no use to anybody while another family is whole."""
    for key, found in sets.items():
        if found.torn:
            draft.notices.append(f"{_spelt(key)}: {found.torn} shards are there, none is taken")
            draft.drop(found.paths)


def choose_torch(draft: Draft, wish: Wish) -> None:
    """Of each folder's sets of the same weights keep the best complete one."""
    sets = torch_sets(draft.paths)
    groups: dict[tuple[str, str], dict[SetKey, WeightSet]] = defaultdict(dict)
    for key, found in sets.items():
        groups[key.folder, key.stem][key] = found
    if wish.variant is not None and not any(".onnx" in path for path in draft.paths):
        variants = sorted({key.variant for key, found in sets.items() if key.variant and found.complete})
        _require(wish.variant in variants, f"no weights of variant {wish.variant!r}", ", ".join(variants))
    if wish.format not in TORCH_FAMILIES:
        _refuse_torn(draft, groups.values())
    lacking: Lacking = defaultdict(list)
    for group in groups.values():
        _choose_set(draft, wish, group, lacking)
    draft.notices.extend(_told(lacking))
    if wish.format in TORCH_FAMILIES:
        kept = {rules().torch_suffixes.get(path.rpartition(".")[2]) for path in draft.paths}
        _require(wish.format in kept, f"the repository has no {wish.format} weights", _families_here({}, sets))


def _choose_set(draft: Draft, wish: Wish, group: dict[SetKey, WeightSet], lacking: Lacking) -> None:
    ranked = sorted((key for key, found in group.items() if found.complete), key=lambda key: _rank(key, wish))
    if not ranked:
        return
    best = ranked[0]
    keep = {best}
    where = best.folder or "the root"
    if best.variant and best.variant != wish.variant:
        keep = {next(key for key in ranked if key.variant == each.variant) for each in ranked}
        draft.notices.append(_only_variants(where, sorted(key.variant for key in keep)))
    elif wish.variant and best.variant != wish.variant:
        lacking[f"no variant {wish.variant}: the plain weights are taken"].append(where)
    if wish.format in TORCH_FAMILIES and best.family != wish.format:
        lacking[f"no {wish.format} weights: {best.family} is taken"].append(where)
    draft.drop(path for key, found in group.items() if key not in keep for path in found.paths)


def _only_variants(where: str, names: list[str]) -> str:
    """What to say if the plain weights are not there; several that are surely the same weights are a choice."""
    if len(names) == 1:
        return f"{where} has the weights as variant {names[0]} only: load them with variant={names[0]!r}"
    if all(rules().known_variant.fullmatch(each) for each in names):
        _require(False, f"{where} has several variants and no plain weights: name one with --variant", ", ".join(names))
    return f"{where} has only variants ({', '.join(names)}), all are taken; --variant chooses one"


def _refuse_torn(draft: Draft, groups: Iterable[Mapping[SetKey, WeightSet]]) -> None:
    """Half a set with nothing whole in its place cannot load: said before a byte of it is fetched.

    Beside whole weights elsewhere only a pipeline needs it: its components load together.
    """
    broken = [group for group in groups if not any(found.complete for found in group.values())]
    torn = [(key, found) for group in broken for key, found in group.items() if found.torn]
    whole = any(found.complete for found in torch_sets(draft.paths).values())
    for key, found in torn:
        said = f"the repository has {found.torn} shards of {_spelt(key)}"
        if whole and "model_index.json" not in draft.paths:
            draft.notices.append(f"{said}: taken as they are")
            continue
        raise ArtifactNotFound(
            f"{said} and no other weights there",
            hint="the upload is incomplete: try another @revision, or --format all to take it as it is",
            file=found.paths[0],
        )


def _spelt(key: SetKey) -> str:
    name = ".".join(filter(None, (key.stem, key.variant, key.family)))
    return f"{key.folder}/{name}" if key.folder else name


def _told(lacking: Lacking) -> list[str]:
    return [f"{', '.join(where)} {'has' if len(where) == 1 else 'have'} {what}" for what, where in lacking.items()]


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
    worse: list[str] = []
    for found in twins.values():
        best = next(family for family in families if family in found)
        worse += (path for family, paths in found.items() if family != best for path in paths)
    draft.drop(worse)


def _require(condition: bool, message: str, choices: str = "") -> None:  # noqa: FBT001  # reads as an assertion
    if not condition:
        raise ArtifactNotFound(message, hint=f"there is: {choices}" if choices else "--dry-run lists what there is")


def _families_here(family_of: dict[str, str], sets: dict[SetKey, WeightSet]) -> str:
    complete = [key for key, found in sets.items() if found.complete]
    torch = {f"{key.family} of variant {key.variant}" if key.variant else key.family for key in complete}
    return ", ".join([*sorted(torch), *(each for each in rules().other_families if each in family_of.values())])
