"""How bytes of a file leave through a web server: by the kernel's ``sendfile``, in spans with a limit each.

Decides when a reader is too slow to be kept. Knows neither what is offered nor where it lies.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from chunkdl.errors import UsageError
from chunkdl.model import MIB
from chunkdl.share.answers import Asked, paths_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chunkdl.share.answers import Answer, Piece

# A reader that takes less than a span in the limit, 14 KB/s, holds a connection that somebody else could use.
_SPAN_BYTES = 4 * MIB
_SPAN_LIMIT_S = 300.0
# How long bodies in flight may go on when the server is told to stop; readers resume by range elsewhere.
_FAREWELL_S = 0.5
# 1 MiB at 35 KB/s; whoever names paths has them at hand.
_BODY_LIMIT_S = 30.0
_BROKEN = 500
_WITHOUT_BODY = frozenset({304, 416})


def asked_of(request: web.BaseRequest, base_url: str, below: str = "") -> Asked:
    """The request in our words, its path from ``below`` on; ``UnicodeDecodeError`` if its path spells no text."""
    path, _, query = request.raw_path.removeprefix(below).partition("?")
    return Asked(
        method=request.method,
        parts=tuple(unquote(each, errors="strict") for each in path.removeprefix("/").split("/")),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in request.headers.items()},
        base_url=base_url,
    )


async def with_paths(request: web.BaseRequest, asked: Asked) -> Asked:
    """``asked`` with the paths that its body names, in a form or as JSON; a body that names none is none.

    Raises:
        web.HTTPException: it is longer than 1 MiB (aiohttp's own limit), or takes too long to come.
    """
    if not asked.about_paths:
        return asked
    try:
        async with asyncio.timeout(_BODY_LIMIT_S):
            body = (await request.read()).decode(errors="replace")
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    return replace(asked, paths=paths_named(body, request.content_type))


async def send(
    request: web.BaseRequest, answer: Answer, opened: Callable[[Piece], int]
) -> tuple[web.StreamResponse, int]:
    """Send ``answer``; returns the response and how many bytes of body it had.

    Args:
        request: what is answered.
        answer: what to say.
        opened: a new descriptor of the file that a piece is of; ``OSError`` if there is none.
    """
    if answer.piece is None:
        body = b"" if answer.status in _WITHOUT_BODY else answer.body
        response = web.Response(status=answer.status, headers=answer.headers, body=body)
        return response, 0 if request.method == "HEAD" else len(body)
    sent = await _send_piece(request, answer, answer.piece, opened)
    return sent, 0 if request.method == "HEAD" else answer.piece.stop - answer.piece.start


async def send_head(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send what is known of a file without opening it."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if answer.piece is not None:
        response.content_length = answer.piece.stop - answer.piece.start
    await response.prepare(request)
    await response.write_eof()
    return response


async def _send_piece(
    request: web.BaseRequest, answer: Answer, piece: Piece, opened: Callable[[Piece], int]
) -> web.StreamResponse:
    try:
        fd = opened(piece)
    except OSError as error:
        return _lost(error.strerror or str(error))
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size != piece.size:
            return _lost("its size is not what was recorded")
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = piece.stop - piece.start
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await _send_spans(request, file, piece)
            await response.write_eof()
        except ConnectionError:
            _drop(request)  # the reader left, as one does that has found a faster mirror
    return response


async def _send_spans(request: web.BaseRequest, file: IO[bytes], piece: Piece) -> None:
    loop, at = asyncio.get_running_loop(), piece.start
    while at < piece.stop:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader left")
        count = min(_SPAN_BYTES, piece.stop - at)
        try:
            async with asyncio.timeout(_SPAN_LIMIT_S):
                sent = await loop.sendfile(transport, file, at, count)
        except TimeoutError as error:
            raise ConnectionResetError("the reader takes nothing") from error
        if sent < count:  # what was promised cannot come: the next answer must not be taken for the rest of this one
            raise ConnectionResetError("the file became shorter")
        at += count


def _drop(request: web.BaseRequest) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()


def _lost(why: str) -> web.Response:
    message = f"a file that is offered here is damaged ({why}); fetch and export it again"
    return web.Response(status=_BROKEN, headers={"X-Error-Message": message}, text=f"{message}\n")


@asynccontextmanager
async def listening(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], host: str, port: int, flag: str = "--listen"
) -> AsyncIterator[tuple[str, int]]:
    """Serve while the block runs; yields the address, with the port that was chosen if ``port`` is 0.

    ``flag`` is how the address was given.

    Raises:
        UsageError: nobody can listen there.
    """
    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_FAREWELL_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            hint = f"choose another address with {flag} ADDRESS:PORT"
            raise UsageError(f"cannot listen on {host}:{port}: {_reason(error)}", hint=hint) from error
        address = runner.addresses[0]
        yield str(address[0]), int(address[1])
    finally:
        await runner.cleanup()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
