"""The loopback hub of ``chunkdl run``: one program is answered, by an address that nobody else can guess.

Decides who is answered: requests to this machine's loopback whose path begins with the secret. Web pages that
a browser here shows cannot know it, and a Host header that is not loopback's is refused before.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from chunkdl.addresses import is_loopback_host
from chunkdl.share.answers import Answer
from chunkdl.share.hosts import host_name
from chunkdl.share.sending import asked_of, listening, send, send_head, with_paths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    from chunkdl.endpoint.hub import EngineHub

_LOOPBACK = "127.0.0.1"
# 128 bits: not to be guessed, and short enough for a line of a log.
_SECRET_BYTES = 16
_BAD_REQUEST, _NOT_FOUND, _MISDIRECTED = 400, 404, 421


class _Service:
    def __init__(self, hub: EngineHub, secret: str) -> None:
        self._hub = hub
        self._secret = secret

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not is_loopback_host(host_name(host)):
            return await _say(request, _MISDIRECTED)
        secret = request.raw_path.removeprefix("/").partition("/")[0]
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return await _say(request, _NOT_FOUND)
        try:
            asked = await with_paths(request, asked_of(request, f"http://{host}/{secret}", f"/{secret}"))
        except UnicodeDecodeError:
            return await _say(request, _BAD_REQUEST)
        reply = await self._hub.reply(asked)
        path = reply.path
        if path is None and reply.answer.piece is not None:  # a HEAD that only wants to know
            return await send_head(request, reply.answer)
        return (await send(request, reply.answer, lambda _piece: _opened(path)))[0]


def _opened(path: Path | None) -> int:
    assert path is not None
    return os.open(path, os.O_RDONLY)


async def _say(request: web.BaseRequest, status: int) -> web.StreamResponse:
    return (await send(request, Answer(status), lambda _piece: _opened(None)))[0]


@asynccontextmanager
async def offered(hub: EngineHub) -> AsyncIterator[str]:
    """Answer on a free port of loopback while the block runs; yields the URL, secret path included.

    Raises:
        UsageError: nobody can listen on loopback here.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    async with listening(_Service(hub, secret).handle, _LOOPBACK, 0) as (address, port):
        yield f"http://{address}:{port}/{secret}"
