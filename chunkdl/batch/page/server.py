"""The status page over HTTP: the page itself, and the events that keep it up to date. Read-only, no other address.

Decides who is answered: those who mean this machine (a page of a stranger's must not read the queue through a
browser), and readers that read. What is shown is ``view``'s affair.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from chunkdl.batch.page.feed import Feed
from chunkdl.share.hosts import is_ours
from chunkdl.share.listen_address import parse_listen, spell_url
from chunkdl.share.sending import listening
from chunkdl.share.server import own_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chunkdl.batch.moment import Moment

FLAG = "--http"
_NOT_FOUND, _NOT_ALLOWED, _MISDIRECTED, _BUSY, _FORBIDDEN = 404, 405, 421, 503, 403
# Between two signs of life: proxies and phones give silent connections up after half a minute.
_PATIENCE_S = 15.0
# A reader that takes no message for so long holds a place that somebody else could use.
_WRITE_LIMIT_S = 20.0
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is being served at ``url``."""

    url: str
    feed: Feed

    def publish(self, moment: Moment) -> None:
        """Show ``moment``; once a second, from the event loop."""
        self.feed.publish(moment)


@asynccontextmanager
async def serving(listen: str, flag: str = FLAG) -> AsyncIterator[Page]:
    """Serve the page at ``ADDRESS:PORT`` while the block runs; port 0 is any free one.

    Raises:
        UsageError: no such address, or nobody can listen there; ``flag`` is what the message calls it.
    """
    host, port = parse_listen(listen, flag)
    feed = Feed()
    service = _Service(feed, own_names())
    async with listening(service.handle, host, port, flag) as (address, bound):
        try:
            yield Page(f"{spell_url(address, bound, socket.gethostname())}/", feed)
        finally:
            feed.end()  # streams end by themselves then, within the server's farewell


@dataclass(frozen=True, slots=True)
class _Service:
    """Answers requests."""

    feed: Feed
    names: frozenset[str]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        host = request.headers.get("Host", "")
        if not is_ours(host, self.names):
            return _refusal(_MISDIRECTED, f"not asked as {host[:60]!a}")
        if request.method not in {"GET", "HEAD"}:
            return _refusal(_NOT_ALLOWED, "this page only shows", Allow="GET, HEAD")
        if request.path == "/":
            return web.Response(body=page_html(), headers=_page_headers())
        if request.path == "/events":
            return await self._events(request)
        return _refusal(_NOT_FOUND, "there is only /")

    async def _events(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            return _refusal(_FORBIDDEN, "for the page itself")  # others would only take places away
        listener = self.feed.join()
        if listener is None:
            return _refusal(_BUSY, "too many are looking", **{"Retry-After": "10"})
        headers = {**_COMMON, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            while request.method == "GET":
                message = await listener.take(_PATIENCE_S)
                async with asyncio.timeout(_WRITE_LIMIT_S):
                    await response.write(message)
                if self.feed.ended:
                    break
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.close()  # it went, or it reads nothing: its place is free
        finally:
            self.feed.leave(listener)
        return response


# Nothing of the page is kept, guessed at, framed or told to others.
_COMMON = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _refusal(status: int, why: str, **headers: str) -> web.Response:
    return web.Response(status=status, text=f"{why}\n", headers={**_COMMON, **headers})


@cache
def page_html() -> bytes:
    """The page; it holds its own style and script and nothing of any moment."""
    return files(__package__).joinpath("page.html").read_bytes()


@cache
def content_policy() -> str:
    """What a browser may do for the page: run and apply what is in it by digest, listen to us, and nothing else."""
    digests = {kind: _digest(text) for kind, text in _INLINE.findall(page_html().decode())}
    return (
        f"default-src 'none'; style-src '{digests['style']}'; script-src '{digests['script']}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _page_headers() -> dict[str, str]:
    return {**_COMMON, "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": content_policy()}
