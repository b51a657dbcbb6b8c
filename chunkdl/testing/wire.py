"""HTTP/1.1 on a connection, seen from the server: reading requests, writing heads and framed bodies.

Decides only how things are spelt on the wire, with bounds on what a client may send. A server library
would repair what the faults break on purpose (lengths, framing, order), hence these few lines.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING

from chunkdl.testing.answers import Framing, Request

if TYPE_CHECKING:
    from chunkdl.testing.answers import Answer

# What common servers allow a request's head (nginx: 4 x 8 KiB), and more than any form our clients post.
HEAD_LIMIT_BYTES = 64 * 1024
_BODY_LIMIT_BYTES = 4 << 20
# What a client puts before the path when it talks to a plain HTTP proxy.
_ABSOLUTE = re.compile(r"^http://[^/]*(?=/)")


async def read_request(reader: asyncio.StreamReader, *, on_cdn: bool, scheme: str) -> Request | None:
    """Read one request; None when the peer has closed, or sent what is no request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _version = lines[0].split(" ")
        target = _ABSOLUTE.sub("", target)  # RFC 9112 §3.2.2: asked as a proxy, answered as the origin
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "0"))
        body = await reader.readexactly(min(length, _BODY_LIMIT_BYTES))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        return None
    return Request(method, target, headers, body, on_cdn, scheme)


def head_bytes(answer: Answer, length: int) -> bytes:
    """Write status line and headers; ``length`` is announced unless a fault says otherwise."""
    headers = dict(answer.headers)
    if answer.framing is Framing.CHUNKED:
        headers["Transfer-Encoding"] = "chunked"
    elif answer.framing is Framing.LENGTH:
        headers.setdefault("Content-Length", str(length))
    if answer.close:
        headers["Connection"] = "close"
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def framed(data: bytes | memoryview, framing: Framing) -> bytes | memoryview:
    """Wrap a piece of body as its framing asks."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n")) if framing is Framing.CHUNKED else data


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST instead of FIN, as broken middle boxes do."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
