"""chunkdl: fetch model files from several mirrors at once, prove every byte, place them where loaders look.

The names below are loaded when they are first used, so that ``import chunkdl`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunkdl.api import FetchFailed, FetchOptions, FetchResult, afetch, aplan, fetch, plan
    from chunkdl.core.planner import Plan
    from chunkdl.downloader import Downloader
    from chunkdl.errors import ChunkdlError
    from chunkdl.integrations.huggingface_hub import hf_hub_download, snapshot_download
    from chunkdl.integrations.torch_hub import download_url_to_file, load_state_dict_from_url
    from chunkdl.model import Mirror
    from chunkdl.observe import (
        CorruptionFound,
        FilePlaced,
        HostStatus,
        Notice,
        Progress,
        ReferencePlaced,
        ReferencePlanned,
    )
    from chunkdl.report import FileReport, ReferenceReport, Report
    from chunkdl.settings import Settings
    from chunkdl.settings.called import SourceOptions

__version__ = "0.1.0"

# Where each name lives.
_HOMES = {
    "ChunkdlError": "chunkdl.errors",
    "CorruptionFound": "chunkdl.observe",
    "Downloader": "chunkdl.downloader",
    "FetchFailed": "chunkdl.api",
    "FetchOptions": "chunkdl.api",
    "FetchResult": "chunkdl.api",
    "FilePlaced": "chunkdl.observe",
    "FileReport": "chunkdl.report",
    "HostStatus": "chunkdl.observe",
    "Mirror": "chunkdl.model",
    "Notice": "chunkdl.observe",
    "Plan": "chunkdl.core.planner",
    "Progress": "chunkdl.observe",
    "ReferencePlaced": "chunkdl.observe",
    "ReferencePlanned": "chunkdl.observe",
    "ReferenceReport": "chunkdl.report",
    "Report": "chunkdl.report",
    "Settings": "chunkdl.settings",
    "SourceOptions": "chunkdl.settings.called",
    "afetch": "chunkdl.api",
    "aplan": "chunkdl.api",
    "download_url_to_file": "chunkdl.integrations.torch_hub",
    "fetch": "chunkdl.api",
    "hf_hub_download": "chunkdl.integrations.huggingface_hub",
    "load_state_dict_from_url": "chunkdl.integrations.torch_hub",
    "plan": "chunkdl.api",
    "snapshot_download": "chunkdl.integrations.huggingface_hub",
}

__all__ = [
    "ChunkdlError",
    "CorruptionFound",
    "Downloader",
    "FetchFailed",
    "FetchOptions",
    "FetchResult",
    "FilePlaced",
    "FileReport",
    "HostStatus",
    "Mirror",
    "Notice",
    "Plan",
    "Progress",
    "ReferencePlaced",
    "ReferencePlanned",
    "ReferenceReport",
    "Report",
    "Settings",
    "SourceOptions",
    "__version__",
    "afetch",
    "aplan",
    "download_url_to_file",
    "fetch",
    "hf_hub_download",
    "load_state_dict_from_url",
    "plan",
    "snapshot_download",
]


def __getattr__(name: str) -> Any:
    if name == "integrations":
        return import_module("chunkdl.integrations")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
