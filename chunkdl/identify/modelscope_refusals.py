"""What ModelScope means by a bad answer: not there, not yours, or try again.

Decides between final answers (exit 3) and failures of transport (exit 4). A failure under HTTP 200 whose code is
no HTTP status is an event of the server's, and taken for one that may pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.response import bad_status
from chunkdl.errors import AccessDenied, ArtifactNotFound, ChunkdlError, MirrorMisbehaved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkdl.identify.modelscope_answers import Envelope
    from chunkdl.model import Mirror

_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE = 200, 401, 403, 404, 410
_LEAST_ERROR, _MOST_ERROR = 400, 599  # what RFC 9110 calls errors
_SHOWN_REVISIONS = 6  # in a hint of one line
TOKEN_VARIABLE = "MODELSCOPE_API_TOKEN"  # noqa: S105  # the name of a variable


def meant_status(status: int, envelope: Envelope | None) -> int:
    """The HTTP status that an answer means: its own, or the envelope's code where HTTP says 200; 0 if neither."""
    if status != _OK or envelope is None:
        return status
    return envelope.code if _LEAST_ERROR <= envelope.code <= _MOST_ERROR else 0


def is_missing(status: int) -> bool:
    """True if something is not there, be it the repository or the revision."""
    return status in {_NOT_FOUND, _GONE}


def refusal(status: int, headers: Mapping[str, str], said: str, what: str, mirror: Mirror) -> ChunkdlError:
    """The error for an answer that ``meant_status`` calls ``status``; ``what`` was asked about, ``said`` in return."""
    if status in {_UNAUTHORIZED, _FORBIDDEN}:
        hint = "renew" if mirror.token else "if it is private, set"
        return AccessDenied(
            f"{mirror.name} refuses {what}{_quoted(said)}", hint=f"{hint} {TOKEN_VARIABLE}", mirror=mirror.name
        )
    if status == 0:
        return MirrorMisbehaved(f"{mirror.name} failed to answer about {what}{_quoted(said)}", mirror=mirror.name)
    return bad_status(status, headers, mirror=mirror.name)


def no_repo(what: str, mirror: Mirror) -> ArtifactNotFound:
    """Neither a listing nor revisions: it is not there, or not for strangers to know of."""
    hint = "check the spelling, capitals included; names differ between hubs"
    if mirror.token is None:
        hint += f"; a private repository needs {TOKEN_VARIABLE}"
    return ArtifactNotFound(f"{mirror.name} knows no {what}", hint=hint, mirror=mirror.name)


def no_revision(what: str, revision: str, there: Sequence[str], mirror: Mirror) -> ArtifactNotFound:
    """The repository is there and the revision is not; ``there`` are those that are."""
    shown = ", ".join(there[:_SHOWN_REVISIONS])
    more = len(there) - _SHOWN_REVISIONS
    hint = f"there are {shown}{f' and {more} more' if more > 0 else ''}" if there else "it names none"
    return ArtifactNotFound(f"{mirror.name} has no revision {revision!r} of {what}", hint=hint, mirror=mirror.name)


def _quoted(said: str) -> str:
    return f": {said}" if said else ""
