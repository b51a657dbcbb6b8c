"""aiohttp sessions, one a way out: direct to public hosts, anywhere, or through one socks proxy.

Two direct sessions exist so that a warm connection into a private network, which a private mirror opened,
is never reused for a redirect of a public one. Decides how aiohttp is set up; does not know URLs.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from chunkdl.errors import UsageError
from chunkdl.http.overlong import CuttingConnector
from chunkdl.http.proxies import SOCKS_SCHEMES, redacted_proxy
from chunkdl.http.resolver import Addresses, JudgingResolver
from chunkdl.http.tls import trusted_context

if TYPE_CHECKING:
    import ssl

# Bytes that aiohttp reads ahead before pausing; what arrived with the headers stays far below (256 KiB a read).
READ_BUFFER_BYTES = 1 << 20

# Idle connections are kept this long; nginx keeps 75 s, several CDNs 15 s or less, a reset costs one retry.
KEEP_ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class Route:
    """How a request leaves: through ``proxy`` or, if None, directly; ``private`` lets private addresses pass."""

    proxy: str | None
    private: bool

    @property
    def socks(self) -> str | None:
        """The proxy if it speaks socks, which needs a connector of its own."""
        return self.proxy if self.proxy and self.proxy.partition("://")[0] in SOCKS_SCHEMES else None

    @property
    def encrypted(self) -> bool:
        """Whether the way to the proxy itself is TLS."""
        return self.proxy is not None and self.proxy.startswith("https://")

    @property
    def resolves_freely(self) -> bool:
        """Behind a proxy the proxy resolves; our resolver is asked for the proxy's own name only."""
        return self.private or self.proxy is not None


class Sessions:
    """Opens sessions when first needed and closes them together."""

    def __init__(self, addresses: Addresses, *, tls: ssl.SSLContext | None, receive_buffer_bytes: int | None) -> None:
        self._addresses = addresses
        self._tls = tls
        self.receive_buffer_bytes = receive_buffer_bytes
        self._tls_of: dict[str, ssl.SSLContext] = {}  # by the bundle that a mirror brings along
        self._open: dict[tuple[str | None, bool], aiohttp.ClientSession] = {}
        self.proxy_errors: tuple[type[Exception], ...] = ()  # of aiohttp-socks, which shares no base with aiohttp's

    async def get(self, route: Route, *, encrypted: bool, ca_file: str = "") -> aiohttp.ClientSession:
        """The session for ``route``; ``encrypted`` makes sure that trust is loaded first, that in ``ca_file`` too.

        Raises:
            UsageError: a socks proxy without the ``socks`` extra installed; a ``ca_file`` without certificates.
        """
        if encrypted and ca_file and ca_file not in self._tls_of:
            self._tls_of[ca_file] = await asyncio.to_thread(trusted_context, ca_file)
        elif encrypted and self._tls is None:
            self._tls = await asyncio.to_thread(trusted_context)
        key = (route.socks, route.resolves_freely)
        if key not in self._open:
            self._open[key] = aiohttp.ClientSession(
                connector=self._connector(route),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=READ_BUFFER_BYTES,
                timeout=aiohttp.ClientTimeout(total=None),  # every call is bounded by its caller
            )
        return self._open[key]

    def _connector(self, route: Route) -> aiohttp.BaseConnector:
        if route.socks:
            return self._socks_connector(route.socks)
        resolver = JudgingResolver(self._addresses, private=route.resolves_freely)
        return CuttingConnector(
            resolver=resolver,
            use_dns_cache=False,  # ours judges every use
            limit=0,  # the scheduler holds the caps
            keepalive_timeout=KEEP_ALIVE_S,
            socket_factory=self._socket,
        )

    def _socks_connector(self, proxy: str) -> aiohttp.BaseConnector:
        """Names go to the proxy, for socks5 as for socks5h: aiohttp-socks would look them up here unjudged.

        It makes its sockets and protocols itself, so that neither the small receive buffer of a rate limit nor
        ``overlong`` applies behind it.
        """
        try:
            module = importlib.import_module("aiohttp_socks")
        except ImportError as error:
            raise UsageError(
                f"{redacted_proxy(proxy)} is a socks proxy, and aiohttp-socks is not installed",
                hint=f"{sys.executable} -m pip install aiohttp-socks",
            ) from error
        self.proxy_errors = (module.ProxyError, module.ProxyConnectionError, module.ProxyTimeoutError)
        url = proxy.replace("socks5h://", "socks5://", 1)
        connector: aiohttp.BaseConnector = module.ProxyConnector.from_url(url, rdns=True, limit=0)
        return connector

    def tls_for(self, *, encrypted: bool, ca_file: str = "") -> ssl.SSLContext | bool:
        """What to pass as ``ssl=``; False never happens, since nothing may switch verification off."""
        tls = self._tls_of.get(ca_file, self._tls)
        return tls if encrypted and tls is not None else True

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = info
        made = socket.socket(family, kind, protocol)
        if self.receive_buffer_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
        return made

    async def close(self) -> None:
        """Close every connection; none is waited for longer than a TLS abort takes."""
        sessions, self._open = list(self._open.values()), {}
        for session in sessions:
            await session.close()
