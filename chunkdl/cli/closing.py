"""The last lines on stderr: what the run brought, and how to load what is now there.

Decides, from the names of the placed files, which library's line to print. Deliberately opens no file.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.cli.closing_files import checkpoint_line, quoted
from chunkdl.identify.references import parse_reference
from chunkdl.model import Reference, RepoType
from chunkdl.spelling import spell_bytes, spell_count, spell_duration, spell_rate, spell_reference

if TYPE_CHECKING:
    from collections.abc import Collection

    from chunkdl.report import ReferenceReport, Report

_TRANSFORMERS = ("transformers", "AutoModel.from_pretrained")
# File at a repository's root → the module and the expression that loads the whole, first match wins. None: nothing
# here does; an adapter wants its base model, which is another repository.
_LOADERS = (
    ("model_index.json", ("diffusers", "DiffusionPipeline.from_pretrained")),
    ("modules.json", ("sentence_transformers", "SentenceTransformer")),
    ("adapter_config.json", None),
    ("config.json", _TRANSFORMERS),
)
_WITH_VARIANT = frozenset({"diffusers", "transformers"})
# How transformers names weights at the root, variants and shards included.
_WEIGHTS = re.compile(r"(model[^/]*\.safetensors|pytorch_model[^/]*\.bin)")
_CACHE_ARGUMENT = {"sentence_transformers": "cache_folder"}
# The order in which the libraries' own documentation writes them.
_ORDER = ("revision", "variant", "gguf_file", "cache_dir", "cache_folder")


def summary(report: Report) -> str:
    """One line on the whole run: bytes, time, goodput, who gave how much."""
    totals = report.totals
    if not totals.bytes_fetched:
        return f"{spell_bytes(totals.bytes)} in place already, nothing to fetch ({spell_duration(totals.wall_s)})"
    parts = [
        f"{spell_bytes(totals.bytes_fetched)} fetched in {spell_duration(totals.wall_s)}",
        spell_rate(totals.goodput_bytes_per_s),
    ]
    if totals.bytes_reused:
        parts.append(f"{spell_bytes(totals.bytes_reused)} were here already")
    if totals.bytes_wasted:
        parts.append(f"{spell_bytes(totals.bytes_wasted)} came in vain")
    gifts: Counter[str] = Counter()
    for each in report.hosts:
        gifts["+".join(each.mirrors) or each.host] += each.bytes
    parts += [f"{giver} gave {spell_bytes(count)}" for giver, count in gifts.most_common() if count]
    return ", ".join(parts)


def left_out(result: ReferenceReport) -> str:
    """What selection saved, and how to get it all the same; empty if nothing."""
    if not result.left_out.files:
        return ""
    what = f"{spell_count(result.left_out.files, 'file')} ({spell_bytes(result.left_out.bytes)})"
    return f"{spell_reference(result.ref)}: {what} not needed to load it were left out; --format all fetches everything"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a loader must be told to find the files: what the command line said of revision and cache.

    ``is_folder``: the result's own path is a folder of real files, which loaders take in place of a name.
    """

    revision: str | None = None
    cache_dir: str | None = None
    is_folder: bool = False


def loading_line(result: ReferenceReport, where: Whereabouts, *, variant: str | None) -> str:
    """A shell command that loads ``result`` offline; empty if there is nothing but files to be read."""
    reference = parse_reference(result.ref)
    if reference.hub.names_files and result.ok:
        return checkpoint_line(reference, str(result.path), is_folder=where.is_folder)
    if reference.path is not None or not result.ok:
        return ""
    paths = {each.path for each in result.files}
    module, call = _loader(reference, paths)
    name = reference.repo_id
    cache = _CACHE_ARGUMENT.get(module, "cache_dir")
    options = {"revision": _revision(reference, result, where), cache: where.cache_dir}
    if where.is_folder:
        if module == "huggingface_hub":  # it would only say where the files are
            return ""
        name, options = str(result.path), {}
    if module in _WITH_VARIANT:
        options["variant"] = variant
    if module == "transformers":
        options["gguf_file"] = _gguf(paths)
    code = _loading_code(reference, (module, call), name, options)
    return f"HF_HUB_OFFLINE=1 python -c {shlex.quote(code)}"


def _loading_code(reference: Reference, loader: tuple[str, str], name: str, options: dict[str, str | None]) -> str:
    module, call = loader
    arguments = [quoted(name)]
    arguments += [f"{key}={quoted(value)}" for key in _ORDER if (value := options.get(key)) is not None]
    if module == "huggingface_hub":
        if reference.repo_type is not RepoType.MODEL:
            arguments.append(f"repo_type={quoted(reference.repo_type.value)}")
        arguments.append("local_files_only=True")
    return f"from {module} import {call.split('.')[0]}; {call}({', '.join(arguments)})"


def _revision(reference: Reference, result: ReferenceReport, where: Whereabouts) -> str | None:
    """What was typed, here or when it was locked; None for what loaders take by themselves."""
    typed = reference.revision or where.revision
    return typed or (result.revision if result.revision != reference.hub.default_revision else None)


def folder_line(path: str, names: Collection[str]) -> str:
    """A shell command that loads the model in the folder ``path``; empty if no library is known by its ``names``."""
    if (found := _by_marker(names)) is None:
        return ""
    module, call = found
    code = f"from {module} import {call.split('.')[0]}; {call}({quoted(path)})"
    return f"python -c {shlex.quote(code)}"


def _by_marker(paths: Collection[str]) -> tuple[str, str] | None:
    found = next((loader for marker, loader in _LOADERS if marker in paths), None)
    if found == _TRANSFORMERS and not (_gguf(paths) or any(map(_WEIGHTS.fullmatch, paths))):
        return None  # ONNX, or configuration alone
    return found


def _gguf(paths: Collection[str]) -> str | None:
    """The file that transformers must be told of: the only one, and no weights that it finds by itself."""
    found = [each for each in paths if "/" not in each and each.endswith(".gguf")]
    return found[0] if len(found) == 1 and not any(map(_WEIGHTS.fullmatch, paths)) else None


def _loader(reference: Reference, paths: Collection[str]) -> tuple[str, str]:
    found = _by_marker(paths) if reference.repo_type is RepoType.MODEL else None
    return found or ("huggingface_hub", "snapshot_download")
