"""A transport for huggingface_hub's HTTP client: what goes to the hub is answered by the engine, the rest is passed on.

Decides which requests are the hub's. Works with httpx and httpx2, which are handed in: no dependency of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from chunkdl.model import MIB
from chunkdl.share.answers import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chunkdl.endpoint.hub import EngineHub, Reply
    from chunkdl.pipeline.background import Background

# Reads of a file on its way to the client, which writes it in pieces of its own.
_READ_BYTES = MIB


class EngineTransport:
    """What ``Client(transport=…)`` takes.

    Args:
        library: httpx or httpx2.
        inner: the client that would have been there; sends what is not the hub's.
        endpoints: base URLs of the hub, without a final slash.
        hub: answers for it.
        background: where ``hub`` lives.
    """

    def __init__(
        self, library: Any, inner: Any, endpoints: tuple[str, ...], hub: EngineHub, background: Background
    ) -> None:
        self._library = library
        self._inner = inner
        self._endpoints = endpoints
        self._hub = hub
        self._background = background

    def handle_request(self, request: Any) -> Any:
        """Answer one request; blocks until the engine has what the answer leads to."""
        url = str(request.url)
        base = next((each for each in self._endpoints if url.startswith((f"{each}/", f"{each}?"))), None)
        asked = _asked(request, url, base) if base is not None else None
        if asked is None:
            return self._inner.send(request, stream=True, follow_redirects=False)
        reply = self._background.submit(self._hub.reply(asked)).result()
        return self._response(request, reply)

    def _response(self, request: Any, reply: Reply) -> Any:
        answer, headers = reply.answer, dict(reply.answer.headers)
        piece = answer.piece
        size = len(answer.body) if piece is None else piece.stop - piece.start
        headers["Content-Length"] = str(size)
        content: Any = answer.body
        if request.method == "HEAD":
            content = b""
        elif piece is not None and reply.path is not None:
            content = _read(reply.path, piece.start, piece.stop)
        return self._library.Response(answer.status, headers=headers, content=content, request=request)

    def close(self) -> None:
        """Close the client that sent the rest."""
        self._inner.close()

    def __enter__(self) -> EngineTransport:  # noqa: PYI034  no subclasses
        """For clients that are used as context managers."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Close."""
        self.close()


def _asked(request: Any, url: str, base: str) -> Asked | None:
    """The request in our words; None for what changes something, which is not for us."""
    if request.method not in {"GET", "HEAD"}:
        return None
    parts = urlsplit(url[len(base) :])
    return Asked(
        method=request.method,
        parts=tuple(unquote(each) for each in parts.path.removeprefix("/").split("/")),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in request.headers.items()},
        base_url=base,
    )


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (data := file.read(min(_READ_BYTES, stop - start))):
            start += len(data)
            yield data
