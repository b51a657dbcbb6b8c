"""Faults in bodies: when bytes come, whether they end, whether they are the right ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.testing.answers import Delivery, Ending
from chunkdl.testing.faults.base import Fault

if TYPE_CHECKING:
    from chunkdl.testing.answers import Answer, Request


@dataclass(frozen=True)
class SlowFirstByte(Fault):
    """Wait before the head of the answer."""

    name = "slow-first-byte"
    seconds: float = 1.0

    def bend(self, answer: Answer, request: Request) -> None:
        """Add to the delay."""
        del request
        answer.delay_s += self.seconds


@dataclass(frozen=True)
class AcceptAndSilent(Fault):
    """Take the request and never answer."""

    name = "accept-and-silent"

    def bend(self, answer: Answer, request: Request) -> None:
        """Say nothing."""
        del request
        answer.silent = True


@dataclass(frozen=True)
class Dribble(Fault):
    """Send ``piece_bytes`` at a time, ``interval_s`` apart."""

    name = "dribble"
    piece_bytes: int = 1
    interval_s: float = 1.0

    def bend(self, answer: Answer, request: Request) -> None:
        """Slow the delivery down."""
        del request
        if isinstance(answer.body, Delivery):
            answer.body.drip_bytes, answer.body.drip_s = self.piece_bytes, self.interval_s


@dataclass(frozen=True)
class StallAfter(Fault):
    """Send ``n`` bytes of body, then nothing, with the connection open: for ``seconds``, or for ever."""

    name = "stall-after-n-bytes"
    n: int = 0
    seconds: float | None = None

    def bend(self, answer: Answer, request: Request) -> None:
        """Mark where silence begins."""
        del request
        if isinstance(answer.body, Delivery) and self.n < answer.body.length:
            answer.body.stop_after_bytes, answer.body.ending = self.n, Ending.SILENCE
            answer.body.silence_s = self.seconds


@dataclass(frozen=True)
class CloseEarly(Fault):
    """Close (or reset) the connection after ``n`` bytes of body; by default after half of it."""

    name = "close-early"
    n: int | None = None
    reset: bool = False

    def bend(self, answer: Answer, request: Request) -> None:
        """Mark where the body ends."""
        del request
        if isinstance(answer.body, Delivery) and answer.body.length:
            length = answer.body.length
            answer.body.stop_after_bytes = length // 2 if self.n is None else min(self.n, length - 1)
            answer.body.ending = Ending.RESET if self.reset else Ending.CLOSE


@dataclass(frozen=True)
class ShiftBytes(Fault):
    """Send bytes from ``by`` further on under headers that look right, as a CDN once did."""

    name = "shift-bytes"
    by: int = 4

    def bend(self, answer: Answer, request: Request) -> None:
        """Shift the delivery."""
        del request
        if isinstance(answer.body, Delivery):
            answer.body.shift = self.by


@dataclass(frozen=True)
class FlipBits(Fault):
    """Flip one bit at the start of the body and one at every multiple of ``spacing_bytes``."""

    name = "flip-bits"
    spacing_bytes: int = 1 << 20

    def bend(self, answer: Answer, request: Request) -> None:
        """Spoil the delivery."""
        del request
        if isinstance(answer.body, Delivery):
            answer.body.flip_spacing_bytes = self.spacing_bytes


@dataclass(frozen=True)
class TooManyBytes(Fault):
    """Send ``extra`` bytes past the range: within Content-Length, or behind it if not ``announced``."""

    name = "too-many-bytes"
    extra: int = 1000
    announced: bool = True

    def bend(self, answer: Answer, request: Request) -> None:
        """Lengthen the delivery."""
        del request
        if isinstance(answer.body, Delivery):
            if not self.announced:
                answer.headers["Content-Length"] = str(answer.body.length)
                answer.close = True
            answer.body.surplus_bytes = self.extra


@dataclass(frozen=True)
class EmptyBody(Fault):
    """Send a good status, a length of nought and nothing, as ModelScope was seen to."""

    name = "empty-body"

    def bend(self, answer: Answer, request: Request) -> None:
        """Replace the body."""
        del request
        answer.status, answer.body = 200, b""
        answer.headers.pop("Content-Range", None)
