"""Whether to follow a redirect, and to which URL exactly.

Decides from URLs alone; names are resolved, and judged again, in ``resolver``. A signed URL is kept byte
for byte: ``yarl.URL(text)`` would requote it and break its signature (measured: three of three).
"""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from yarl import URL

from chunkdl.addresses import is_loopback_host, is_private_host
from chunkdl.errors import RedirectRefused

# DESIGN §5; huggingface_hub follows 20, aiohttp 10. A hub needs two: to the canonical name, to the CDN.
MAX_HOPS = 5

REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})

_DEFAULT_PORTS = {"http": 80, "https": 443}

# Absolute Locations of these hosts, passed through by a mirror, mean the mirror's own copy (hf-contract §7.4).
_HUB_HOSTS = frozenset({"huggingface.co", "hf.co", "hub-ci.huggingface.co"})
_HUB_PATH = re.compile(r"/api/|/(?:[^/]+/){1,3}resolve/")

# What may not stand in a request target or a header: controls, spaces, and anything that is not ASCII.
_UNSAFE = re.compile(r"[^\x21-\x7e]")


def origin_of(url: URL) -> tuple[str, str, int]:
    """Scheme, host and port: what a token belongs to."""
    return url.scheme, (url.raw_host or "").lower(), url.port or 0


def host_of(url: str | URL) -> str:
    """The data host ``name:port`` of a URL, with IPv6 in brackets."""
    parsed = URL(url, encoded=True) if isinstance(url, str) else url
    name = (parsed.raw_host or "").lower()
    return f"[{name}]:{parsed.port}" if ":" in name else f"{name}:{parsed.port}"


def parse_url(text: str, *, mirror: str) -> URL:
    """A request URL, byte for byte as given.

    Raises:
        RedirectRefused: not http or https, no host, credentials inside, or bytes that no URL holds.
    """
    if _UNSAFE.search(text):
        raise RedirectRefused(f"{mirror} names a URL with forbidden characters", mirror=mirror)
    try:
        url = URL(text, encoded=True)
        port = url.port
    except ValueError as error:
        raise RedirectRefused(f"{mirror} names a URL that cannot be read: {error}", mirror=mirror) from error
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host or not port:
        raise RedirectRefused(f"{mirror} names a URL that is not http or https: {text[:60]!r}", mirror=mirror)
    if url.raw_user is not None or url.raw_password is not None:
        raise RedirectRefused(f"{mirror} names a URL with credentials in it", mirror=mirror)
    return url


def next_hop(current: URL, location: str, *, mirror: str, mirror_url: str, private: bool) -> URL:
    """Where ``Location`` leads, if this mirror may send us there.

    Args:
        current: the URL that answered.
        location: the header's text, unchanged.
        mirror: name for messages.
        mirror_url: the mirror's base URL; hub paths on hub hosts are rewritten to it. Empty for no mirror of a hub.
        private: the mirror itself is on a private address and may redirect to others.

    Raises:
        RedirectRefused: downgrade to http, foreign scheme, credentials, or a private literal address.
    """
    target = parse_url(_absolute(current, location, mirror=mirror), mirror=mirror)
    target = _own_copy(target, current, mirror_url) if mirror_url else target
    if current.scheme == "https" and target.scheme != "https":
        raise RedirectRefused(f"{mirror} redirects from https to http ({host_of(target)})", mirror=mirror)
    _check_literal(target, mirror=mirror, private=private)
    return target


def _absolute(current: URL, location: str, *, mirror: str) -> str:
    """Join without requoting; a fragment is for browsers and goes nowhere."""
    text = location.strip().partition("#")[0]
    try:
        return text if urlsplit(text).scheme else urljoin(str(current), text)
    except ValueError as error:  # half a bracket, or a host that normalises to something else
        raise RedirectRefused(f"{mirror} redirects to a URL that cannot be read", mirror=mirror) from error


def _own_copy(target: URL, current: URL, mirror_url: str) -> URL:
    base = URL(mirror_url, encoded=True)
    raw_host = (target.raw_host or "").lower()
    if raw_host not in _HUB_HOSTS or origin_of(base) == origin_of(target) or not _HUB_PATH.match(target.raw_path_qs):
        return target
    own = URL(str(base).rstrip("/") + target.raw_path_qs, encoded=True)
    return target if str(own) == str(current) else own  # the mirror really means the hub: follow, without a token


def _check_literal(target: URL, *, mirror: str, private: bool) -> None:
    if is_private_host(target.raw_host or "") and not private:
        raise RedirectRefused(f"{mirror} redirects to the private address {host_of(target)}", mirror=mirror)


def may_carry_token(url: URL, mirror_url: str) -> bool:
    """True if ``url`` is the mirror's own origin, over TLS or on this machine's loopback."""
    safe = url.scheme == "https" or is_loopback_host(url.raw_host or "")
    return safe and origin_of(url) == origin_of(URL(mirror_url, encoded=True))
