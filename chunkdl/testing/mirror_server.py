"""A mirror of the Hugging Face hub on loopback, as good or as bad as a test wants it.

Decides the order of things on a connection: read, answer, bend, wait, send, count. What an honest answer
is stands in ``hub_answers``, what may be wrong with it in ``faults``. Serves hundreds of MB/s unshaped.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Protocol

from chunkdl.testing.answers import Answer, Kind
from chunkdl.testing.hub_answers import Hub
from chunkdl.testing.pace import Pace
from chunkdl.testing.sending import Sender
from chunkdl.testing.signing import UrlSigner
from chunkdl.testing.strikes import Strikes
from chunkdl.testing.wire import HEAD_LIMIT_BYTES, read_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Iterator, Sequence
    from typing import Self

    from chunkdl.testing.answers import Request
    from chunkdl.testing.faults import Fault
    from chunkdl.testing.hub_repo import HubRepo

_LOOPBACK = "127.0.0.1"
# Enough for the requests of any one test; a bench that runs longer keeps the newest.
_LOG_LENGTH = 20_000
# How long a thread with a server may take to start or to end before that is an error.
_THREAD_LIMIT_S = 20.0
# The hub's published limits for anonymous clients, September 2025: 3000 resolver requests in 300 s.
_RATE_LIMIT = {"RateLimit": '"resolvers";r=2998;t=172', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'}


class Answering(Protocol):
    """What an honest server knows, in the words of its protocol."""

    def answer(self, request: Request) -> Answer:
        """Answer a request to the server's own port; ``path_prefix`` is already gone."""

    def content_of(self, request: Request, digest: str) -> Answer:
        """Answer a request whose signature was good, on the CDN's port."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One request that was answered: what came, and what was said."""

    request: Request
    kind: Kind
    subject: str
    status: int


@dataclass(eq=False)
class MirrorServer:
    """One mirror: ``async with MirrorServer([repo]) as mirror: mirror.url``.

    Args:
        repos: what it holds.
        rate_bytes_per_s: of all connections together; None is as fast as it can. Set it to change it, also for bodies
            that are on their way.
        per_connection_bytes_per_s: the same for each connection, as long as that lasts.
        latency_s: wait before each answer.
        signed_urls: keep LFS content on a second port (a CDN) behind signed URLs.
        signed_url_ttl_s: how long those are good for; ``expire_signed_urls`` ends it at once.
        cdn: the mirror whose CDN to use instead of an own one, so that two mirrors share a data host.
        faults: faults or their names; set ``faults`` to change them while running.
        seed: part of what signed URLs are signed with.
        token: what opens gated and private repositories.
        max_bodies: more bodies at a time are answered 503, as nginx's ``limit_conn`` does.
        page_entries: entries a page of a listing.
        redirects_small: whether plain git files are redirected to ``/api/resolve-cache``, as the hub does.
        path_prefix: where the hub begins, for example ``/hf``.
        tls: serve https with this context.
        send_buffer_bytes: SO_SNDBUF of each connection, so that what is handed to the kernel is not far ahead of what
            was received; None leaves the kernel's measure, megabytes on loopback.

    ``bytes_served`` (body bytes of content, counted just before the kernel gets them), ``bytes_by_file``, ``requests``,
    ``requests_by_kind``, ``log`` (newest requests), ``bodies`` and ``peak_bodies`` (bodies in flight) and
    ``connections`` (accepted so far) may be read at any time, from any thread.
    """

    repos: Sequence[HubRepo]
    _: KW_ONLY
    rate_bytes_per_s: float | None = None
    per_connection_bytes_per_s: float | None = None
    latency_s: float = 0.0
    signed_urls: bool = False
    signed_url_ttl_s: float = 3600.0
    cdn: MirrorServer | None = None
    faults: Sequence[Fault | str] = ()
    seed: int = 0
    token: str | None = None
    max_bodies: int | None = None
    page_entries: int = 1000
    redirects_small: bool = True
    path_prefix: str = ""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    send_buffer_bytes: int | None = None

    bytes_served: int = field(default=0, init=False)
    bytes_by_file: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    requests: int = field(default=0, init=False)
    requests_by_kind: Counter[Kind] = field(default_factory=Counter, init=False)
    log: deque[Logged] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH), init=False, repr=False)
    connections: int = field(default=0, init=False)
    bodies: int = field(default=0, init=False)
    peak_bodies: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Prepare what does not need a port."""
        self._signer = UrlSigner(secret=f"chunkdl {self.seed}", ttl_s=self.signed_url_ttl_s)
        self._pace = Pace(self.rate_bytes_per_s)
        self._strikes = Strikes()
        self._listeners: list[asyncio.Server] = []
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    # ---- life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Listen on free ports of 127.0.0.1."""
        for on_cdn in (False, True)[: 2 if self.signed_urls and self.cdn is None else 1]:
            await self._listen(on_cdn=on_cdn)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the ports and drop every connection, also in the middle of a body."""
        for listener in self._listeners:
            listener.close()
        async with asyncio.timeout(_THREAD_LIMIT_S):
            while self._open:  # each leaves in the turn after it has begun
                for task in filter(None, self._open.values()):
                    task.cancel()
                await asyncio.sleep(0)
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Run the mirror in a thread with a loop of its own, for synchronous tests."""
        with _loop_in_thread() as loop:
            asyncio.run_coroutine_threadsafe(self.__aenter__(), loop).result(_THREAD_LIMIT_S)
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.__aexit__(), loop).result(_THREAD_LIMIT_S)

    @property
    def url(self) -> str:
        """Base URL of the hub, without a trailing slash."""
        return f"{self._address(0)}{self.path_prefix}"

    @property
    def cdn_url(self) -> str:
        """Base URL of the port that signed URLs name; only with ``signed_urls``."""
        return self.cdn.cdn_url if self.cdn is not None else self._address(1)

    def expire_signed_urls(self) -> None:
        """Make every signed URL given out so far answer 403."""
        (self.cdn or self)._signer.revoke()  # noqa: SLF001

    def requests_for(self, subject: str, *, method: str = "GET") -> list[Logged]:
        """Return the logged requests about one repository path (or API path), oldest first."""
        return [each for each in tuple(self.log) if each.subject == subject and each.request.method == method]

    # ---- one connection --------------------------------------------------------------------------

    async def _listen(self, *, on_cdn: bool) -> None:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Coroutine[None, None, None] | None:
            if not listener.is_serving():
                writer.transport.abort()
                return None
            self._open[writer] = None  # the loop makes a task of what is returned, which begins a turn later
            return self._adopt(reader, writer, on_cdn=on_cdn)

        listener = await asyncio.start_server(
            serve, _LOOPBACK, 0, limit=HEAD_LIMIT_BYTES, backlog=1024, ssl=None if on_cdn else self.tls
        )
        self._listeners.append(listener)

    async def _adopt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, on_cdn: bool) -> None:
        """Count, serve and close one connection."""
        self._open[writer] = asyncio.current_task()
        self.connections += 1
        if self.send_buffer_bytes is not None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes)
        # Otherwise the peer left, or the mirror is being stopped: both end a connection as tests intend.
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer, on_cdn=on_cdn)
                writer.close()
                await writer.wait_closed()
                return  # asyncio cannot abort what has been closed
            writer.transport.abort()
        finally:
            del self._open[writer]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, on_cdn: bool) -> None:
        """Answer requests one after the other until either side has had enough."""
        sender = Sender(reader, writer, (self._pace, Pace(self.per_connection_bytes_per_s)), self._count)
        scheme = "https" if self.tls and not on_cdn else "http"
        while (request := await read_request(reader, on_cdn=on_cdn, scheme=scheme)) is not None:
            answer = self._answer(request)
            self._record(request, answer)
            answer.delay_s += self.latency_s
            self._pace.rate_bytes_per_s = self.rate_bytes_per_s
            if not await self._send(sender, answer, request):
                return

    async def _send(self, sender: Sender, answer: Answer, request: Request) -> bool:
        """Send, with the body counted as in flight; False if the connection is over."""
        self.bodies += answer.kind is Kind.CONTENT
        self.peak_bodies = max(self.peak_bodies, self.bodies)
        try:
            return await sender.send(answer, request)
        finally:
            self.bodies -= answer.kind is Kind.CONTENT

    def _answer(self, request: Request) -> Answer:
        """Return the honest answer after the faults were at it."""
        self._strikes.follow(self.faults, self.repos)
        answer = self._from_cdn(request) if request.on_cdn else self._from_hub(request)
        if answer.kind is Kind.CONTENT and self.max_bodies is not None and self.bodies >= self.max_bodies:
            answer.replace(503, b"too many connections\n", Content_Type="text/plain")
        for fault in self._strikes.due(answer):
            fault.bend(answer, request)
        return answer

    def _from_hub(self, request: Request) -> Answer:
        if not request.target.startswith(self.path_prefix + "/"):
            return Answer(Kind.OTHER, request.path.lstrip("/"), 404)
        answer = self._hub().answer(request.below(self.path_prefix))
        answer.headers.update(_RATE_LIMIT)
        return answer

    def _from_cdn(self, request: Request) -> Answer:
        digest = self._signer.check(request.target, self._now())
        if digest is None:
            message = (
                b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
            )
            return Answer(Kind.CONTENT, request.path.lstrip("/"), 403, {"Content-Type": "application/xml"}, message)
        return self._hub().content_of(request, digest)

    def _hub(self) -> Answering:
        return Hub(
            repos=self._strikes.view,
            base_url=self.url,
            token=self.token,
            page_entries=self.page_entries,
            signed_url=self._signed_url if self.signed_urls else None,
            redirects_small=self.redirects_small,
        )

    def _signed_url(self, digest: str) -> str:
        signer = (self.cdn or self)._signer  # noqa: SLF001
        return self.cdn_url + signer.sign(digest, self._now())

    def _address(self, index: int) -> str:
        host, port = self._listeners[index].sockets[0].getsockname()
        return f"{'https' if self.tls and not index else 'http'}://{host}:{port}"

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- what is counted -------------------------------------------------------------------------

    def _record(self, request: Request, answer: Answer) -> None:
        self.requests += 1
        self.requests_by_kind[answer.kind] += 1
        self.log.append(Logged(request, answer.kind, answer.subject, answer.status))

    def _count(self, answer: Answer, count: int) -> None:
        self._pace.rate_bytes_per_s = self.rate_bytes_per_s  # once a piece: a body on its way keeps up with changes
        if answer.kind is Kind.CONTENT:
            self.bytes_served += count
            self.bytes_by_file[answer.subject] += count


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a daemon thread for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="mirror-server", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_THREAD_LIMIT_S)
        loop.close()
