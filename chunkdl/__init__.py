"""chunkdl: fetch model files from several mirrors at once, prove every byte, place them where loaders look.

The names below are loaded when they are first used, so that ``import chunkdl`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunkdl.api import FetchFailed, FetchOptions, FetchResult, afetch, fetch
    from chunkdl.errors import ChunkdlError
    from chunkdl.model import Mirror

__version__ = "0.1.0"

__all__ = [
    "ChunkdlError",
    "FetchFailed",
    "FetchOptions",
    "FetchResult",
    "Mirror",
    "__version__",
    "afetch",
    "fetch",
]

_HOMES = {"ChunkdlError": "chunkdl.errors", "Mirror": "chunkdl.model"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, "chunkdl.api")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
