"""What aiohttp raises, said in our words: which mirror, which host, what to do.

Decides the type of failure; deliberately does not know what the scheduler makes of it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp

from chunkdl.errors import ConnectFailed, MirrorMisbehaved, RedirectRefused, TransportError
from chunkdl.http.redirects import host_of
from chunkdl.http.resolver import PrivateAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

_TLS_HINT = "a proxy may break TLS open; SSL_CERT_FILE names a bundle with its certificate"

_Row = tuple[tuple[type[Exception], ...], type[TransportError], str, str]

# First match counts: aiohttp's classes inherit from one another.
_ROWS: tuple[_Row, ...] = (
    ((aiohttp.ClientConnectorDNSError,), ConnectFailed, "the name of {host} cannot be resolved ({said})", ""),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError),
        ConnectFailed,
        "TLS with {host} failed ({said})",
        _TLS_HINT,
    ),
    ((aiohttp.ServerTimeoutError, TimeoutError), ConnectFailed, "no connection to {host} within the limit", ""),
    ((aiohttp.InvalidURL, ValueError), RedirectRefused, "the URL on {host} cannot be asked", ""),
    ((aiohttp.ClientResponseError,), MirrorMisbehaved, "{host} does not speak HTTP ({said})", ""),
    ((aiohttp.ServerDisconnectedError,), ConnectFailed, "{host} closed the connection without an answer", ""),
)
_OTHER = (ConnectFailed, "no answer from {host} ({said})", "")


@contextmanager
def exchange_errors(mirror: str, url: URL, of_proxies: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn every failure of connecting to ``url`` and awaiting its headers into a ``TransportError``."""
    try:
        yield
    except of_proxies as error:
        raise _lost_at_proxy(mirror, host_of(url), error) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _translated(error, mirror, host_of(url)) from error


def _translated(error: Exception, mirror: str, host: str) -> TransportError:
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return _lost_at_proxy(mirror, host, error)
    private = getattr(error, "os_error", None)
    if isinstance(private, PrivateAddress):
        return RedirectRefused(f"{mirror} redirects into a private network: {private}", mirror=mirror)
    kind, text, hint = next((row[1:] for row in _ROWS if isinstance(error, row[0])), _OTHER)
    told = text.format(host=host, said=_said(error))  # names the host, which is the mirror's name unless it has another
    return kind(told if mirror == host else f"{mirror}: {told}", hint=hint, mirror=mirror)


def _lost_at_proxy(mirror: str, host: str, error: Exception) -> ConnectFailed:
    message = f"{mirror}: the proxy gave no way to {host} ({_said(error)})"
    return ConnectFailed(message, hint="check HTTPS_PROXY, or set the mirror's proxy to none", mirror=mirror)


def _said(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    text = getattr(cause, "message", None) or getattr(cause, "strerror", None) or str(cause)
    return _one_line(str(text)) or type(cause).__name__


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]
