"""Ways for other libraries to use the engine without knowing it. None of them is needed, nothing is patched."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["huggingface_hub", "torch_hub"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
