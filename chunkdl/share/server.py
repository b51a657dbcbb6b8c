"""``chunkdl serve``: a mirror folder over HTTP, read-only.

Decides who is answered: those who mean this machine. What is said is in ``answers``, how bytes leave in
``sending``. Serves plain HTTP: what it serves is proven by digest at the other end.
"""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.errors import ChunkdlError
from chunkdl.share.answers import Answer, Catalogue
from chunkdl.share.hosts import is_ours
from chunkdl.share.sending import asked_of, listening, send, with_paths

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from chunkdl.share.answers import Piece
    from chunkdl.share.folder import MirrorFolder

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
        response, sent = await send(request, await self._answer(request), self._opened)
        self.on_served(Served(request.method, request.path, response.status, sent))
        return response

    def _opened(self, piece: Piece) -> int:
        return os.open(self.folder.blob(piece.digest), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))

    async def _answer(self, request: web.BaseRequest) -> Answer:
        host = request.headers.get("Host", "")
        if not is_ours(host, self.names):
            said = f"not asked as {host[:60]!a}: chunkdl serve --host NAME lets a name through\n"
            return Answer(_MISDIRECTED, {"Content-Type": "text/plain; charset=utf-8"}, said.encode())
        try:
            asked = await with_paths(request, asked_of(request, f"http://{host}"))
        except UnicodeDecodeError:
            return Answer(_BAD_REQUEST)
        try:
            self.refresh()
        except ChunkdlError as error:
            return Answer(_BROKEN, {"Content-Type": "text/plain; charset=utf-8"}, f"{error.message}\n".encode())
        return self.catalogue.answer(asked)


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
    async with listening(service.handle, host, port) as address:
        yield address


def own_names() -> frozenset[str]:
    """What this machine calls itself, in lower case, with the suffix of link-local name services (RFC 6762)."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({name, short, f"{short}.local"} - {""})
