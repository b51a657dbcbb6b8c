"""The HTTP client: one exchange with one mirror, with our own redirects, limits and trust.

The only importer of aiohttp's client, with its neighbours in this package. Decides which URL is asked,
with which headers, over which route; answers are judged in ``core.response``, bodies are read in ``body``.
Deliberately knows neither leases nor retries: every call is one try, bounded in time.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from chunkdl import __version__
from chunkdl.core.response import Usable, content_length, epoch_s, judge
from chunkdl.errors import (
    ConnectFailed,
    HTTPStatus,
    RedirectRefused,
    SignatureExpired,
    Stalled,
    TransportError,
)
from chunkdl.http.body import Terms, drop, tls_version
from chunkdl.http.failures import READ_ERRORS, Exchange, check_proxy_status, exchange_errors
from chunkdl.http.homes import Homes
from chunkdl.http.metadata import MAX_METADATA_BYTES, MetadataAnswer, headers_of, read_metadata
from chunkdl.http.proxies import authorization_for, proxy_for, redacted_proxy
from chunkdl.http.redirects import MAX_HOPS, REDIRECT_STATUS, host_of, may_carry_token, next_hop, parse_url
from chunkdl.http.refusal_text import refusal_text
from chunkdl.http.resolver import Addresses
from chunkdl.http.sessions import Route, Sessions
from chunkdl.http.signed import ResolvedUrls, life_s
from chunkdl.http.takeover import open_body
from chunkdl.model import ByteRange, MirrorKind

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from yarl import URL

    from chunkdl.http.body import Body
    from chunkdl.model import Mirror, Source

# scheduling.md §9.1; the origin gets 3 s from its caller.
CONNECT_S = 10.0

# Bodies of redirects and errors are read up to this to keep the connection, else it is dropped.
_COURTESY_BYTES = 16 << 10

# Enough of a content to make a server say in Content-Range how long it is, where it does not say so to HEAD.
_FIRST_BYTE = ByteRange(0, 1)

# A remembered URL that answers so has expired: S3, CloudFront, OSS say 403, Google 400, xet 401, some 404 or 410.
_EXPIRED_STATUS = frozenset({400, 401, 403, 404, 410})

# Asks for less and says nothing against the URL; a 503 may be one broken node of a CDN, and resolving leads to others.
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class _Reached:
    """Headers at the end of the redirects."""

    response: aiohttp.ClientResponse
    url: URL
    latency_s: float
    peer_now_s: float | None
    at_home: bool  # every hop was the mirror's own origin, so that its token may go there again


class HttpClient:
    """Asks mirrors; use as an async context manager, inside one event loop.

    Args:
        connect_s: seconds for name, TCP and TLS together.
        user_agent: sent to everybody.
        environ: where proxies are read from; the process environment by default.
        tls: trust; by default the system's, or what SSL_CERT_FILE names.
        receive_buffer_bytes: SO_RCVBUF of new connections, for runs under a rate limit; None leaves the kernel's.
        addresses: name resolution.
    """

    def __init__(
        self,
        *,
        connect_s: float = CONNECT_S,
        user_agent: str = f"chunkdl/{__version__}",
        environ: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        receive_buffer_bytes: int | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        self._connect_s = connect_s
        self._user_agent = user_agent
        self._environ = os.environ if environ is None else environ
        self._addresses = addresses or Addresses()
        self._sessions = Sessions(self._addresses, tls=tls, receive_buffer_bytes=receive_buffer_bytes)
        self._resolved = ResolvedUrls()
        self._homes = Homes(self._addresses, self._environ)

    def limit_receive_buffer(self, receive_buffer_bytes: int | None) -> None:
        """Another SO_RCVBUF for connections from now on, because a rate limit was changed."""
        self._sessions.receive_buffer_bytes = receive_buffer_bytes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._sessions.close()
        self._addresses.close()

    async def get_metadata(  # noqa: PLR0913  # keyword-only settings of one request
        self,
        url: str,
        *,
        mirror: Mirror,
        timeout_s: float,
        connect_s: float | None = None,
        max_bytes: int = MAX_METADATA_BYTES,
        method: str = "GET",
        follow: bool = True,
    ) -> MetadataAnswer:
        """Ask ``mirror`` for an API document; any status is an answer.

        Args:
            url: percent-encoded.
            mirror: whose token goes along, to its own origin only.
            timeout_s: for the whole exchange, redirects and body included.
            connect_s: another connect limit than the client's.
            max_bytes: of the body, before and after decompression.
            method: GET or HEAD.
            follow: False returns a redirect itself, whose headers may be the point.

        Raises:
            ConnectFailed, Stalled, BodyCutShort, MirrorMisbehaved and its kinds: see ``errors``.
        """
        headers = {"Accept-Encoding": "gzip"}
        async with self._bounded(mirror, timeout_s):
            reached = await self._reach(
                method, parse_url(url, mirror=mirror.name), mirror, headers, connect_s=connect_s, follow=follow
            )
            try:
                return await read_metadata(
                    reached.response, url=str(reached.url), max_bytes=max_bytes, mirror=mirror.name
                )
            except BaseException:
                drop(reached.response)
                raise

    async def ask_headers(
        self,
        url: str,
        *,
        mirror: Mirror,
        timeout_s: float,
        connect_s: float | None = None,
        method: str = "HEAD",
        follow: bool = False,
    ) -> MetadataAnswer:
        """Ask what the headers say of a file's content; any status is an answer, and ``body`` stays empty.

        Args:
            url: percent-encoded.
            mirror: whose token goes along, to its own origin only.
            timeout_s: for the whole exchange, redirects included.
            connect_s: another connect limit than the client's.
            method: HEAD; or GET, which asks for the first byte and takes no more than a courtesy.
            follow: False returns a redirect itself, on which a hub says most.

        Raises:
            ConnectFailed, Stalled, RedirectRefused: see ``errors``.
        """
        headers = _body_headers(None if method == "HEAD" else _FIRST_BYTE)
        async with self._bounded(mirror, timeout_s):
            parsed = parse_url(url, mirror=mirror.name)
            reached = await self._reach(method, parsed, mirror, headers, connect_s=connect_s, follow=follow)
            await _discard(reached.response)
            return headers_of(reached.response, url=str(reached.url))

    async def open_body(self, source: Source, asked: ByteRange | None, *, size: int, first_byte_s: float) -> Body:
        """Ask for ``asked`` of a file, or for all of it if None, and return the open body.

        A 200 that begins at offset 0 is returned too, with ``ranged`` False: the caller decides.

        Args:
            source: which URL of which mirror.
            asked: None sends no Range header.
            size: bytes of the whole file, from an authority.
            first_byte_s: seconds for everything up to the headers.

        Raises:
            ConnectFailed: no connection, or none within the connect limit.
            Stalled: no headers within ``first_byte_s``.
            HTTPStatus: neither 200 nor 206.
            MirrorMisbehaved: RangeMismatch, ContentEncoded, NotTheFile, RedirectRefused.
        """
        try:
            async with self._bounded(source.mirror, first_byte_s):
                return await self._open_known(source, asked, size=size)
        except TransportError as error:  # our own cancellation says nothing about the URL, and resolving is counted
            if not (isinstance(error, HTTPStatus) and error.status == _TOO_MANY):
                self._resolved.forget(source.url)
            raise

    async def _open_known(self, source: Source, asked: ByteRange | None, *, size: int) -> Body:
        """By the remembered URL if there is one; by resolving, once, if that has expired."""
        known = self._resolved.get(source.url, self._now())
        if known is not None:
            try:
                return await self._open(source, known, asked, size=size)
            except SignatureExpired:
                self._resolved.forget(source.url)
        return await self._open(source, None, asked, size=size)

    async def _open(self, source: Source, known: URL | None, asked: ByteRange | None, *, size: int) -> Body:
        mirror = source.mirror
        first = known or parse_url(source.url, mirror=mirror.name)
        reached = await self._reach("GET", first, mirror, _body_headers(asked))
        if known is not None and reached.response.status in _EXPIRED_STATUS:
            await _discard(reached.response)
            raise SignatureExpired(f"{mirror.name}: the signed URL has expired", mirror=mirror.name)
        body = await self._judged(reached, asked, source, size=size)
        if known is None and str(reached.url) != source.url and _may_be_remembered(reached, mirror):
            life = life_s(reached.url.query, reached.peer_now_s)
            self._resolved.put(source.url, reached.url, life, self._now())
        return body

    async def _judged(self, reached: _Reached, asked: ByteRange | None, source: Source, *, size: int) -> Body:
        response, mirror = reached.response, source.mirror.name
        try:
            usable = judge(
                response.status, response.headers, asked, size=size, mirror=mirror, validator=source.validator
            )
        except HTTPStatus as error:
            said = refusal_text(await _discard(response), response.headers.get("content-type", ""))
            raise (error.because(said) if said else error) from None
        except BaseException:
            drop(response)
            raise
        terms = _terms(reached, usable, mirror=mirror)
        return open_body(terms, response, identity_length=content_length(response.headers) is not None)

    @asynccontextmanager
    async def _bounded(self, mirror: Mirror, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as error:
            raise Stalled(f"{mirror.name} sent no answer within {limit_s:g} s", mirror=mirror.name) from error

    async def _reach(
        self,
        method: str,
        url: URL,
        mirror: Mirror,
        headers: dict[str, str],
        *,
        connect_s: float | None = None,
        follow: bool = True,
    ) -> _Reached:
        """Send, and follow at most MAX_HOPS redirects."""
        limit_s = connect_s or self._connect_s
        await self._homes.look_up(mirror, limit_s)
        peer_now_s: float | None = None
        at_home = True  # whoever was led away once is not trusted with a token at a place that a stranger chose
        for _ in range(MAX_HOPS + 1):
            at_home = at_home and may_carry_token(url, mirror.url)
            sent = {**headers, **_identity(mirror)} if at_home else headers
            private = self._homes.may_connect_inside(mirror, host_of(url))
            response, latency_s = await self._send(method, url, mirror, sent, private=private, connect_s=limit_s)
            location = response.headers.get("location")
            if not follow or response.status not in REDIRECT_STATUS or location is None:
                return _Reached(response, url, latency_s, peer_now_s, at_home)
            peer_now_s = epoch_s(response.headers.get("date", ""))
            try:
                hub_url = "" if mirror.kind is MirrorKind.STATIC else mirror.url
                inside = self._homes.may_lead_inside(mirror)
                url = next_hop(url, location, mirror=mirror.name, mirror_url=hub_url, private=inside)
            finally:
                await _discard(response)
        raise RedirectRefused(f"{mirror.name} redirects more than {MAX_HOPS} times", mirror=mirror.name)

    async def _send(
        self, method: str, url: URL, mirror: Mirror, headers: dict[str, str], *, private: bool, connect_s: float
    ) -> tuple[aiohttp.ClientResponse, float]:
        route = Route(proxy_for(url, mirror.proxy, self._environ), private)
        encrypted = url.scheme == "https"
        session = await self._sessions.get(route, encrypted=encrypted or route.encrypted, ca_file=mirror.ca_file)
        sent = {"User-Agent": self._user_agent, "Accept": "*/*", **headers}
        began = self._now()
        exchange = Exchange(mirror, url, route.proxy)
        with exchange_errors(exchange, self._sessions.proxy_errors):
            response = await session.request(
                method,
                url,
                headers=sent,
                allow_redirects=False,
                ssl=self._sessions.tls_for(encrypted=encrypted or route.encrypted, ca_file=mirror.ca_file),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_s),
                **_through(route, encrypted=encrypted, sent=sent),
            )
        try:
            check_proxy_status(exchange, response.status)
        except ConnectFailed:
            await _discard(response)
            raise
        return response, self._now() - began

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _may_be_remembered(reached: _Reached, mirror: Mirror) -> bool:
    """False for a path at the mirror's own origin that a stranger chose: asked directly, it would get the token."""
    return reached.at_home or not may_carry_token(reached.url, mirror.url)


def _identity(mirror: Mirror) -> dict[str, str]:
    return {"Authorization": f"Bearer {mirror.token}"} if mirror.token else {}


def _through(route: Route, *, encrypted: bool, sent: dict[str, str]) -> dict[str, Any]:
    """What aiohttp must be told of an HTTP proxy.

    Its credentials never stand in a URL, which libraries repeat in their errors: a tunnel gets them with CONNECT,
    a plain request among its own headers.
    """
    if route.proxy is None or route.socks:
        return {}
    said: dict[str, Any] = {"proxy": redacted_proxy(route.proxy)}
    credentials = authorization_for(route.proxy)
    if credentials and encrypted:
        said["proxy_headers"] = {"Proxy-Authorization": credentials}
    elif credentials:
        sent["Proxy-Authorization"] = credentials
    return said


def _body_headers(asked: ByteRange | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if asked is not None:
        headers["Range"] = f"bytes={asked.start}-{asked.stop - 1}"
    return headers


def _terms(reached: _Reached, usable: Usable, *, mirror: str) -> Terms:
    return Terms(
        mirror=mirror,
        host=host_of(reached.url),
        latency_s=reached.latency_s,
        ranged=usable.ranged,
        start=usable.start,
        length=usable.stop - usable.start,
        framed=usable.framed,
        tls=tls_version(reached.response),
    )


async def _discard(response: aiohttp.ClientResponse) -> bytes:
    """Read away a short body so that its connection lives on; drop the connection of any other. What was read."""
    length = content_length(response.headers)
    ends_itself = length is not None or "transfer-encoding" in response.headers
    taken = bytearray()
    try:
        if ends_itself and (length or 0) <= _COURTESY_BYTES:
            while len(taken) <= _COURTESY_BYTES and (part := await response.content.readany()):
                taken += part
    except READ_ERRORS:
        pass  # broke while we were polite: nothing is lost
    finally:
        if not response.content.is_eof():
            drop(response)
    return bytes(taken)
