"""``torch.hub``'s downloads by our engine: same arguments, same files, same errors for the same faults.

Decides what the arguments of ``load_state_dict_from_url`` and ``download_url_to_file`` (torch 2.13) mean to a fetch.
Reading the file is left to torch itself, with everything it was told: nothing is unpickled or unzipped here. As there,
a file that stands under the name already is taken as it is, and nobody is asked; and HF_HUB_OFFLINE has no say.
"""

from __future__ import annotations

import os
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlparse

from chunkdl.api import FetchFailed, FetchOptions, completed, result_of, shared_fetch
from chunkdl.disk import NEW_SUFFIX, replace, store_errors
from chunkdl.errors import IntegrityError, UsageError
from chunkdl.identify.checkpoints import name_digest
from chunkdl.identify.torchhub import true_prefix
from chunkdl.integrations.hub_bars import Bar
from chunkdl.settings.called import SourceOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.api import FetchResult

__all__ = ["download_url_to_file", "load_state_dict_from_url"]

# What torch.load takes for it, spelt without torch.
MapLocation: TypeAlias = "Callable[[Any, str], Any] | Any | str | dict[str, str] | None"
# torch.hub's HASH_REGEX: whatever stands between the first dash that is followed by hex digits and a dot.
_HASH = re.compile(r"-([a-f0-9]*)\.")
# Fewer digits than these prove too little to settle what is fetched; they are compared afterwards, as torch does.
_FEWEST_DIGITS = 8


def load_state_dict_from_url(  # noqa: PLR0913, PLR0917  torch's signature
    url: str,
    model_dir: str | None = None,
    map_location: MapLocation = None,
    progress: bool = True,  # noqa: FBT001, FBT002
    check_hash: bool = False,  # noqa: FBT001, FBT002
    file_name: str | None = None,
    weights_only: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, Any]:
    """Load what ``torch.save`` wrote from a URL; the file is fetched first if it is not in ``model_dir``.

    Args:
        url: https, or on loopback.
        model_dir: folder of the file; None for ``torch.hub.get_dir()`` and its ``checkpoints``.
        map_location: for ``torch.load``.
        progress: a bar on stderr, on a terminal.
        check_hash: the file must have the digits in its name. Without, a name that lies is no error, as in torch.
        file_name: instead of the URL's last part.
        weights_only: for ``torch.load``; torch's default is False, and then a file may run code as it is read.

    Raises:
        UsageError: torch is not installed.
        RuntimeError: under ``check_hash``, the file's sha256 begins otherwise; nothing is placed.
        FetchFailed: the file could not be fetched.
        Whatever ``torch.load`` raises.
    """
    hub = _torch_hub()
    if model_dir is None:
        if os.environ.get("TORCH_MODEL_ZOO"):
            warnings.warn("TORCH_MODEL_ZOO is deprecated, please use env TORCH_HOME instead", stacklevel=2)
        model_dir = str(Path(hub.get_dir()) / "checkpoints")
    name = file_name if file_name is not None else _name_in(url)
    target = Path(model_dir, name)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _bring(url, target, _digits_of(name) if check_hash else "", progress=progress)
    state: dict[str, Any] = hub.load_state_dict_from_url(
        url, model_dir, map_location, progress, check_hash, file_name, weights_only
    )
    return state


def download_url_to_file(
    url: str,
    dst: str,
    hash_prefix: str | None = None,
    progress: bool = True,  # noqa: FBT001, FBT002  torch's signature
) -> None:
    """Fetch ``url`` to the path ``dst``, whose folder must exist; what stands there is replaced once the new is whole.

    Args:
        url: https, or on loopback.
        dst: a file's path; ``~`` is expanded.
        hash_prefix: what its sha256 must begin with; None asks for nothing.
        progress: a bar on stderr, on a terminal.

    Raises:
        RuntimeError: the sha256 begins otherwise; nothing is placed.
        FileNotFoundError: there is no such folder.
        FetchFailed: the file could not be fetched.
    """
    target = Path(dst).expanduser()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder for {target}")
    _bring(url, target, hash_prefix or "", progress=progress)


def _torch_hub() -> Any:
    try:
        return import_module("torch.hub")
    except ModuleNotFoundError as error:
        raise UsageError(
            "load_state_dict_from_url reads the file with torch, which is not installed", hint="pip install torch"
        ) from error


def _name_in(url: str) -> str:
    return os.path.basename(urlparse(url).path)  # noqa: PTH119  as torch does: only a slash separates


def _digits_of(name: str) -> str:
    """What torch takes for the beginning of a file's sha256, but for names that are known to lie."""
    found = _HASH.search(name)
    return true_prefix(name) or (found[1] if found else "")


def _bring(url: str, target: Path, digits: str, *, progress: bool) -> None:
    """The file at ``url`` to ``target``, its sha256 beginning with ``digits``; RuntimeError, as in torch, if not so."""
    try:
        if target.exists() or 0 < len(digits) < _FEWEST_DIGITS:
            # under another name first: what must be judged, or stands in for a file that is there, until whole
            aside = target.with_name(f"{target.name}{NEW_SUFFIX}")
            _settle(_fetch(url, aside, digits, progress=progress), target, digits)
        else:
            _fetch(url, target, digits, progress=progress)
    except FetchFailed as error:
        if not digits or not isinstance(error.__cause__, IntegrityError):
            raise
        raise RuntimeError(f'invalid hash value (expected "{digits}"): {error.message}') from error


def _settle(result: FetchResult, target: Path, digits: str) -> None:
    """Judge what was fetched beside ``target`` and let it take its place."""
    sha256 = result.files[0].digest.removeprefix("sha256:")
    if not sha256.startswith(digits):
        result.path.unlink()
        raise RuntimeError(f'invalid hash value (expected "{digits}", got "{sha256}")')
    with store_errors(target):
        replace(result.path, target)


def _fetch(url: str, target: Path, digits: str, *, progress: bool) -> FetchResult:
    """Digits in the URL's own name are tried where none are given, for they let several mirrors serve.

    A file that has others is then fetched once more without them.
    """
    said = f"&sha256={digits.lower()}" if len(digits) >= _FEWEST_DIGITS else ""
    reference = f"{url.partition('#')[0]}#name={quote(target.name, safe='')}{said}"
    try:
        return _fetch_by(reference, target, progress=progress, names_prove=True)
    except FetchFailed as error:
        if said or not isinstance(error.__cause__, IntegrityError) or name_digest(_name_in(url)) is None:
            raise
    return _fetch_by(reference, target, progress=progress, names_prove=False)


def _fetch_by(reference: str, target: Path, *, progress: bool, names_prove: bool) -> FetchResult:
    options = FetchOptions(allow_unverified=True, names_prove=names_prove)
    # torch knows no offline mode, and HF_HUB_OFFLINE is about another hub
    settings = SourceOptions(local_dir=target.parent, offline=False).settings()
    bar = Bar(None, target.name.removesuffix(NEW_SUFFIX), wanted=progress)
    try:
        return result_of(completed(lambda: shared_fetch(reference, options, settings, bar.watch)))
    finally:
        bar.close()
