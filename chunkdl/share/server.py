"""``chunkdl serve``: a mirror folder over HTTP, read-only.

Decides how bytes leave: by the kernel's ``sendfile``, in spans that a reader must take within a limit. What
is said is in ``answers``. Serves plain HTTP: what it serves is proven by digest at the other end.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.model import MIB
from chunkdl.share.answers import Answer, Asked, Catalogue
from chunkdl.share.hosts import is_ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chunkdl.share.answers import Piece
    from chunkdl.share.folder import MirrorFolder

# A reader that takes less than a span in the limit, 14 KB/s, holds a connection that somebody else could use.
_SPAN_BYTES = 4 * MIB
_SPAN_LIMIT_S = 300.0
# How long bodies in flight may go on when the server is told to stop; readers resume by range elsewhere.
_FAREWELL_S = 0.5
_BAD_REQUEST, _MISDIRECTED, _BROKEN = 400, 421, 500


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was answered, for a log."""

    method: str
    path: str
    status: int
    body_bytes: int


@dataclass(slots=True)
class MirrorService:
    """Answers requests out of ``folder``; what an export adds meanwhile is offered at once.

    Args:
        folder: checked by ``open``.
        names: host names, in lower case, under which this machine may be asked besides its addresses.
        on_served: told of every answer, in the event loop.
    """

    folder: MirrorFolder
    names: frozenset[str] = frozenset()
    on_served: Callable[[Served], object] = lambda _served: None
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(()))
    _read_at: int = -1

    def refresh(self) -> None:
        """Read the records if any was written since; blocking, and short: one ``stat`` mostly.

        Raises:
            UsageError, StoreError: as ``MirrorFolder.read``.
        """
        changed = _changed_at(self.folder)
        if changed != self._read_at or changed == -1:
            self.catalogue = Catalogue(self.folder.read())
            self._read_at = changed

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        answer = self._answer(request)
        if answer.piece is None:
            body = b"" if answer.status in _WITHOUT_BODY else answer.body
            response: web.StreamResponse = web.Response(status=answer.status, headers=answer.headers, body=body)
            sent = 0 if request.method == "HEAD" else len(body)
        else:
            response = await self._send(request, answer, answer.piece)
            sent = 0 if request.method == "HEAD" else answer.piece.stop - answer.piece.start
        self.on_served(Served(request.method, request.path, response.status, sent))
        return response

    def _answer(self, request: web.BaseRequest) -> Answer:
        host = request.headers.get("Host", "")
        if not is_ours(host, self.names):
            said = f"not asked as {host[:60]!a}: chunkdl serve --host NAME lets a name through\n"
            return Answer(_MISDIRECTED, {"Content-Type": "text/plain; charset=utf-8"}, said.encode())
        try:
            asked = _asked(request, f"http://{host}")
        except UnicodeDecodeError:
            return Answer(_BAD_REQUEST)
        try:
            self.refresh()
        except ChunkdlError as error:
            return Answer(_BROKEN, {"Content-Type": "text/plain; charset=utf-8"}, f"{error.message}\n".encode())
        return self.catalogue.answer(asked)

    async def _send(self, request: web.BaseRequest, answer: Answer, piece: Piece) -> web.StreamResponse:
        try:
            fd = os.open(self.folder.blob(piece.digest), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            return _lost(error.strerror or str(error))
        with os.fdopen(fd, "rb") as file:
            if os.fstat(fd).st_size != piece.size:
                return _lost("its size is not what was exported")
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


_WITHOUT_BODY = frozenset({304, 416})


async def _send_spans(request: web.BaseRequest, file: IO[bytes], piece: Piece) -> None:
    loop, at = asyncio.get_running_loop(), piece.start
    while at < piece.stop:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the reader left")
        count = min(_SPAN_BYTES, piece.stop - at)
        try:
            async with asyncio.timeout(_SPAN_LIMIT_S):
                await loop.sendfile(transport, file, at, count)
        except TimeoutError as error:
            raise ConnectionResetError("the reader takes nothing") from error
        at += count


def _drop(request: web.BaseRequest) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()


def _lost(why: str) -> web.Response:
    message = f"a file of this mirror is damaged ({why}); export it again"
    return web.Response(status=_BROKEN, headers={"X-Error-Message": message}, text=f"{message}\n")


def _asked(request: web.BaseRequest, base_url: str) -> Asked:
    """The request in our words; ``UnicodeDecodeError`` if its path spells no text."""
    path, _, query = request.raw_path.partition("?")
    return Asked(
        method=request.method,
        parts=tuple(unquote(each, errors="strict") for each in path.removeprefix("/").split("/")),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in request.headers.items()},
        base_url=base_url,
    )


def _changed_at(folder: MirrorFolder) -> int:
    """When the folder of records last changed; every record is put there by a rename."""
    try:
        return folder.records.stat().st_mtime_ns
    except OSError:
        return -1


@asynccontextmanager
async def serving(service: MirrorService, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Listen while the block runs; yields the address, with the port that was chosen if ``port`` is 0.

    Raises:
        UsageError: the folder is no export, or nobody can listen there.
    """
    service.refresh()
    runner = web.ServerRunner(web.Server(service.handle, access_log=None), shutdown_timeout=_FAREWELL_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            hint = "choose another address with --listen ADDRESS:PORT"
            raise UsageError(f"cannot listen on {host}:{port}: {_reason(error)}", hint=hint) from error
        address = runner.addresses[0]
        yield str(address[0]), int(address[1])
    finally:
        await runner.cleanup()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())


def own_names() -> frozenset[str]:
    """What this machine calls itself, in lower case, with the suffix of link-local name services (RFC 6762)."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"} - {""})
