"""Below HTTP: name, connection, tunnel and encryption, each as a step of its own with its time.

Decides nothing about what it sees. Uses plain sockets, because an HTTP client does all of it at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chunkdl.addresses import parse_literal
from chunkdl.errors import ConnectFailed
from chunkdl.http.proxies import authorization_for, redacted_proxy
from chunkdl.http.tls import trusted_context

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    from chunkdl.doctor.steps import Steps
    from chunkdl.http.resolver import Addresses

# A resolver's own patience is 5 s a server (resolv.conf, "timeout"); then it asks the next.
_DNS_S = 6.0
_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks5": 1080, "socks5h": 1080}
_MAX_HEAD_BYTES = 16 << 10
_OK = 200
_HTTP_PROXY_STATUS = {
    407: (
        "the proxy {proxy} wants a user name and a password that it knows (407)",
        "write HTTPS_PROXY=http://user:password@host:port",
    ),
    403: ("the proxy {proxy} forbids this host (403)", "ask who runs the proxy, or use a mirror that it lets through"),
}


@dataclass(frozen=True, slots=True)
class Way:
    """How a URL is reached: directly, or through ``proxy`` (with its credentials, never shown)."""

    url: str
    proxy: str | None = None
    ca_file: str = ""

    @property
    def first(self) -> tuple[str, int]:
        """Name and port of what is connected to."""
        return _endpoint(self.proxy or self.url)

    @property
    def target(self) -> tuple[str, int]:
        """Name and port of the source itself."""
        return _endpoint(self.url)

    @property
    def encrypted(self) -> bool:
        """Whether the source speaks TLS."""
        return self.url.startswith("https://")

    @property
    def tunnels(self) -> bool:
        """Whether a tunnel through an HTTP proxy can be tried by hand."""
        return self.proxy is not None and self.proxy.startswith("http://") and self.encrypted


def _endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


async def walk(way: Way, steps: Steps, addresses: Addresses, *, connect_s: float) -> tuple[str, ...] | None:
    """Take the steps below HTTP; the addresses found, or None if one of the steps failed."""
    host, port = way.first
    found: list[str] | None = [host]
    if parse_literal(host) is None:
        found = await steps.attempt("dns", _DNS_S, _looked_up(addresses, host, port))
    if found is None:
        return None
    streams = await steps.attempt("tcp", connect_s, _connected(found, port, connect_s / len(found)))
    if streams is None:
        return None
    try:
        return tuple(found) if await _climb(way, steps, streams, connect_s) else None
    finally:
        _, writer = streams
        writer.transport.abort()  # it has said nothing that must arrive


async def _climb(way: Way, steps: Steps, streams: tuple[StreamReader, StreamWriter], connect_s: float) -> bool:
    if way.tunnels and await steps.attempt("proxy", connect_s, _tunnelled(way, *streams)) is None:
        return False
    if way.encrypted and (way.tunnels or way.proxy is None):
        return await steps.attempt("tls", connect_s, _encrypted(way, streams[1])) is not None
    return True


async def _looked_up(addresses: Addresses, host: str, port: int) -> tuple[list[str], str]:
    found = [address for _, address in await addresses.of(host, port)]
    return found, ", ".join(found)


async def _connected(addresses: list[str], port: int, share_s: float) -> tuple[tuple[StreamReader, StreamWriter], str]:
    """The first address that takes a connection; each but the last gets ``share_s``."""
    for address in addresses[:-1]:
        with suppress(OSError):  # a time-out is one
            async with asyncio.timeout(share_s):
                return await asyncio.open_connection(address, port), address
    return await asyncio.open_connection(addresses[-1], port), addresses[-1]


async def _tunnelled(way: Way, reader: StreamReader, writer: StreamWriter) -> tuple[bool, str]:
    host, port = way.target
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}", *_credentials(way.proxy or ""), "", ""]
    writer.write("\r\n".join(lines).encode("ascii"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ConnectFailed("the proxy does not speak HTTP") from error
    words = head.split(None, 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() and len(head) <= _MAX_HEAD_BYTES else 0
    if status != _OK:
        text, hint = _HTTP_PROXY_STATUS.get(status, ("the proxy {proxy} gave no way to {name} ({status})", ""))
        message = text.format(proxy=redacted_proxy(way.proxy or ""), name=name, status=status)
        raise ConnectFailed(message, hint=hint or "check HTTPS_PROXY, or set the mirror's proxy to none")
    return True, f"tunnel to {name}"


def _credentials(proxy: str) -> list[str]:
    credentials = authorization_for(proxy)
    return [f"Proxy-Authorization: {credentials}"] if credentials else []


async def _encrypted(way: Way, writer: StreamWriter) -> tuple[bool, str]:
    context = await asyncio.to_thread(trusted_context, way.ca_file)
    await writer.start_tls(context, server_hostname=way.target[0])
    tls = writer.get_extra_info("ssl_object")
    return True, str(tls.version() or "") if tls is not None else ""
