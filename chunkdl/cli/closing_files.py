"""The last line for one file: how torch, or whoever reads such files, loads it.

Decides by the reference and the file's name. Deliberately opens no file.
"""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING

from chunkdl.errors import ArtifactNotFound
from chunkdl.identify.torchhub import find_weights
from chunkdl.identify.url_references import is_checkpoint
from chunkdl.model import Hub

if TYPE_CHECKING:
    from chunkdl.model import Reference

_SAFETENSORS = ".safetensors"
_QUANTIZED = "quantized_"  # torchvision's builders of these want to be told so


def checkpoint_line(reference: Reference, path: str, *, is_folder: bool) -> str:
    """A shell command that loads the file at ``path``; empty if it is nothing that torch reads.

    ``is_folder``: it lies in a folder of the user's and not where torch looks.
    """
    if not is_checkpoint(path):
        return ""
    if path.endswith(_SAFETENSORS):
        code = f"from safetensors.torch import load_file; load_file({quoted(path)})"
    elif is_folder:
        code = f"import torch; torch.load({quoted(path)}, weights_only=True)"
    elif reference.hub is Hub.TORCH:
        code = _torchvision(reference.repo_id, path) or f"import torch; torch.load({quoted(path)}, weights_only=True)"
    else:
        code = _torch_hub(reference)
    return f"python -c {shlex.quote(code)}"


def _torchvision(name: str, path: str) -> str:
    """Empty if torchvision means another file by that name by now, as after a fetch by a lock of some age."""
    try:
        found = find_weights(name)
    except ArtifactNotFound:
        return ""
    if found.url.rpartition("/")[2] != PurePath(path).name:
        return ""
    quantize = ", quantize=True" if found.model.startswith(_QUANTIZED) else ""
    called = f"get_model({quoted(found.model)}, weights={quoted(found.weights)}{quantize})"
    return f"from torchvision.models import {called.partition('(')[0]}; {called}"


def _torch_hub(reference: Reference) -> str:
    """What stands behind a question mark is left out: the file is there, and torch goes by its name."""
    url = (reference.url or "").partition("#")[0].partition("?")[0]
    name = reference.path or ""
    named = "" if url.rpartition("/")[2] == name else f", file_name={quoted(name)}"
    return f"import torch; torch.hub.load_state_dict_from_url({quoted(url)}{named}, weights_only=True)"


def quoted(text: str) -> str:
    """A Python string in double quotes, so that a shell needs only single ones around it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
