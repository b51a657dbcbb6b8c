"""Sending one answer on one connection: when each piece goes, and how the body ends.

Decides pieces, pauses and endings from what the answer says. Deliberately does not know why the answer
is what it is. Never waits without either a rate, a given time, or the peer's leaving.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.testing.answers import Delivery, Ending, Framing
from chunkdl.testing.content import PathContent
from chunkdl.testing.pace import LARGEST_PIECE_BYTES
from chunkdl.testing.wire import framed, head_bytes, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.testing.answers import Answer, Request
    from chunkdl.testing.pace import Pace

# What one call to the kernel copies from a file; counters move in steps of this.
_SENDFILE_BYTES = 4 << 20


class Sender:
    """The server's half of one connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        paces: Sequence[Pace],
        count: Callable[[Answer, int], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._paces = paces
        self._count = count
        self._clock = asyncio.get_running_loop().time
        # Drain waits for the kernel to have taken nearly everything, so that counters and rates tell the truth.
        writer.transport.set_write_buffer_limits(high=LARGEST_PIECE_BYTES)

    async def send(self, answer: Answer, request: Request) -> bool:
        """Send the whole answer; False if the connection must not be used again."""
        if answer.silent:
            await self._until_peer_leaves(None)
            return False
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        body = answer.encoded()
        self._writer.write(head_bytes(answer, body.length if isinstance(body, Delivery) else len(body)))
        whole = request.method == "HEAD" or await self._send_body(answer, body)
        if whole and answer.framing is Framing.CHUNKED and request.method != "HEAD":
            self._writer.write(b"0\r\n\r\n")
        if not whole or answer.close or answer.framing is Framing.CLOSE:
            return False
        return request.headers.get("connection", "").lower() != "close"

    async def _send_body(self, answer: Answer, body: Delivery | bytes) -> bool:
        """Return False if the body did not come to its end."""
        if isinstance(body, bytes):
            if body:
                self._count(answer, len(body))
                self._writer.write(framed(body, answer.framing))
                await self._writer.drain()
            return True
        if self._may_use_sendfile(answer, body):
            return await self._send_file(answer, body)
        end = body.length if body.stop_after_bytes is None else body.stop_after_bytes
        await self._send_span(answer, body, 0, end)
        if body.stop_after_bytes is None:
            return True
        return await self._end_early(answer, body, end)

    async def _end_early(self, answer: Answer, body: Delivery, sent: int) -> bool:
        if body.ending is Ending.RESET:
            reset(self._writer)
        if body.ending is not Ending.SILENCE:
            return False
        if await self._until_peer_leaves(body.silence_s):
            return False
        await self._send_span(answer, body, sent, body.length)
        return True

    async def _send_span(self, answer: Answer, body: Delivery, start: int, stop: int) -> None:
        """Send body offsets ``[start, stop)`` piece by piece, each when the paces let it go."""
        while start < stop:
            piece = body.drip_bytes or min(pace.piece_bytes for pace in self._paces)
            piece_stop = min(start + piece, stop)
            await self._wait_for_turn(piece_stop - start, body.drip_s if start else 0.0)
            # Counted before it goes, so that who has received a byte finds it counted.
            self._count(answer, piece_stop - start)
            self._writer.write(framed(body.read(start, piece_stop), answer.framing))
            await self._writer.drain()
            start = piece_stop

    async def _wait_for_turn(self, count: int, pause_s: float) -> None:
        now = self._clock()
        turn = max(now + pause_s, *(pace.reserve(count, now) for pace in self._paces))
        if turn > now:
            await asyncio.sleep(turn - now)

    def _may_use_sendfile(self, answer: Answer, body: Delivery) -> bool:
        plain = isinstance(body.content, PathContent) and body.intact and answer.framing is Framing.LENGTH
        shaped = any(pace.rate_bytes_per_s is not None for pace in self._paces)
        return plain and not shaped and self._writer.get_extra_info("ssl_object") is None

    async def _send_file(self, answer: Answer, body: Delivery) -> bool:
        """Let the kernel copy from the file: no byte passes through Python."""
        assert isinstance(body.content, PathContent), "checked by _may_use_sendfile"
        loop, offset = asyncio.get_running_loop(), body.start
        with body.content.path.open("rb") as file:
            while offset < body.stop:
                count = min(_SENDFILE_BYTES, body.stop - offset)
                self._count(answer, count)
                try:
                    sent = await loop.sendfile(self._writer.transport, file, offset, count)
                finally:
                    # The file's position says how far it came, also after a failure.
                    self._count(answer, file.tell() - offset - count)
                if sent < count:
                    return False
                offset += sent
        return True

    async def _until_peer_leaves(self, limit_s: float | None) -> bool:
        """Wait for the peer to close (True), or for ``limit_s`` (False)."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._reader.read(1), limit_s)
            return True
        return False
