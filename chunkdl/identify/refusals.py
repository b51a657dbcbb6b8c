"""What a hub means by a bad status on a metadata request: not there, not yours, or try again.

Decides between the final answers (exit 3) and failures of transport (exit 4) from status and headers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.response import bad_status
from chunkdl.errors import AccessDenied, ArtifactNotFound, ChunkdlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.model import Mirror, Reference

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _GONE, _LEGAL = 401, 403, 404, 410, 451
# The two sentences by which huggingface_hub's hf_raise_for_status tells these cases apart.
_BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105  # the hub's sentence, no secret
_DISABLED = "Access to this resource is disabled."


def refusal(status: int, headers: Mapping[str, str], reference: Reference, mirror: Mirror) -> ChunkdlError:
    """The error for an answer that is not 200: ArtifactNotFound, AccessDenied, or HTTPStatus to retry."""
    code, said = headers.get("x-error-code", ""), headers.get("x-error-message", "")
    if code == "RevisionNotFound":
        return _no_revision(reference, mirror)
    if code in {"RepoNotFound", "EntryNotFound"} or status in {_NOT_FOUND, _GONE}:
        return _no_repo(reference, mirror)
    if status == _UNAUTHORIZED and code != "GatedRepo":
        return _bad_token(mirror) if said == _BAD_TOKEN else _no_repo(reference, mirror)
    return _denial(status, code, said, reference, mirror) or bad_status(status, headers, mirror=mirror.name)


def names_the_missing(headers: Mapping[str, str]) -> bool:
    """True if a hub says that it is the repository or the revision that is not there, and no API or file."""
    return headers.get("x-error-code") in {"RepoNotFound", "RevisionNotFound"}


def _denial(status: int, code: str, said: str, reference: Reference, mirror: Mirror) -> AccessDenied | None:
    """A hub that forbids says why; a bare 403 is a wall on the way, which another day or mirror may not have."""
    if code == "GatedRepo":
        return gated(reference, mirror)
    if said == _DISABLED or status == _LEGAL:
        return disabled(reference, mirror)
    if status == _FORBIDDEN and (code or said):
        return _forbidden(reference, mirror, said)
    return None


def gated(reference: Reference, mirror: Mirror) -> AccessDenied:
    """A licence has to be accepted first, by a person, at the origin."""
    page = f"{mirror.url}/{reference.repo_type.url_prefix}{reference.repo_id}"
    step = (
        "accept its conditions with the account of your token"
        if mirror.token
        else "accept its conditions and set HF_TOKEN"
    )
    return AccessDenied(
        f"{reference.repo_id} is gated at {mirror.name} and you have no access",
        gated=True,
        hint=f"open {page} and {step}",
        mirror=mirror.name,
    )


def disabled(reference: Reference, mirror: Mirror) -> AccessDenied:
    """The hub shows the repository but serves nothing of it."""
    return AccessDenied(f"{mirror.name} has disabled {reference.repo_id}", mirror=mirror.name)


def _no_revision(reference: Reference, mirror: Mirror) -> ArtifactNotFound:
    return ArtifactNotFound(
        f"{mirror.name} has no revision {reference.revision or 'main'!r} of {reference.repo_id}",
        missing="revision",
        hint="name a branch, a tag or a full commit after @",
        mirror=mirror.name,
    )


def _no_repo(reference: Reference, mirror: Mirror) -> ArtifactNotFound:
    hint = "check the spelling; datasets are written datasets/org/name"
    if mirror.token is None:
        hint += "; a private repository needs HF_TOKEN"
    return ArtifactNotFound(
        f"{mirror.name} knows no {reference.repo_type.value} {reference.repo_id}",
        missing="repository",
        hint=hint,
        mirror=mirror.name,
    )


def _bad_token(mirror: Mirror) -> AccessDenied:
    return AccessDenied(
        f"{mirror.name} does not accept the token", hint="renew HF_TOKEN or the token file", mirror=mirror.name
    )


def _forbidden(reference: Reference, mirror: Mirror, said: str) -> AccessDenied:
    reason = "".join(each for each in said if each.isprintable())[:200]
    return AccessDenied(
        f"{mirror.name} refuses {reference.repo_id}{f': {reason}' if reason else ''}",
        hint="check the permissions of your token",
        mirror=mirror.name,
    )
