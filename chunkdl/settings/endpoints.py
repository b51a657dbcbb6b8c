"""What a typed endpoint means: scheme, host, path prefix, and which kind of mirror its prefix names.

Decides how ``hf-mirror.com``, ``https://host/prefix/`` or ``static+https://…`` are spelt from then on.
Deliberately does not resolve names: whether an address may be talked to is the resolver's decision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from chunkdl.addresses import is_loopback_host
from chunkdl.errors import UsageError
from chunkdl.model import MirrorKind

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_KINDS = {"hf": MirrorKind.HUGGING_FACE, "modelscope": MirrorKind.MODELSCOPE, "static": MirrorKind.STATIC}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked base URL: no trailing slash, no user info, no query; ``kind`` from its ``kind+`` prefix."""

    url: str
    kind: MirrorKind = MirrorKind.HUGGING_FACE


def parse_endpoint(text: str, *, where: str) -> Endpoint:
    """Read what a person typed as an endpoint; ``where`` says in errors where it was typed.

    A bare host means https, a path prefix is kept (rules of ``HF_ENDPOINT``). ``UsageError`` if the
    text cannot be an endpoint; the message never repeats it, since it may hold a password.
    """
    typed = text.strip()
    prefix, plus, rest = typed.partition("+")
    kind = MirrorKind.HUGGING_FACE
    if plus and "://" not in prefix:
        if prefix not in _KINDS:
            raise UsageError(
                f"{where}: unknown kind of mirror {prefix!r}", hint="known kinds: hf+, modelscope+, static+"
            )
        kind, typed = _KINDS[prefix], rest
    return Endpoint(_base_url(typed, where), kind)


def _base_url(typed: str, where: str) -> str:
    if _UNPRINTABLE.search(typed):
        raise UsageError(f"{where}: spaces or control characters in a URL")
    try:
        parts = urlsplit(typed if "://" in typed else f"https://{typed}")
    except ValueError:  # its words may hold what was typed
        raise UsageError(f"{where}: no host in the URL") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise UsageError(f"{where}: only http and https are spoken, not {parts.scheme!r}")
    if "@" in parts.netloc:
        raise UsageError(f"{where}: a URL with user name or password is refused", hint="use a token instead")
    if parts.query or parts.fragment:
        raise UsageError(f"{where}: an endpoint has neither query nor fragment")
    return f"{parts.scheme}://{_netloc(parts.scheme, parts.netloc, where)}{parts.path.rstrip('/')}"


def _netloc(scheme: str, netloc: str, where: str) -> str:
    try:
        parts = urlsplit(f"//{netloc}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise UsageError(f"{where}: no host in the URL")
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port in (None, _DEFAULT_PORTS[scheme]) else f"{bracketed}:{port}"


def host_of(url: str) -> str:
    """The host name alone, lower case, without port and brackets."""
    return urlsplit(url).hostname or ""


def netloc_of(url: str) -> str:
    """Host and, if it is not the scheme's own, port: how a mirror is called by default."""
    return urlsplit(url).netloc


def origin_of(url: str) -> str:
    """Scheme, host and port: the unit that a token belongs to (RFC 6454)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def is_loopback(url: str) -> bool:
    """True for a URL that leads to this machine: see ``is_loopback_host``."""
    return is_loopback_host(host_of(url))


def is_confidential(url: str) -> bool:
    """True where a token may travel and an answer counts as authenticated: TLS, or this machine."""
    return url.startswith("https://") or is_loopback(url)
