"""The body of one answer, read into memory that the caller owns.

Decides where a body ends and whether its connection may be used again. Deliberately does not know
ranges, leases, files or time limits: it waits as long as the caller lets it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.errors import BodyCutShort
from chunkdl.http.failures import READ_ERRORS

if TYPE_CHECKING:
    from asyncio import Transport

    import aiohttp


@dataclass(frozen=True, slots=True)
class Terms:
    """What the headers promised.

    Args:
        mirror: name for messages.
        host: final data host ``name:port`` after redirects.
        latency_s: seconds from the last hop's request to its headers.
        ranged: False for a 200 that starts at offset 0.
        start: offset in the file of the first body byte.
        length: bytes that ``read_into`` delivers in total.
        framed: the message ends exactly there, so that the connection may be kept.
        tls: version of the connection's encryption, such as TLSv1.3; empty for none, or for one not known.
    """

    mirror: str
    host: str
    latency_s: float
    ranged: bool
    start: int
    length: int
    framed: bool
    tls: str = ""


class Body(ABC):
    """An open body: ``read_into`` until 0, then ``close``; or ``abort`` at any time.

    ``excess`` turns True when the peer sent more than it should; the rest was never looked at.
    """

    def __init__(self, terms: Terms, response: aiohttp.ClientResponse) -> None:
        self._terms = terms
        self._response = response
        self._delivered = 0
        self.excess = False

    @property
    def received(self) -> int:
        """Bytes delivered so far, those of an unfinished ``read_into`` included."""
        return self._delivered

    @property
    def host(self) -> str:
        """Final data host ``name:port``, the unit of capacity and blame."""
        return self._terms.host

    @property
    def latency_s(self) -> float:
        """Seconds from the last hop's request to its headers."""
        return self._terms.latency_s

    @property
    def tls(self) -> str:
        """Version of the connection's encryption, empty for none."""
        return self._terms.tls

    @property
    def ranged(self) -> bool:
        """False for a 200 that begins at offset 0 whatever was asked."""
        return self._terms.ranged

    @property
    def start(self) -> int:
        """Offset in the file of the first byte delivered."""
        return self._terms.start

    @property
    def length(self) -> int:
        """Bytes that this body delivers if it is read to its end."""
        return self._terms.length

    @property
    def _left(self) -> int:
        return self._terms.length - self._delivered

    @abstractmethod
    async def read_into(self, view: memoryview) -> int:
        """Fill ``view`` and return how many bytes are in it; 0 at the end of the body.

        Returns early when the body ends, after ``flush()`` as soon as there is a byte, and where
        the transport hands over less. ``view`` must not be touched before this returns.

        Raises:
            BodyCutShort: the peer ended or reset before all announced bytes came. Bytes that came
                before were returned by earlier calls.
        """

    @abstractmethod
    def flush(self) -> None:
        """Let the ``read_into`` that waits now return with what is there, at the latest with its first byte."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the connection at once; safe to call twice and after ``close``."""

    async def close(self, *, reusable: bool) -> None:
        """End the use of this body: its connection is kept if it was read to its end and ``reusable`` is True."""
        if not (reusable and self._left == 0 and self._terms.framed and not self.excess):
            self.abort()

    def _cut_short(self, reason: str) -> BodyCutShort:
        had = f"{self._delivered} of {self._terms.length} bytes"
        return BodyCutShort(f"{self._terms.mirror} ended after {had} ({reason})", mirror=self._terms.mirror)


class StreamBody(Body):
    """The portable way: aiohttp parses, we copy. For chunked bodies, unknown lengths and what is here already."""

    def __init__(self, terms: Terms, response: aiohttp.ClientResponse, early: bytes = b"") -> None:
        super().__init__(terms, response)
        self._stash = memoryview(early)

    async def read_into(self, view: memoryview) -> int:
        """Copy what arrived since the last call; see ``Body.read_into``."""
        room = min(len(view), self._left)
        if not room:
            return 0
        if not self._stash:
            self._stash = memoryview(await self._next_bytes())
        taken = min(room, len(self._stash))
        view[:taken] = self._stash[:taken]
        self._stash = self._stash[taken:]
        self._delivered += taken
        if self._stash and not self._left:
            self.excess = True
        return taken

    async def _next_bytes(self) -> bytes:
        try:
            data = await self._response.content.readany()
        except READ_ERRORS as error:
            rescued = rescue_buffered(self._response)
            if not rescued:
                raise self._cut_short(type(error).__name__) from error
            return rescued
        if not data:
            raise self._cut_short("end of stream")
        return data

    def flush(self) -> None:
        """Nothing to do: every call returns with what is there."""

    def abort(self) -> None:
        """Drop the connection, if the answer still has one."""
        drop(self._response)


def rescue_buffered(response: aiohttp.ClientResponse) -> bytes:
    """What arrived before the connection broke; aiohttp would throw it away with the exception."""
    content = response.content
    content.set_exception(None)  # type: ignore[arg-type]  # takes back what connection_lost set
    return content.read_nowait(-1)


def drop(response: aiohttp.ClientResponse) -> None:
    """Close the answer's connection now, without a TLS farewell that could take seconds."""
    transport = transport_of(response)
    if transport is not None:
        transport.abort()
    response.close()


def transport_of(response: aiohttp.ClientResponse) -> Transport | None:
    """The live transport under an answer, None once it was released or lost."""
    return response.connection.transport if response.connection is not None else None


def tls_version(response: aiohttp.ClientResponse) -> str:
    """``TLSv1.3`` and the like for an answer that still has its connection; empty for plain HTTP."""
    transport = transport_of(response)
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return str(tls.version() or "") if tls is not None else ""
