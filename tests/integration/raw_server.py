"""A loopback HTTP/1.1 server that sends exactly the bytes a test writes, and counts what was asked."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from chunkdl.http.client import HttpClient
from chunkdl.model import Mirror, Source

TLS_FILES = Path(__file__).parents[2] / "fixtures" / "tls"


@dataclass
class Wire:
    """Under which event loop and over what the tests of a module run; a fixture sets it."""

    loop: str = "asyncio"
    encrypted: bool = False


WIRE = Wire()
WIRES = [Wire("asyncio"), Wire("asyncio", encrypted=True), Wire("uvloop"), Wire("uvloop", encrypted=True)]


def use_wire(wire):
    WIRE.loop, WIRE.encrypted = wire.loop, wire.encrypted


def server_tls():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS_FILES / "loopback-test-cert.pem", TLS_FILES / "loopback-test-key.pem")
    return context


def a_client(**settings):
    """A client that trusts the test certificate and knows no proxy."""
    tls = ssl.create_default_context(cafile=TLS_FILES / "loopback-test-cert.pem")
    return HttpClient(**{"tls": tls, "environ": {}} | settings)


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]

    @property
    def range(self):
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        return int(first), int(last) + 1


@dataclass
class RawServer:
    """``answer(request, writer)`` writes; returning False closes the connection."""

    answer: object
    encrypted: bool | None = None
    requests: list = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self):
        self._serving = {}
        tls = server_tls() if (WIRE.encrypted if self.encrypted is None else self.encrypted) else None
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *failure):
        self._server.close()
        for task, writer in self._serving.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader, writer):
        self.connections += 1
        self._serving[asyncio.current_task()] = writer
        try:
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                if await self.answer(request, writer) is False:
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            del self._serving[asyncio.current_task()]
            writer.close()

    async def _read(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        return Request(method, target, {name.lower(): value.strip() for name, value in pairs})

    @property
    def targets(self):
        return [request.target for request in self.requests]


def head(status, *headers):
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *headers, "", ""]).encode("latin-1")


def partial(start, stop, size, *headers):
    """Headers of an exact 206."""
    return head(206, f"Content-Range: bytes {start}-{stop - 1}/{size}", f"Content-Length: {stop - start}", *headers)


def ranged(content):
    """An answer function that serves ``content`` by range as a good server does."""

    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, len(content)) + content[start:stop])
        await writer.drain()

    return answer


def fixed(*parts, close=False):
    """An answer function that always writes the same bytes."""

    async def answer(_, writer):
        for part in parts:
            writer.write(part)
        await writer.drain()
        return not close

    return answer


def source_of(server, path="/f", name="m1", **mirror):
    return Source(Mirror(server.url, name, **mirror), server.url + path)


async def read_all(body, view_bytes=1 << 16):
    """All bytes of a body through views of ``view_bytes``."""
    memory, parts = bytearray(view_bytes), []
    while taken := await body.read_into(memoryview(memory)):
        parts.append(bytes(memory[:taken]))
    return b"".join(parts)


def run(coroutine, limit_s=20):
    """Run a test's coroutine; a hang is a failure."""
    runner = uvloop.run if WIRE.loop == "uvloop" else asyncio.run
    return runner(asyncio.wait_for(coroutine, limit_s))
