"""What the ecosystem's environment variables mean: folders, switches, tokens, as huggingface_hub reads them.

Decides spelling only. Deliberately does not read ``os.environ``: the mapping is an argument.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path, user_state_path

from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.settings.values import ProgressWish

_TRUE = frozenset({"1", "ON", "YES", "TRUE"})  # huggingface_hub's constants.py, in any case
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what may stand in a header without breaking it
_MAX_TOKEN_FILE_BYTES = 4096  # a token has some 40 bytes; whatever is longer is another file


def is_true(value: str) -> bool:
    """The hub's reading of a switch."""
    return value.strip().upper() in _TRUE


def said(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """Name and value of the first variable that is set and not empty, or None."""
    return next(((name, environ[name].strip()) for name in names if environ.get(name, "").strip()), None)


def folder(text: str, environ: Mapping[str, str]) -> Path:
    """A folder as typed in a variable: ``~`` and ``$NAME`` expanded, unknown names kept."""
    expanded = _VARIABLE.sub(lambda m: environ.get(m[1] or m[2], m[0]), text)
    if expanded == "~" or expanded.startswith("~/"):
        return _home(environ) / expanded[2:]
    return Path(expanded)


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) if home else Path.home()


def hub_home(environ: Mapping[str, str]) -> tuple[Path, str]:
    """``HF_HOME`` and where it comes from."""
    if named := said(environ, "HF_HOME"):
        return folder(named[1], environ), f"environment {named[0]}"
    if named := said(environ, "XDG_CACHE_HOME"):
        return folder(named[1], environ) / "huggingface", f"environment {named[0]}"
    return _home(environ) / ".cache" / "huggingface", "default"


def hub_cache(environ: Mapping[str, str]) -> tuple[Path, str]:
    """The hub cache's root and where it comes from; the newer name wins."""
    if named := said(environ, "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        return folder(named[1], environ), f"environment {named[0]}"
    home, where = hub_home(environ)
    return home / "hub", where


def torch_hub(environ: Mapping[str, str]) -> tuple[Path, str]:
    """torch.hub's folder and where it comes from, as ``torch.hub.get_dir`` finds it; unlike there, empty is unset."""
    if named := said(environ, "TORCH_HOME"):
        return _user_folder(named[1], environ) / "hub", f"environment {named[0]}"
    if named := said(environ, "XDG_CACHE_HOME"):
        return _user_folder(named[1], environ) / "torch" / "hub", f"environment {named[0]}"
    return _home(environ) / ".cache" / "torch" / "hub", "default"


def _user_folder(text: str, environ: Mapping[str, str]) -> Path:
    """``~`` expanded and nothing else: a ``$`` is a character to torch."""
    return _home(environ) / text[2:] if text == "~" or text.startswith("~/") else Path(text)


def state_folder(environ: Mapping[str, str]) -> tuple[Path, str]:
    """Our own state's folder and where it comes from."""
    if named := said(environ, "CHUNKDL_STATE_DIR"):
        return folder(named[1], environ), f"environment {named[0]}"
    if named := said(environ, "XDG_STATE_HOME"):
        return folder(named[1], environ) / "chunkdl", f"environment {named[0]}"
    return user_state_path("chunkdl", appauthor=False), "default"


def settings_file(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The user's settings file, and whether it was named and therefore must exist."""
    if named := said(environ, "CHUNKDL_CONFIG"):
        return folder(named[1], environ), True
    if named := said(environ, "XDG_CONFIG_HOME"):
        return folder(named[1], environ) / "chunkdl" / "chunkdl.toml", False
    return user_config_path("chunkdl", appauthor=False) / "chunkdl.toml", False


def offline_variable(environ: Mapping[str, str]) -> str | None:
    """Which variable switches the network off, or None."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return next((name for name in names if is_true(environ.get(name, ""))), None)


def progress_wish(environ: Mapping[str, str]) -> tuple[ProgressWish, str]:
    """Bars on or off by the hub's variable, and where that comes from."""
    off = is_true(environ.get("HF_HUB_DISABLE_PROGRESS_BARS", ""))
    return ("none", "environment HF_HUB_DISABLE_PROGRESS_BARS") if off else ("auto", "default")


def hub_token(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The user's hub token and where it comes from: variable, legacy variable, token file; None if there is none.

    ``UsageError`` for a token that no header can carry; the token itself is never in the message.
    """
    if is_true(environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "")):
        return None
    if named := said(environ, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        return checked_token(named[1], f"environment {named[0]}"), f"environment {named[0]}"
    path = _token_file(environ)
    text = _token_in(path)
    return (checked_token(text, str(path)), str(path)) if text else None


def modelscope_endpoint(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that names ModelScope's server, and its value, as modelscope-hub 0.5 reads them; None for neither.

    MODELSCOPE_DOMAIN is the older name.
    """
    return said(environ, "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN")


def modelscope_token(environ: Mapping[str, str]) -> str | None:
    """ModelScope's token; ``UsageError`` for one that no header can carry. Credentials of a login are not read."""
    named = said(environ, "MODELSCOPE_API_TOKEN")
    return checked_token(named[1], f"environment {named[0]}") if named else None


def checked_token(token: str, where: str) -> str:
    """``token`` if it is printable ASCII without spaces (what a header may hold), else ``UsageError``."""
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{where}: the token holds characters that no HTTP header may carry")
    return token


def _token_file(environ: Mapping[str, str]) -> Path:
    named = said(environ, "HF_TOKEN_PATH")
    return folder(named[1], environ) if named else hub_home(environ)[0] / "token"


def _token_in(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_TOKEN_FILE_BYTES).strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: the token file cannot be read: {error}", hint="correct it or set HF_TOKEN"
        ) from error
