"""A request as it came in and the answer that will go out, as plain data that faults may bend.

Decides what an answer consists of and what its body's bytes are. Deliberately does not know about
sockets, rates or which fault does what.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    from chunkdl.testing.content import Content


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its target raw as it stood on the wire; header names are lower case.

    ``on_cdn`` is True if it came in on the port of the signed URLs.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    on_cdn: bool = False
    scheme: str = "http"

    def below(self, prefix: str) -> Request:
        """Return the request as it would be without the path prefix."""
        return replace(self, target=self.target.removeprefix(prefix))

    @property
    def path(self) -> str:
        """The target's path, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def parts(self) -> list[str]:
        """The path's components, each decoded by itself, so that an encoded slash stays in its component."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last of each name."""
        pairs = parse_qs(self.target.partition("?")[2], keep_blank_values=True)
        return {name: values[-1] for name, values in pairs.items()}

    @property
    def token(self) -> str | None:
        """The bearer token, if one was sent."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else None


class Kind(StrEnum):
    """What a request was about, which is how faults choose theirs."""

    INFO = "info"
    TREE = "tree"
    RESOLVE = "resolve"
    CONTENT = "content"
    OTHER = "other"


class Ending(StrEnum):
    """How a body that stops early does so."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"


@dataclass(slots=True)
class Delivery:
    """The bytes ``[start, stop)`` of a content, and everything that may be wrong with them.

    Args:
        shift: read this many bytes further on than said.
        flip_spacing_bytes: flip one bit at the start of each body and at every multiple of this offset; 0 is never.
        stop_after_bytes: send so many, then end as ``ending`` says, or pause for ``silence_s``.
        drip_bytes: send so many at a time, ``drip_s`` apart; 0 is as fast as the mirror's rate allows.
        surplus_bytes: send so many more than ``[start, stop)``.
    """

    content: Content
    start: int
    stop: int
    shift: int = 0
    flip_spacing_bytes: int = 0
    stop_after_bytes: int | None = None
    ending: Ending = Ending.CLOSE
    silence_s: float | None = None
    drip_bytes: int = 0
    drip_s: float = 0.0
    surplus_bytes: int = 0

    @property
    def length(self) -> int:
        """Bytes that go out if nothing ends early."""
        return self.stop - self.start + self.surplus_bytes

    @property
    def intact(self) -> bool:
        """True if the bytes are the content's own, in one go, so that the kernel may copy them from a file."""
        bent = self.shift or self.flip_spacing_bytes or self.drip_bytes or self.surplus_bytes
        return not bent and self.stop_after_bytes is None

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return what is sent for body offsets ``[start, stop)``."""
        first, last = self.start + start, self.start + stop
        data = self._shifted(first, last) if self.shift or last > self.content.size else self.content.read(first, last)
        return self._flipped(data, first) if self.flip_spacing_bytes else data

    def _shifted(self, first: int, last: int) -> bytes:
        """Read from elsewhere, around the end of the content if need be, so that any length can be had."""
        size, data = self.content.size, bytearray()
        while len(data) < last - first:
            at = (first + self.shift + len(data)) % size
            data += self.content.read(at, min(size, at + last - first - len(data)))
        return bytes(data)

    def _flipped(self, data: bytes | memoryview, first: int) -> bytes:
        """Flip bits at offsets that do not depend on how the body is cut into pieces."""
        spoilt = bytearray(data)
        if first == self.start:
            spoilt[0] ^= 1
        for offset in range(-first % self.flip_spacing_bytes, len(spoilt), self.flip_spacing_bytes):
            if offset or first != self.start:
                spoilt[offset] ^= 1
        return bytes(spoilt)


class Framing(StrEnum):
    """How the end of a body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(slots=True)
class Answer:
    """What will be sent, unless a fault changes its mind.

    Args:
        kind: what the request was about.
        subject: path in the repository for files, else the URL's path without the leading slash; faults match it.
        body: bytes, a JSON value, or the delivery of a content.
        delay_s: seconds to wait before the first byte of the head.
        silent: say nothing at all until the peer leaves.
        close: end the connection after this answer.
    """

    kind: Kind
    subject: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Delivery | bytes | list[Any] | dict[str, Any] = b""
    framing: Framing = Framing.LENGTH
    delay_s: float = 0.0
    silent: bool = False
    close: bool = False

    def encoded(self) -> Delivery | bytes:
        """Return the body as it goes out; JSON is written here, so that faults can change values."""
        if isinstance(self.body, (Delivery, bytes)):
            return self.body
        self.headers.setdefault("Content-Type", "application/json; charset=utf-8")
        return json.dumps(self.body, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def replace(self, status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> None:
        """Answer something else altogether; underscores in header names stand for hyphens."""
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
