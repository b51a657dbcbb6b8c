"""Everything that can go wrong, as one tree, with the exit code that each branch ends in.

    ChunkdlError                      exit
    ├── UsageError                     2    the command, a name, a setting is malformed
    │     └── ReferenceInvalid         2
    ├── ArtifactNotFound               3    repo, revision, file, pattern: not there
    │     └── OfflineMiss              3    offline, and the cache does not hold it
    ├── AccessDenied                   3    gated, private, 401
    ├── TransportError                 4    one exchange with one mirror failed
    │     ├── ConnectFailed  Stalled  HTTPStatus  SignatureExpired  BodyCutShort  FileReplaced
    │     └── MirrorMisbehaved              RangeMismatch  ContentEncoded  NotTheFile  RedirectRefused
    ├── TransferFailed                 4    every source gave up; the causes are an ExceptionGroup
    ├── AuthorityUnreachable           4    nobody may say what the files are
    ├── IntegrityError                 5    bytes proved wrong and no source had right ones
    ├── StoreError                     6    local storage: DiskFull  StoreDenied  StoreBroken
    └── PolicyRefused                  7    strict without an authority, lock drift, unverifiable
          └── PlacementRefused         7    a hostile path, a foreign file in the way

A message is one line: what failed, on which mirror or file. ``hint`` is the next step for a person.
Misuse of the library is ``TypeError`` or ``ValueError``; a broken invariant is ``AssertionError``.
"""

from __future__ import annotations

from typing import Literal

# What an ArtifactNotFound lacks: clients of the hub act on the difference.
Missing = Literal["", "repository", "revision", "file"]


class ChunkdlError(Exception):
    """Root of the tree; an instance carries everything that a report needs.

    Args:
        message: one line, naming the mirror or the file.
        hint: what the user can do next, one line, or empty.
        mirror: name of the mirror involved, if one is.
        file: repository path of the file involved, if one is.
    """

    exit_code = 1
    code = "internal"

    def __init__(self, message: str, *, hint: str = "", mirror: str | None = None, file: str | None = None) -> None:
        """Keep the parts apart so that JSON output need not parse prose."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.mirror = mirror
        self.file = file


class UsageError(ChunkdlError):
    """The command line, the environment or a settings file cannot mean anything."""

    exit_code = 2
    code = "usage"


class ReferenceInvalid(UsageError):
    """What was typed names no repository, checkpoint or URL."""

    code = "reference-invalid"


class ArtifactNotFound(ChunkdlError):
    """The repository, revision, file or pattern does not exist; ``missing`` is which of them, empty if none is said."""

    exit_code = 3
    code = "not-found"

    def __init__(self, message: str, *, missing: Missing = "", **parts: str | None) -> None:
        """``parts`` are those of every error."""
        super().__init__(message, hint=parts.get("hint") or "", mirror=parts.get("mirror"), file=parts.get("file"))
        self.missing = missing


class OfflineMiss(ArtifactNotFound):
    """Offline mode is on and the cache does not hold what was asked for."""

    code = "offline"


class AccessDenied(ChunkdlError):
    """Gated, private, or the token is not accepted; ``gated`` if a licence has to be accepted first."""

    exit_code = 3
    code = "access-denied"

    def __init__(self, message: str, *, gated: bool = False, **parts: str | None) -> None:
        """``parts`` are those of every error."""
        super().__init__(message, hint=parts.get("hint") or "", mirror=parts.get("mirror"), file=parts.get("file"))
        self.gated = gated


class TransportError(ChunkdlError):
    """One exchange with one mirror failed; ``retryable`` says whether the same may work later."""

    exit_code = 4
    code = "transport"
    retryable = True


class ConnectFailed(TransportError):
    """No connection: refused, reset, unroutable, TLS, DNS, or not within the connect limit."""

    code = "connect-failed"


class Stalled(TransportError):
    """The peer went silent longer than its limit."""

    code = "stalled"


class BodyCutShort(TransportError):
    """The peer closed the connection before it had sent what it announced."""

    code = "cut-short"


class HTTPStatus(TransportError):
    """An answer whose status is neither 200 nor 206.

    ``retry_after_s`` is what the peer asked for (Retry-After or RateLimit), or None.
    """

    code = "http-status"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after_s: float | None = None,
        error_code: str = "",
        **parts: str | None,
    ) -> None:
        """``error_code`` is the hub's ``X-Error-Code``, empty if absent."""
        super().__init__(message, hint=parts.get("hint") or "", mirror=parts.get("mirror"), file=parts.get("file"))
        self.status = status
        self.retry_after_s = retry_after_s
        self.error_code = error_code
        self.retryable = status in RETRYABLE_STATUS

    def because(self, said: str) -> HTTPStatus:
        """The same with the reason that the peer gave, which must be fit to be printed."""
        return HTTPStatus(
            f"{self.message} ({said})",
            status=self.status,
            retry_after_s=self.retry_after_s,
            error_code=self.error_code,
            hint=self.hint,
            mirror=self.mirror,
            file=self.file,
        )


# RFC 9110 calls these transient; 408 and 429 are asked to come back, the rest are gateways in trouble.
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class SignatureExpired(TransportError):
    """A signed URL answered 403: resolve again before blaming the mirror."""

    code = "signature-expired"


class FileReplaced(TransportError):
    """Another file stands at the address by now, and nothing but its state told which one was begun."""

    code = "replaced"
    retryable = False


class MirrorMisbehaved(TransportError):
    """An answer that breaks the protocol; its bytes are discarded."""

    code = "misbehaved"


class RangeMismatch(MirrorMisbehaved):
    """Content-Range, total or length are not what was asked for."""

    code = "range-mismatch"


class ContentEncoded(MirrorMisbehaved):
    """A Content-Encoding although identity was asked for."""

    code = "content-encoded"


class NotTheFile(MirrorMisbehaved):
    """An HTML page with a good status, as captive portals and error pages send."""

    code = "not-the-file"


class RedirectRefused(MirrorMisbehaved):
    """Too many hops, a downgrade to http, a scheme or an address that this mirror may not send us to."""

    code = "redirect-refused"


class TransferFailed(ChunkdlError):
    """No source delivered; ``causes`` names each mirror's last failure."""

    exit_code = 4
    code = "transfer-failed"


class AuthorityUnreachable(ChunkdlError):
    """Neither the origin nor anyone else who may be believed answered."""

    exit_code = 4
    code = "authority-unreachable"


class IntegrityError(ChunkdlError):
    """Bytes proved wrong against the publisher's digest, and no source had right ones."""

    exit_code = 5
    code = "integrity"


class StoreError(ChunkdlError):
    """Local storage refused."""

    exit_code = 6
    code = "store"


class DiskFull(StoreError):
    """ENOSPC or EDQUOT, or a plan that cannot fit; the message has both numbers."""

    code = "disk-full"


class StoreDenied(StoreError):
    """EROFS, EACCES, EPERM."""

    code = "store-denied"


class StoreBroken(StoreError):
    """EIO and everything else that a file system may answer."""

    code = "store-broken"


class PolicyRefused(ChunkdlError):
    """Possible, but the user's or our policy says no."""

    exit_code = 7
    code = "policy"


class PlacementRefused(PolicyRefused):
    """A path that would leave its root, or that this file system cannot hold."""

    code = "placement-refused"
