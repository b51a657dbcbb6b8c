"""A transport for huggingface_hub's HTTP client: what goes to the hub is answered by the engine, the rest is passed on.

Decides which requests the engine answers: those that a download makes. What else a program asks the hub (who it is,
which models there are) and what changes something go there as ever. Works with httpx and httpx2, which are handed in:
no dependency of ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from chunkdl.endpoint.questions import question_of
from chunkdl.model import MIB
from chunkdl.share.answers import Asked, paths_named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chunkdl.endpoint.hub import EngineHub, Reply
    from chunkdl.pipeline.background import Background

# What huggingface_hub (2.4, ``_detect_agent.py``) asks before a download to name its caller, and does without if told
# that there is nothing: where the hub cannot be reached it would wait for that each time.
_ASIDE = ("api", "agent-harnesses")
# Reads of a file on its way to the client, which writes it in pieces of its own.
_READ_BYTES = MIB


class EngineTransport:
    """What ``Client(transport=…)`` takes.

    Args:
        library: httpx or httpx2.
        inner: the client that would have been there; sends what the engine does not answer.
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
        if base is None or not _is_for_us(_asked(request, url, base)):
            return self._inner.send(request, stream=True, follow_redirects=False)
        hooks = self._inner.event_hooks  # which it calls itself for what it sends
        for hook in hooks["request"]:
            hook(request)
        reply = self._background.submit(self._hub.reply(_with_paths(request, _asked(request, url, base)))).result()
        response = self._response(request, reply)
        for hook in hooks["response"]:
            hook(response)
        return response

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


def _is_for_us(asked: Asked) -> bool:
    return question_of(asked) is not None or asked.parts == _ASIDE


def _asked(request: Any, url: str, base: str) -> Asked:
    """The request in our words, but for a body: those of uploads are nobody's to read before they are sent."""
    parts = urlsplit(url[len(base) :])
    return Asked(
        method=request.method,
        parts=tuple(unquote(each) for each in parts.path.removeprefix("/").split("/")),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in request.headers.items()},
        base_url=base,
    )


def _with_paths(request: Any, asked: Asked) -> Asked:
    if not asked.about_paths:
        return asked
    body = request.read().decode(errors="replace")
    return replace(asked, paths=paths_named(body, asked.headers.get("content-type", "")))


def _read(path: Path, start: int, stop: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (data := file.read(min(_READ_BYTES, stop - start))):
            start += len(data)
            yield data
