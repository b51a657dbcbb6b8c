"""What a program's environment must say so that it asks the loopback hub, or nobody.

Decides variables only, as huggingface_hub (``constants.py``, 2.4) and its Rust sibling read them. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.settings import Settings

# An answer comes when the engine has the file: the client's limits of 10 s must not end that. A day, as
# Artifactory's manual sets it; the engine has limits of its own.
_PATIENCE_S = "86400"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")


def online(environ: Mapping[str, str], url: str, settings: Settings) -> dict[str, str]:
    """The environment of a program that asks ``url``.

    Its cache is ours, so that a file which the engine placed is found and not copied. A chunkdl inside the program
    goes to the true origin: through us it would wait for itself.
    """
    changed = {
        "HF_ENDPOINT": url,
        "HF_HUB_CACHE": str(settings.cache_dir),
        "HF_HUB_DISABLE_XET": "1",  # hf_xet knows no endpoint but the hub's own
        "HF_HUB_ETAG_TIMEOUT": _PATIENCE_S,
        "HF_HUB_DOWNLOAD_TIMEOUT": _PATIENCE_S,
        "CHUNKDL_ORIGIN": settings.origin.url,
    }
    kept = {name: value for name, value in environ.items() if name not in _AGAINST}
    return kept | changed | _direct(environ)


# The first would go before HF_ENDPOINT, the second only looks as if it could. The last two keep a program from asking
# anybody: with them set we are here only because the user said --online.
_AGAINST = frozenset({"HUGGINGFACE_CO_STAGING", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"})


def _direct(environ: Mapping[str, str]) -> dict[str, str]:
    """Both spellings of NO_PROXY with loopback added: programs differ in which they read first."""
    said = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [each.strip() for each in said.split(",") if each.strip()]
    names += [each for each in _LOOPBACK_NAMES if each not in names]
    both = said if "*" in names else ",".join(names)
    return {"NO_PROXY": both, "no_proxy": both}


def offline(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """The environment of a program that shall ask nobody and find what the cache holds."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    return {**environ, **dict.fromkeys(names, "1"), "HF_HUB_CACHE": str(settings.cache_dir)}
