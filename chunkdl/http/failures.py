"""What aiohttp raises, said in our words: which mirror, which host or proxy, what to do.

Decides the type of failure and its sentence; deliberately does not know what the scheduler makes of it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from chunkdl.errors import ConnectFailed, MirrorMisbehaved, RedirectRefused, TransportError
from chunkdl.http.certificates import certificate_error, spell_certificate
from chunkdl.http.proxies import authorization_for, redacted_proxy
from chunkdl.http.redirects import host_of
from chunkdl.http.resolver import PrivateAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

    from chunkdl.model import Mirror

# How reading an answer fails. RuntimeError is aiohttp's "Connection closed", where its parser gave up before the
# reader asked; 3.14 raises it from ``StreamReader`` itself.
READ_ERRORS = (aiohttp.ClientError, OSError, RuntimeError)

_TLS_HINT = "a proxy may break TLS open; SSL_CERT_FILE names a bundle with its certificate"
_DNS_HINT = "check the name and the resolver, or set HTTPS_PROXY: behind a proxy no name is looked up here"
_REACH_HINT = "check the network and HTTPS_PROXY, or use other mirrors (--add-mirror URL)"

_Row = tuple[tuple[type[Exception], ...], type[TransportError], str, str]

# First match counts: aiohttp's classes inherit from one another.
_ROWS: tuple[_Row, ...] = (
    ((aiohttp.ClientConnectorDNSError,), ConnectFailed, "the name of {host} cannot be resolved ({said})", _DNS_HINT),
    ((aiohttp.ClientConnectorSSLError,), ConnectFailed, "TLS with {host} failed ({said})", _TLS_HINT),
    (
        (aiohttp.ServerTimeoutError, TimeoutError),
        ConnectFailed,
        "no connection to {host} within the limit",
        _REACH_HINT,
    ),
    ((aiohttp.InvalidURL, ValueError), RedirectRefused, "the URL on {host} cannot be asked", ""),
    ((aiohttp.ClientResponseError,), MirrorMisbehaved, "{host} does not speak HTTP ({said})", ""),
    ((aiohttp.ServerDisconnectedError,), ConnectFailed, "{host} closed the connection without an answer", _REACH_HINT),
)
_OTHER = (ConnectFailed, "no answer from {host} ({said})", _REACH_HINT)

_WRONG_CREDENTIALS, _FORBIDDEN = 407, 403


@dataclass(frozen=True, slots=True)
class Exchange:
    """Whom we ask for what, and through which proxy (with its credentials, which no message shows)."""

    mirror: Mirror
    url: URL
    proxy: str | None = None

    @property
    def host(self) -> str:
        """The host that the URL names, which need not be the mirror's own."""
        return host_of(self.url)

    def to_proxy(self, error: Exception) -> bool:
        """True if ``error`` is of the connection to the proxy, and not of one through it."""
        if self.proxy is None:
            return False
        parts = urlsplit(self.proxy)
        return getattr(error, "host", None) == parts.hostname and getattr(error, "port", None) == parts.port


@contextmanager
def exchange_errors(exchange: Exchange, of_socks: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn every failure of connecting and awaiting headers into a ``TransportError``.

    ``of_socks`` are what the library for socks proxies raises, which shares no base with aiohttp's.
    """
    try:
        yield
    except of_socks as error:
        raise _of_socks(error, exchange) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _translated(error, exchange) from error


def check_proxy_status(exchange: Exchange, status: int) -> None:
    """An answer of 407 comes from the proxy, whoever was asked (RFC 9110 §15.5.8).

    Raises:
        ConnectFailed: the proxy wants other credentials.
    """
    if exchange.proxy is not None and status == _WRONG_CREDENTIALS:
        raise _refused_by_proxy(exchange, status, "")


def _translated(error: Exception, exchange: Exchange) -> TransportError:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(exchange, error.status, _said(error))
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return _proxy_away(exchange, _said(error))
    if (certificate := certificate_error(error)) is not None:
        said, hint = spell_certificate(certificate)
        return _proxy_untrusted(exchange, said) if exchange.to_proxy(error) else _failed(exchange, said, hint)
    private = getattr(error, "os_error", None)
    if isinstance(private, PrivateAddress):
        name = exchange.mirror.name
        return RedirectRefused(f"{name} redirects into a private network: {private}", mirror=name)
    kind, text, hint = next((row[1:] for row in _ROWS if isinstance(error, row[0])), _OTHER)
    return _failed(exchange, text, hint, said=_said(error), kind=kind)


def _of_socks(error: Exception, exchange: Exchange) -> ConnectFailed:
    cause = error.__cause__  # a refusal of the system has a number, one of the proxy's has none
    if isinstance(cause, OSError) and cause.errno:
        return _proxy_away(exchange, os.strerror(cause.errno))
    return _refused_by_proxy(exchange, 0, _said(error))


def _failed(
    exchange: Exchange, text: str, hint: str, *, said: str = "", kind: type[TransportError] = ConnectFailed
) -> TransportError:
    told = text.format(host=exchange.host, said=said)
    name = exchange.mirror.name  # the host's own name, unless it was given another
    return kind(told if name == exchange.host else f"{name}: {told}", hint=hint, mirror=name)


def _refused_by_proxy(exchange: Exchange, status: int, said: str) -> ConnectFailed:
    name, proxy = exchange.mirror.name, exchange.proxy or ""
    shown = redacted_proxy(proxy)
    if status == _WRONG_CREDENTIALS:
        wish = "another user name or password" if authorization_for(proxy) else "a user name and a password"
        message = f"{name}: the proxy {shown} wants {wish} (407)"
        hint = f"write {_where(exchange)} as http://user:password@host:port, special characters as %XX"
    elif status == _FORBIDDEN:
        message = f"{name}: the proxy {shown} forbids {exchange.host} (403)"
        hint = "ask who runs the proxy, use a mirror that it lets through, or set the mirror's proxy to none"
    else:
        message = f"{name}: the proxy {shown} gave no way to {exchange.host} ({said})"
        hint = f"check {_where(exchange)}, or set the mirror's proxy to none"
    return ConnectFailed(message, hint=hint, mirror=name)


def _proxy_away(exchange: Exchange, said: str) -> ConnectFailed:
    message = f"{exchange.mirror.name}: the proxy {redacted_proxy(exchange.proxy or '')} cannot be reached ({said})"
    hint = f"check {_where(exchange)}, or set the mirror's proxy to none"
    return ConnectFailed(message, hint=hint, mirror=exchange.mirror.name)


def _proxy_untrusted(exchange: Exchange, said: str) -> ConnectFailed:
    told = said.format(host=f"the proxy {redacted_proxy(exchange.proxy or '')}")
    hint = "SSL_CERT_FILE names a bundle with the certificate of the proxy's authority"
    return ConnectFailed(f"{exchange.mirror.name}: {told}", hint=hint, mirror=exchange.mirror.name)


def _where(exchange: Exchange) -> str:
    """Where the proxy was named."""
    if exchange.mirror.proxy != "env":
        return "the mirror's proxy"
    return "ALL_PROXY and HTTPS_PROXY" if (exchange.proxy or "").startswith("socks") else "HTTPS_PROXY"


def _said(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, OSError) and str(cause.strerror).startswith("Connect call failed"):  # asyncio's, without why
        return os.strerror(cause.errno or 0)
    text = getattr(cause, "message", None) or getattr(cause, "strerror", None) or str(cause)
    return _one_line(str(text)) or type(cause).__name__


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]
