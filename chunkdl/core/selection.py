"""Which files of a listing to fetch: the smallest set that loads, or exactly what was asked for.

Decides by names alone, as a drop list: everything is chosen except what a rule names, so that a
file nobody thought of is fetched and not lost. Knows nothing of digests, disks or mirrors. A caller
passes ``format="all"`` for datasets and spaces: the rules are about weights of models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from chunkdl.core.selection_families import choose_torch, drop_other_families, drop_twins
from chunkdl.core.selection_quants import choose_gguf, choose_onnx
from chunkdl.core.selection_rules import matches_any, rules
from chunkdl.core.weight_names import gguf_quant, other_family, split_path, torch_sets
from chunkdl.errors import ArtifactNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chunkdl.model import RemoteFile

# What ``--format`` takes; the families without a word here are reached with ``--include``.
FORMATS = ("auto", "safetensors", "bin", "tf", "flax", "gguf", "onnx", "all")


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome, each part in listing order. ``notices`` are for people, one line each.

    ``by_rule``: the rules decided, and no pattern or path of the user's took anything away.
    """

    chosen: tuple[RemoteFile, ...]
    left_out: tuple[RemoteFile, ...] = ()
    notices: tuple[str, ...] = ()
    by_rule: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for, beyond patterns."""

    format: str = "auto"
    variant: str | None = None
    quant: str | None = None

    @property
    def is_default(self) -> bool:
        """True if nothing was asked for, so that patterns alone may decide."""
        return self == Wish()


@dataclass(slots=True)
class Draft:
    """Paths still chosen while the rules work through them, and what they have to say."""

    paths: list[str]
    notices: list[str] = field(default_factory=list)

    def drop(self, paths: Iterable[str]) -> None:
        """Leave ``paths`` out."""
        if gone := set(paths):
            self.paths = [each for each in self.paths if each not in gone]


def select(  # noqa: PLR0913  # the flags of the command line, one for one
    files: Sequence[RemoteFile],
    *,
    format: str = "auto",  # noqa: A002  # the flag's name
    variant: str | None = None,
    quant: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    path: str | None = None,
) -> Selection:
    """Choose among ``files``.

    Args:
        files: the whole listing.
        format: one of ``FORMATS``; ``all`` is the hub's meaning.
        variant: ``fp16`` and the like, as in ``from_pretrained(variant=…)``.
        quant: a GGUF encoding such as ``Q4_K_M``, or an ONNX precision.
        include: patterns; with any, exactly what matches is taken and no rule applies.
        exclude: patterns subtracted at the end. In both ``*`` crosses ``/``, as at the hub.
        path: the file or folder that the reference names.

    Raises:
        ArtifactNotFound: a path, pattern, format, variant or quant without match.
        ValueError: ``format`` is none of ``FORMATS``.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is none of {', '.join(FORMATS)}")
    wish = Wish(format, variant or None, quant or None)
    draft = Draft(_under(path, _included(include, [each.path for each in files])))
    if format == "all":
        draft.notices.extend(_needless(wish))
    elif not (wish.is_default and (include or path)):
        apply_rules(draft, wish)
    draft.drop([each for each in draft.paths if any(fnmatchcase(each, glob) for glob in map(_glob, exclude))])
    if files and not draft.paths:
        raise ArtifactNotFound(
            "nothing is left to fetch: every file was excluded", missing="file", hint="relax --exclude"
        )
    chosen = set(draft.paths)
    return Selection(
        tuple(each for each in files if each.path in chosen),
        tuple(each for each in files if each.path not in chosen),
        tuple(draft.notices),
        by_rule=format != "all" and not (include or exclude or path),
    )


def apply_rules(draft: Draft, wish: Wish) -> None:
    """Drop what the rules name, in an order in which no rule sees what an earlier one dropped."""
    _drop_leftovers(draft)
    drop_other_families(draft, wish)
    choose_torch(draft, wish)
    drop_twins(draft, wish)
    choose_onnx(draft, wish)
    choose_gguf(draft, wish)


def _needless(wish: Wish) -> list[str]:
    flags = [flag for flag, value in (("--variant", wish.variant), ("--quant", wish.quant)) if value]
    return [f"{' and '.join(flags)} changes nothing: --format all takes every file"] if flags else []


def _drop_leftovers(draft: Draft) -> None:
    """Training states, duplicates of the weights for other programs, single-file twins of pipelines."""
    standing = [key for key, found in torch_sets(draft.paths).items() if found.complete]
    pipeline = "model_index.json" in draft.paths and any(key.folder for key in standing)
    indexed = {key.folder for key, found in torch_sets(draft.paths).items() if found.complete and found.index}
    for leftover in rules().leftovers:
        named = [each for each in draft.paths if matches_any(each, leftover.patterns)]
        if leftover.needs == "weights":
            outside = [key for key in standing if not matches_any(f"{key.folder}/", leftover.patterns)]
            named = named if outside else []
        elif leftover.needs == "beside":
            named = [each for each in named if split_path(each)[0] in indexed]
        elif leftover.needs == "pipeline":
            named = [each for each in named if pipeline and "/" not in each and other_family(each) is None]
        elif leftover.needs == "gguf":
            named = named if any(gguf_quant(each) for each in draft.paths if other_family(each) == "gguf") else []
        draft.drop(named)


def _included(include: Sequence[str], paths: list[str]) -> list[str]:
    for pattern in include:
        if not any(fnmatchcase(each, _glob(pattern)) for each in paths):
            raise ArtifactNotFound(
                f"no file matches --include {pattern!r}",
                missing="file",
                hint="--dry-run --format all lists every file",
            )
    globs = [_glob(each) for each in include]
    return [each for each in paths if not globs or any(fnmatchcase(each, glob) for glob in globs)]


def found_among(patterns: Iterable[str], files: Iterable[RemoteFile]) -> tuple[str, ...]:
    """Those of ``patterns`` that match at least one of ``files``: the hub's client takes any of its patterns."""
    paths = [each.path for each in files]
    return tuple(each for each in patterns if any(fnmatchcase(path, _glob(each)) for path in paths))


def _under(path: str | None, paths: list[str]) -> list[str]:
    if path is None:
        return paths
    wanted = path.strip("/")
    found = [each for each in paths if each == wanted or each.startswith(f"{wanted}/")]
    if not found:
        raise ArtifactNotFound(
            f"the repository has no file or folder {wanted!r}",
            missing="file",
            hint="--dry-run --format all lists every file",
        )
    return found


def _glob(pattern: str) -> str:
    """The hub's reading of a pattern: a folder means everything below it, a backslash is a slash."""
    pattern = pattern.replace("\\", "/")
    return f"{pattern}*" if pattern.endswith("/") else pattern
