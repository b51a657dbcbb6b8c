"""Which variables of a shell a scheduler must be told, so that its run finds the same caches, mirrors and proxies.

Decides that no secret is written into a file that others may read. Pure: folders are joined, not looked at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chunkdl.batch.timers import SERVICE
from chunkdl.observe import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FOLDERS = (
    "CHUNKDL_STATE_DIR", "CHUNKDL_CONFIG", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH",
    "TORCH_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "SSL_CERT_FILE",
)  # fmt: skip
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_OTHERS = (
    "CHUNKDL_ORIGIN", "CHUNKDL_MIRRORS", "CHUNKDL_NO_LOWAT", "HF_ENDPOINT", "HF_HUB_DISABLE_SYMLINKS",
    "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "TZ",
    *_PROXIES, *(each.lower() for each in _PROXIES),
)  # fmt: skip
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")
_PASSWORD = re.compile(r"[^/\s,]+@")


def kept_environment(environ: Mapping[str, str], folder: Path) -> tuple[dict[str, str], tuple[Notice, ...]]:
    """What is written down, and what a person has to see to. ``folder`` is where relative folders begin."""
    kept: dict[str, str] = {}
    left: list[str] = [name for name in _SECRETS if environ.get(name)]
    for name in (*_FOLDERS, *_OTHERS):
        value = environ.get(name, "")
        if not value:
            continue
        if not value.isprintable() or (name not in _FOLDERS and _PASSWORD.search(value)):
            left.append(name)
        elif name in _FOLDERS and not value.startswith(("~", "$")):
            kept[name] = str(folder / value)
        else:
            kept[name] = value
    if not left:
        return kept, ()
    message = f"{', '.join(left)} may hold a secret and is not written down"
    hint = f"hf auth login keeps a token in a file; anything else: systemctl --user edit {SERVICE}"
    return kept, (Notice("not-written", f"{message}: {hint}"),)
