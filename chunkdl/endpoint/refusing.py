"""Failures of a fetch in the words of the hub, so that its clients do what they do for the hub's own.

Decides statuses. A client must not repeat what the engine has tried for minutes: failures of transport get a
status that huggingface_hub does not retry (its ``_http.py`` retries 408, 429, 500, 502, 503 and 504). Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from chunkdl.errors import AccessDenied, ArtifactNotFound, StoreError
from chunkdl.share.answers import Answer

if TYPE_CHECKING:
    from chunkdl.errors import ChunkdlError

_FORBIDDEN, _NOT_FOUND, _FAILED_DEPENDENCY, _INSUFFICIENT_STORAGE = 403, 404, 424, 507
_CODES = {"repository": "RepoNotFound", "revision": "RevisionNotFound", "file": "EntryNotFound"}
# Headers beyond this are cut by servers and clients alike.
_MAX_MESSAGE = 500


def refusal(error: ChunkdlError) -> Answer:
    """The answer that says why a fetch failed."""
    status, code = _spelt(error)
    said = f"chunkdl: {error.message}{f' ({error.hint})' if error.hint else ''}"
    message = "".join(each if " " <= each <= "~" else "?" for each in said)[:_MAX_MESSAGE]
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Error-Message": message}
    return Answer(
        status, headers | ({"X-Error-Code": code} if code else {}), json.dumps({"error": said[:_MAX_MESSAGE]}).encode()
    )


def nothing_here() -> Answer:
    """For requests that no download makes."""
    return Answer(_NOT_FOUND, {"X-Error-Message": "chunkdl answers downloads alone"}, b"{}")


def _spelt(error: ChunkdlError) -> tuple[int, str]:
    if isinstance(error, ArtifactNotFound):
        return _NOT_FOUND, _CODES.get(error.missing, "")
    if isinstance(error, AccessDenied):
        return _FORBIDDEN, "GatedRepo" if error.gated else ""
    return (_INSUFFICIENT_STORAGE if isinstance(error, StoreError) else _FAILED_DEPENDENCY), ""
