"""Measuring one mirror with real ranges through its whole redirect chain: bounded in bytes and in seconds.

Decides where the ranges lie and when a measurement is over. A range that is cut by the time limit is a slow one,
not a failure. Deliberately does not judge.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from chunkdl.errors import ConnectFailed, Stalled, TransportError
from chunkdl.mirrors.measures import Exchange, Sample
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.http.body import Body
    from chunkdl.model import Source

_READ_BYTES = 64 << 10  # what a connection delivers at once; a smaller buffer would measure Python
_HEAD_BYTES = 4 << 10  # enough to tell other bytes apart, and every range has them
_MARKS = 64  # how finely the course of a range is kept: a rate needs no more


class BodyClient(Protocol):
    """The part of ``HttpClient`` that measuring needs."""

    async def open_body(self, source: Source, asked: ByteRange | None, *, size: int, first_byte_s: float) -> Body:
        """Ask for a range of a file; TransportError if it does not come."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is read from one mirror: a URL of it, the length of the content, and a name for the content."""

    source: Source
    size: int
    content: str


def spread(size: int, total_bytes: int, connections: int, at: float) -> tuple[ByteRange, ...]:
    """Ranges side by side, one a connection, ``total_bytes`` together, beginning at the share ``at`` of what fits.

    Fewer where the content is too small for a byte each; ``size`` and ``total_bytes`` are positive, 0 <= ``at`` < 1.
    """
    whole = min(size, max(1, total_bytes))
    count = min(connections, whole)
    start = int((size - whole + 1) * at)
    cuts = [start + whole * index // count for index in range(count + 1)]
    return tuple(ByteRange(low, high) for low, high in pairwise(cuts))


@dataclass(frozen=True, slots=True)
class Probe:
    """Takes samples; ``clock`` gives monotonic seconds."""

    client: BodyClient
    clock: Callable[[], float]

    async def sample(
        self, subject: Subject, ranges: Sequence[ByteRange], *, number: int, limit_s: float, several: bool
    ) -> Sample:
        """Ask for all ``ranges`` at once, for at most ``limit_s``; ``number`` and ``several`` are the sample's."""
        exchanges = await asyncio.gather(*(self._exchange(subject, each, limit_s) for each in ranges))
        return Sample(number, subject.content, ranges[0].start, tuple(exchanges), several)

    async def _exchange(self, subject: Subject, asked: ByteRange, limit_s: float) -> Exchange:
        asked_at, mirror = self.clock(), subject.source.mirror
        try:
            body = await self.client.open_body(
                subject.source, asked, size=subject.size, first_byte_s=min(limit_s, mirror.first_byte_s)
            )
        except TransportError as error:
            heard = not isinstance(error, ConnectFailed | Stalled)
            return Exchange(asked_at, self.clock(), error=error.message, heard=heard)
        answered_at, seen = self.clock(), _Seen(self.clock, len(asked) // _MARKS)
        try:
            failure = await self._read(body, len(asked), asked_at + limit_s - answered_at, seen)
            came = min(body.received, len(asked))
            seen.end(came)
            ended_at = self.clock()
        finally:
            body.abort()
        return Exchange(
            asked_at,
            ended_at,
            answered_at,
            came,
            tuple(seen.marks),
            ranged=body.ranged,
            host=body.host,
            tls=body.tls,
            head=seen.head if body.start == asked.start else "",
            error=failure,
        )

    async def _read(self, body: Body, wanted: int, limit_s: float, seen: _Seen) -> str:
        """Read ``wanted`` bytes; the failure in words, or empty. Running out of time is one only if nothing came."""
        view = memoryview(bytearray(_READ_BYTES))
        try:
            async with asyncio.timeout(max(0.0, limit_s)):
                while body.received < wanted:
                    got = await body.read_into(view[: wanted - body.received])
                    if not got:
                        return "the body ended early"
                    seen.add(view[:got])
        except TimeoutError:
            return "" if body.received else "headers came, and no byte after them"
        except TransportError as error:
            return error.message
        return ""


class _Seen:
    """The course of one range: marks of how it came, and the hash of its first bytes."""

    def __init__(self, clock: Callable[[], float], step_bytes: int) -> None:
        self.marks: list[tuple[float, int]] = []
        self._clock = clock
        self._step_bytes = step_bytes
        self._came = 0
        self._first = bytearray()

    def add(self, data: memoryview) -> None:
        """More bytes came."""
        self._first += data[: max(0, _HEAD_BYTES - len(self._first))]
        self._came += len(data)
        if self._came - (self.marks[-1][1] if self.marks else 0) > self._step_bytes:
            self.marks.append((self._clock(), self._came))

    def end(self, came: int) -> None:
        """That is all: ``came`` bytes, those of a read that was cut off included."""
        if came and (not self.marks or self.marks[-1][1] < came):
            self.marks.append((self._clock(), came))

    @property
    def head(self) -> str:
        """The hash of the first bytes; empty until enough came."""
        return hashlib.sha256(self._first).hexdigest() if len(self._first) == _HEAD_BYTES else ""
