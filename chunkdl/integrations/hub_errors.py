"""Our failures as the exceptions of huggingface_hub, where it is installed: what its callers catch.

Decides which is which. Where it is not installed our own failure stays as it is.
"""

from __future__ import annotations

import errno
from typing import Any

from chunkdl.errors import (
    AccessDenied,
    ArtifactNotFound,
    AuthorityUnreachable,
    ChunkdlError,
    DiskFull,
    IntegrityError,
    OfflineMiss,
    ReferenceInvalid,
    StoreDenied,
    StoreError,
    TransferFailed,
    TransportError,
)
from chunkdl.integrations.hub_package import http_library, hub_errors

_FORBIDDEN, _NOT_FOUND = 403, 404
_MISSING = {
    "repository": "RepositoryNotFoundError",
    "revision": "RevisionNotFoundError",
    "file": "RemoteEntryNotFoundError",
}


def as_hub_error(error: ChunkdlError, url: str, *, dry_run: bool = False) -> Exception:
    """The exception to raise for ``error``, which came of asking for ``url``; ``error`` itself if none fits."""
    errors = hub_errors()
    if errors is None:
        return error
    said = f"{error.message}. {error.hint}" if error.hint else error.message
    cause = error.__cause__ if isinstance(error.__cause__, ChunkdlError) else error
    if isinstance(cause, ReferenceInvalid):
        return _made(errors.HFValidationError(said))
    if isinstance(cause, OfflineMiss):
        return _missed(errors, cause, said)
    if isinstance(cause, ArtifactNotFound | AccessDenied):
        return _refused(errors, cause, said, url)
    if isinstance(cause, TransferFailed | AuthorityUnreachable | TransportError):
        return _made((errors.DryRunError if dry_run else errors.LocalEntryNotFoundError)(said))
    return _of_the_system(cause, said) or error


def offline_error(error: ChunkdlError) -> BaseException:
    """What lies behind a miss where the network is off, for ``raise … from``."""
    errors = hub_errors()
    if errors is None:
        return error
    offline: BaseException = errors.OfflineModeIsEnabled(error.message)
    return offline


def _made(error: Any) -> Exception:
    assert isinstance(error, Exception)
    return error


def _missed(errors: Any, cause: OfflineMiss, said: str) -> Exception:
    if cause.file:  # the folder that lacks files
        return _made(errors.IncompleteSnapshotError(said, snapshot_path=cause.file))
    return _made(errors.LocalEntryNotFoundError(said))


def _refused(errors: Any, cause: ArtifactNotFound | AccessDenied, said: str, url: str) -> Exception:
    """These carry the hub's answer; ours has its status and no more."""
    if isinstance(cause, AccessDenied):
        name, status = "GatedRepoError" if cause.gated else "HfHubHTTPError", _FORBIDDEN
    else:
        name, status = _MISSING.get(cause.missing, "RemoteEntryNotFoundError"), _NOT_FOUND
    library = http_library()
    response = library.Response(status, request=library.Request("GET", url))
    return _made(getattr(errors, name)(said, response=response))


def _of_the_system(cause: BaseException, said: str) -> OSError | None:
    """As the system itself would have said it; a wrong size is an OSError to the hub's client, and wrong bytes too."""
    if isinstance(cause, StoreError):
        number = {DiskFull: errno.ENOSPC, StoreDenied: errno.EACCES}.get(type(cause), errno.EIO)
        return OSError(number, said)
    return OSError(said) if isinstance(cause, IntegrityError) else None
