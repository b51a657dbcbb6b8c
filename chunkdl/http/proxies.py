"""Through which proxy a URL is asked, by the mirror's policy and the environment.

Decides from a mapping that is handed in. aiohttp's ``trust_env`` is off because it ignores ALL_PROXY and
socks and adds netrc credentials. Deliberately does not connect.
"""

from __future__ import annotations

import base64
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from chunkdl.addresses import is_loopback_host, parse_literal
from chunkdl.errors import UsageError
from chunkdl.http.redirects import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from chunkdl.model import Mirror

SOCKS_SCHEMES = frozenset({"socks4", "socks5", "socks5h"})
_SCHEMES = SOCKS_SCHEMES | {"http", "https"}

_HINT = "write http://host:port, https://host:port, socks5://host:port or socks5h://host:port"


def proxy_for(url: URL, policy: str, environ: Mapping[str, str]) -> str | None:
    """The proxy URL for ``url``, or None for a direct connection.

    Args:
        url: the request's URL; loopback is never asked through a proxy.
        policy: a mirror's ``env``, ``none`` or a proxy URL of its own.
        environ: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are read, lower case first as curl does.

    Raises:
        UsageError: the proxy URL has an unknown scheme or no host.
    """
    host = url.raw_host or ""
    if policy == "none" or is_loopback_host(host):
        return None
    if policy != "env":
        return checked_proxy(policy)
    found = _variable(f"{url.scheme}_proxy", environ) or _variable("all_proxy", environ)
    if not found or bypassed(host, url.port or 0, _variable("no_proxy", environ)):
        return None
    return checked_proxy(found)


def proxy_of(mirror: Mirror, environ: Mapping[str, str]) -> str:
    """The proxy that a mirror's own URL is asked through, without its password; empty for none."""
    found = proxy_for(parse_url(mirror.url, mirror=mirror.name), mirror.proxy, environ)
    return redacted_proxy(found) if found else ""


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def checked_proxy(text: str) -> str:
    """A proxy URL with its scheme (http if unsaid); ``UsageError`` if it cannot be one."""
    full = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(full)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"not a proxy: {redacted_proxy(full)!r}", hint=_HINT)
    return full


def redacted_proxy(text: str) -> str:
    """A proxy URL without its user and password, for messages."""
    scheme, found, rest = text.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"


def authorization_for(proxy: str) -> str | None:
    """The ``Proxy-Authorization`` that the user and password in a proxy's URL mean; None if it has none."""
    parts = urlsplit(proxy)
    if not parts.username:
        return None
    plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(plain.encode()).decode('ascii')}"


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """True if NO_PROXY names this host: ``*``, a name and its subdomains, an address, a network, each with a port."""
    return any(_matches(host.lower().rstrip("."), port, entry) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(host: str, port: int, entry: str) -> bool:
    literal = parse_literal(host)
    if literal is not None and "/" in entry:
        try:
            return literal in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, entry_port = _split_port(entry)
    if entry_port and entry_port != port:
        return False
    wanted = parse_literal(name)
    if literal is not None or wanted is not None:
        return literal == wanted
    name = name.removeprefix("*").strip(".")
    return host == name or host.endswith(f".{name}") or entry == "*"


def _split_port(entry: str) -> tuple[str, int]:
    name, _, port = entry.rpartition(":")
    if name and port.isdecimal() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, 0
