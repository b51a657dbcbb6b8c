"""Faults in status and headers: what an answer says about its bytes, or instead of them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.testing.answers import Delivery, Framing
from chunkdl.testing.faults.base import Fault

if TYPE_CHECKING:
    from chunkdl.testing.answers import Answer, Request


@dataclass(frozen=True)
class IgnoreRange(Fault):
    """Send the whole file with status 200 whatever range was asked for."""

    name = "ignore-range"

    def bend(self, answer: Answer, request: Request) -> None:
        """Undo the range."""
        del request
        if isinstance(answer.body, Delivery):
            answer.status = 200
            answer.headers.pop("Content-Range", None)
            answer.headers.pop("Accept-Ranges", None)
            answer.body.start, answer.body.stop = 0, answer.body.content.size


@dataclass(frozen=True)
class WrongContentRange(Fault):
    """Send the right bytes under a Content-Range that lies ``by`` bytes away."""

    name = "wrong-content-range"
    by: int = 1

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite the header."""
        del request
        if isinstance(answer.body, Delivery) and "Content-Range" in answer.headers:
            first, last = answer.body.start + self.by, answer.body.stop - 1 + self.by
            answer.headers["Content-Range"] = f"bytes {first}-{last}/{answer.body.content.size}"


@dataclass(frozen=True)
class WrongTotal(Fault):
    """Claim that the file is ``by`` bytes longer than it is."""

    name = "wrong-total"
    by: int = 1

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite the total of Content-Range."""
        del request
        if "Content-Range" in answer.headers:
            span, _, total = answer.headers["Content-Range"].partition("/")
            answer.headers["Content-Range"] = f"{span}/{int(total) + self.by}"


@dataclass(frozen=True)
class ShortLength(Fault):
    """Announce and send ``by`` bytes less than the Content-Range says."""

    name = "short-length"
    by: int = 1

    def bend(self, answer: Answer, request: Request) -> None:
        """Cut the delivery, and be honest about its length alone."""
        del request
        if isinstance(answer.body, Delivery):
            answer.body.stop = max(answer.body.start, answer.body.stop - self.by)


@dataclass(frozen=True)
class WrongEtag(Fault):
    """Name another content in ETag and X-Linked-Etag."""

    name = "wrong-etag"
    where: str = "any"

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite both headers where present."""
        del request
        for header in {"ETag", "X-Linked-Etag"} & answer.headers.keys():
            answer.headers[header] = f'"{hashlib.sha256(answer.headers[header].encode()).hexdigest()}"'


@dataclass(frozen=True)
class ForeignEtag(Fault):
    """Send an ETag that is no digest (by default one that olah makes of a URL) and no X-Linked-Etag."""

    name = "foreign-etag"
    where: str = "any"
    etag: str = '"0123456789abcdef0123456789abcdef-10"'

    def bend(self, answer: Answer, request: Request) -> None:
        """Rewrite the one and leave out the other."""
        del request
        answer.headers.pop("X-Linked-Etag", None)
        if "ETag" in answer.headers:
            answer.headers["ETag"] = self.etag


@dataclass(frozen=True)
class NoLinkedSize(Fault):
    """Send no X-Linked-Size, so that only an answer with the content itself tells its length."""

    name = "no-linked-size"
    where: str = "any"

    def bend(self, answer: Answer, request: Request) -> None:
        """Leave the header out."""
        del request
        answer.headers.pop("X-Linked-Size", None)


@dataclass(frozen=True)
class HugeHeaders(Fault):
    """Add ``size_bytes`` of header."""

    name = "huge-headers"
    size_bytes: int = 1 << 20

    def bend(self, answer: Answer, request: Request) -> None:
        """Add one long header."""
        del request
        answer.headers["X-Padding"] = "x" * self.size_bytes


@dataclass(frozen=True)
class NoContentLength(Fault):
    """Tell the end of the body by chunked coding, or by closing if ``chunked`` is False."""

    name = "no-content-length"
    chunked: bool = True

    def bend(self, answer: Answer, request: Request) -> None:
        """Change the framing."""
        del request
        answer.framing = Framing.CHUNKED if self.chunked else Framing.CLOSE


@dataclass(frozen=True)
class ConnectionClose(Fault):
    """End the connection after every answer and say so."""

    name = "connection-close"

    def bend(self, answer: Answer, request: Request) -> None:
        """Close afterwards."""
        del request
        answer.close = True


@dataclass(frozen=True)
class Html200(Fault):
    """Send an HTML page with status 200, as captive portals do."""

    name = "html-200"

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer."""
        del request
        page = b"<!DOCTYPE html><html><body>Please log in to the network.</body></html>"
        answer.replace(200, page, Content_Type="text/html; charset=utf-8")


@dataclass(frozen=True)
class Gzip(Fault):
    """Send a gzip body: the whole file with 200, or only the range with 206 if ``ranged``."""

    name = "gzip"
    ranged: bool = False

    def bend(self, answer: Answer, request: Request) -> None:
        """Encode the body in memory: for files of test size."""
        if not isinstance(answer.body, Delivery):
            return
        if not self.ranged:
            IgnoreRange().bend(answer, request)
        # Level 1: the point is the header, not the saving.
        answer.body = gzip.compress(answer.body.read(0, answer.body.length), 1)
        answer.headers["Content-Encoding"] = "gzip"


@dataclass(frozen=True)
class Status(Fault):
    """Answer with an error status; ``retry_after_s`` is sent if given.

    Also called status-403, status-404, status-429, status-500, status-502, status-503.
    """

    name = "status"
    status: int = 503
    retry_after_s: float | None = None

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer."""
        del request
        answer.replace(self.status, b"fault\n", Content_Type="text/plain")
        if self.retry_after_s is not None:
            answer.headers["Retry-After"] = f"{self.retry_after_s:g}"
        if self.status == 429:  # noqa: PLR2004
            answer.headers["RateLimit"] = f'"resolvers";r=0;t={self.retry_after_s or 0:g}'


@dataclass(frozen=True)
class Status403(Status):
    """Refuse, without anything having expired."""

    name = "status-403"
    status: int = 403


@dataclass(frozen=True)
class Status404(Status):
    """Deny that the content exists, without the hub's error code."""

    name = "status-404"
    status: int = 404


@dataclass(frozen=True)
class Status429(Status):
    """Ask to slow down; ``skip=n`` lets n requests through first."""

    name = "status-429"
    status: int = 429


@dataclass(frozen=True)
class Status500(Status):
    """Fail."""

    name = "status-500"
    status: int = 500


@dataclass(frozen=True)
class Status502(Status):
    """Fail as a gateway."""

    name = "status-502"
    status: int = 502


@dataclass(frozen=True)
class Status503(Status):
    """Be overloaded."""

    name = "status-503"
    status: int = 503


@dataclass(frozen=True)
class RefuseHead(Fault):
    """Answer 405 to HEAD."""

    name = "refuse-head"
    where: str = "any"

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer to HEAD."""
        if request.method == "HEAD":
            answer.replace(405, Allow="GET")


@dataclass(frozen=True)
class RedirectTo(Fault):
    """Redirect to ``to``, whose ``{target}`` stands for the raw target that was asked for."""

    name = "redirect"
    to: str = "http://127.0.0.1:9{target}"
    status: int = 302

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the answer."""
        answer.replace(self.status, Location=self.to.replace("{target}", request.target))


@dataclass(frozen=True)
class RedirectLoop(RedirectTo):
    """Redirect to the same URL for ever."""

    name = "redirect-loop"
    to: str = "{target}"
    status: int = 308


@dataclass(frozen=True)
class RedirectPrivate(RedirectTo):
    """Redirect to an address inside somebody's network."""

    name = "redirect-private"
    to: str = "http://10.0.0.1{target}"


@dataclass(frozen=True)
class RedirectHttp(RedirectTo):
    """Redirect to plain HTTP, which is a downgrade if the mirror speaks TLS; .invalid never resolves (RFC 2606)."""

    name = "redirect-http"
    to: str = "http://mirror.invalid{target}"
