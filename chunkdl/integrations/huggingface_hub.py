"""huggingface_hub's download functions by its own names and signatures, and its client set to use the engine.

    from chunkdl import snapshot_download, hf_hub_download      # in place of huggingface_hub's

    with chunkdl.integrations.huggingface_hub.installed("org/name"):
        model = AutoModel.from_pretrained("org/name")           # unchanged

The contract is huggingface_hub 2.4: same arguments, same paths returned, and its exceptions where it is installed.
Nothing of it is needed, and nothing of it is patched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.api import FetchFailed
from chunkdl.errors import ChunkdlError, OfflineMiss
from chunkdl.integrations.hub_call import ETAG_TIMEOUT_S, MAX_WORKERS, HubCall
from chunkdl.integrations.hub_errors import as_hub_error, offline_error
from chunkdl.integrations.hub_installed import installed
from chunkdl.integrations.hub_package import hub
from chunkdl.pipeline.destinations import hub_of

if TYPE_CHECKING:
    from chunkdl.api import FetchResult
    from chunkdl.settings import Settings

__all__ = ["DryRunFileInfo", "hf_hub_download", "installed", "snapshot_download"]

_REPO_TYPES = (None, "model", "dataset", "space")


@dataclass
class DryRunFileInfo:
    """What a dry run says of one file, where huggingface_hub and its own class of this name are not installed."""

    commit_hash: str
    file_size: int | None
    filename: str
    local_path: str
    is_cached: bool
    will_download: bool


def snapshot_download(  # noqa: PLR0913  huggingface_hub's signature
    repo_id: str,
    *,
    repo_type: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_dir: str | Path | None = None,
    library_name: str | None = None,  # noqa: ARG001  for the hub's statistics; we tell nobody
    library_version: str | None = None,  # noqa: ARG001  the same
    user_agent: dict[str, Any] | str | None = None,  # noqa: ARG001  the same
    etag_timeout: float = ETAG_TIMEOUT_S,
    force_download: bool = False,
    token: bool | str | None = None,
    local_files_only: bool = False,
    allow_patterns: list[str] | str | None = None,
    ignore_patterns: list[str] | str | None = None,
    max_workers: int = MAX_WORKERS,
    tqdm_class: type[Any] | None = None,
    headers: dict[str, str] | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> str | list[Any]:
    """All files of a repository, or those that the patterns choose; returns the folder.

    As ``huggingface_hub.snapshot_download``, by the engine: every mirror, every byte proven, resumed after a kill.
    ``max_workers`` other than 8 caps connections a host; ``etag_timeout`` other than 10 raises the limit of seconds
    for an answer about the repository; of ``headers`` only a bearer token counts. Raises what huggingface_hub
    raises where that is installed, else ``FetchFailed``.
    """
    call = HubCall(
        repo_id=repo_id,
        repo_type=repo_type,
        revision=_pinned(revision),
        cache_dir=cache_dir,
        local_dir=local_dir,
        etag_timeout=etag_timeout,
        force_download=force_download,
        token=token,
        local_files_only=local_files_only,
        allow_patterns=_patterns(allow_patterns),
        ignore_patterns=_patterns(ignore_patterns) or (),
        max_workers=max_workers,
        tqdm_class=tqdm_class,
        headers=headers,
        endpoint=endpoint,
        dry_run=dry_run,
    )
    return _carried_out(call)


def hf_hub_download(  # noqa: PLR0913  huggingface_hub's signature
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    repo_type: str | None = None,
    revision: str | None = None,
    library_name: str | None = None,  # noqa: ARG001  for the hub's statistics; we tell nobody
    library_version: str | None = None,  # noqa: ARG001  the same
    cache_dir: str | Path | None = None,
    local_dir: str | Path | None = None,
    user_agent: dict[str, Any] | str | None = None,  # noqa: ARG001  the same
    force_download: bool = False,
    etag_timeout: float = ETAG_TIMEOUT_S,
    token: bool | str | None = None,
    local_files_only: bool = False,
    headers: dict[str, str] | None = None,
    endpoint: str | None = None,
    tqdm_class: type[Any] | None = None,
    dry_run: bool = False,
) -> str | Any:
    """One file of a repository; returns its path.

    As ``huggingface_hub.hf_hub_download``, by the engine; what ``snapshot_download`` here says holds for this too.
    """
    call = HubCall(
        repo_id=repo_id,
        filename=f"{subfolder}/{filename}" if subfolder else filename,
        repo_type=repo_type,
        revision=_pinned(revision),
        cache_dir=cache_dir,
        local_dir=local_dir,
        etag_timeout=etag_timeout,
        force_download=force_download,
        token=token,
        local_files_only=local_files_only,
        tqdm_class=tqdm_class,
        headers=headers,
        endpoint=endpoint,
        dry_run=dry_run,
    )
    found = _carried_out(call)
    return found[0] if isinstance(found, list) else found


def _pinned(revision: str | None) -> str | None:
    """The commit of a ``ResolvedRevision``, which carries it beside its text."""
    return getattr(revision, "resolved", revision)


def _patterns(typed: list[str] | str | None) -> tuple[str, ...] | None:
    return None if typed is None else (typed,) if isinstance(typed, str) else tuple(typed)


def _carried_out(call: HubCall) -> str | list[Any]:
    if call.repo_type not in _REPO_TYPES:
        raise ValueError(f"chunkdl fetches models, datasets and spaces; {call.repo_type!r} is none of them")
    settings: Settings | None = None
    try:
        call.reference()
        settings = call.settings()
        offline = call.local_files_only or settings.offline
        return _from_here(call, settings) if offline else _from_mirrors(call, settings)
    except ChunkdlError as error:
        url = settings.origin.url if settings is not None else ""
        translated = as_hub_error(error, f"{url}/{call.repo_id}", dry_run=call.dry_run)
        if translated is error:
            raise
        raise translated from error


def _from_here(call: HubCall, settings: Settings) -> str:
    if call.force_download:
        raise ValueError("force_download=True needs the network, and nobody may be asked")
    try:
        return call.found_here(settings)
    except OfflineMiss as error:
        raise error from offline_error(error)


def _from_mirrors(call: HubCall, settings: Settings) -> str | list[Any]:
    pinned = call.pinned_here(settings)
    if pinned is not None:
        return pinned
    try:
        if call.matches_nothing(None):
            return [] if call.dry_run else call.empty(settings)
        result = call.fetched(settings)
    except FetchFailed as failed:
        if call.matches_nothing(failed):
            return [] if call.dry_run else call.empty(settings)
        path = call.instead(failed, settings)
        if path is None:
            raise
        return path
    return _told(call, settings, result) if call.dry_run else str(result)


def _told(call: HubCall, settings: Settings, result: FetchResult) -> list[Any]:
    package = hub()
    made = package.DryRunFileInfo if package is not None else DryRunFileInfo
    folder = settings.local_dir or hub_of(call.reference(), settings).repo.snapshot(result.commit)
    return [
        made(
            commit_hash=result.commit,
            file_size=each.size,
            filename=each.path,
            local_path=str(Path(folder, each.path)),
            is_cached=each.source == "cache",
            will_download=each.source != "cache" or call.force_download,
        )
        for each in result.files
    ]
