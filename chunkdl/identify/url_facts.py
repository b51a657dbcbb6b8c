"""How long the file at an address is, and in which state: asked of one server.

Decides which answer is believed: the one to a request of the kind that the transfer makes, for the first byte alone.
HEAD is what servers lie about (they refuse it, or describe a page or a compressed form), so it is asked only where
the first byte does not say how much follows. No digest is taken from here: entity tags of data hosts are their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.content_headers import read_facts
from chunkdl.core.response import bad_status, content_validator
from chunkdl.errors import AccessDenied, ArtifactNotFound, MirrorMisbehaved, NotTheFile
from chunkdl.identify.checkpoints import Facts

if TYPE_CHECKING:
    from chunkdl.identify.huggingface import MetadataAnswer, MetadataClient
    from chunkdl.model import Mirror

_UNAUTHORIZED = 401
_MISSING = frozenset({404, 410})
_SPEAKING = frozenset({200, 206, 416})  # 416 says how long an empty file is
_PAGES = ("text/html", "application/xhtml")


async def ask_facts(
    client: MetadataClient, mirror: Mirror, url: str, name: str, *, answer_s: float, connect_s: float
) -> Facts:
    """What ``mirror`` says of the file ``name`` at ``url``, redirects followed.

    Args:
        client: makes the requests.
        mirror: whose address it is.
        url: percent-encoded.
        name: of the file, for messages.
        answer_s: for each answer, redirects included.
        connect_s: for each connection.

    Raises:
        ArtifactNotFound, AccessDenied: 404 and 410, 401.
        TransportError: no answer, a bad status, a page instead of the file, or no length.
    """
    seen = Facts(-1)
    for method in ("GET", "HEAD"):
        answer = await client.ask_headers(
            url, mirror=mirror, timeout_s=answer_s, connect_s=connect_s, method=method, follow=True
        )
        if method == "GET" or answer.status in _SPEAKING:
            seen = _facts(answer, mirror, name)
        if seen.size >= 0:
            return seen
    raise MirrorMisbehaved(
        f"{mirror.name} does not say how long {name} is",
        hint="a server that streams without a length cannot be resumed or checked; fetch it with another program",
        mirror=mirror.name,
        file=name,
    )


def _facts(answer: MetadataAnswer, mirror: Mirror, name: str) -> Facts:
    """Size -1 if it is not said."""
    status, headers = answer.status, answer.headers
    if status in _MISSING:
        raise ArtifactNotFound(f"{mirror.name} has no {name}", hint="check the URL", mirror=mirror.name, file=name)
    if status == _UNAUTHORIZED:
        raise AccessDenied(f"{mirror.name} gives {name} to those who log in alone", mirror=mirror.name, file=name)
    if status not in _SPEAKING:
        raise bad_status(status, headers, mirror=mirror.name)
    if headers.get("content-type", "").strip().lower().startswith(_PAGES) and not name.lower().endswith(".html"):
        raise NotTheFile(
            f"{mirror.name} sends an HTML page instead of {name}",
            hint="a login page, a captive portal or a wrong URL; open it in a browser",
            mirror=mirror.name,
            file=name,
        )
    size = read_facts(status, headers).size
    return Facts(-1 if size is None else size, content_validator(headers))
