"""Permission to read: rate limits of the run, of a mirror and of a job, and who goes first where jobs share one.

Decides how small the portions are and in which order readers are let through; ``core.bandwidth`` does the
arithmetic. While a reader waits it does not read, so that the kernel's buffers fill and TCP slows the sender. Rates
may be changed at any time; whoever waits then waits by the new one.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from chunkdl.core.bandwidth import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from chunkdl.model import Mirror
    from chunkdl.transfer.lease import Limiter

# A tenth of a second of the rate at once, within these bounds: small enough that connections share
# fairly, large enough that a 10 Gbit/s limit does not cost a wake-up for each packet.
_PORTION_S = 0.1
_PORTION_MIN_BYTES = 4 << 10
_PORTION_MAX_BYTES = 1 << 20
# A reader that waits looks so often whether the limit was changed meanwhile.
_LOOK_EVERY_S = 0.25
# A limit that held a reader back binds for so long after the wait is over: then others are likely to be held back too,
# and the scheduler, which judges nothing meanwhile, hears of a change less than once a second.
_BOUND_AFTER_S = 1.0
# Shorter waits are not worth a timer, whose resolution this is; they stay booked and are waited for with the next.
_SLACK_S = 0.001


class Lane:
    """One job's place in a limit that several share: twice the weight, twice the bytes while both want more.

    Args:
        weight: above 0.
        limiter: a limit of the job's own beside the shared ones, or None.
    """

    __slots__ = ("__weakref__", "limiter", "weight")

    def __init__(self, weight: float = 1.0, limiter: RateLimiter | None = None) -> None:
        self.weight = weight
        self.limiter = limiter


class RateLimiter:
    """Lets readers through at a bucket's rate, one after the other.

    Lanes share by weight: start-time fair queueing (Goyal, Vin, Cheng 1996), which needs no rate to be known and owes
    nothing to a lane that was idle.
    """

    def __init__(
        self,
        bucket: TokenBucket,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``clock`` gives monotonic seconds."""
        self._bound_until = float("-inf")
        self._bucket = bucket
        self._clock = clock
        self._sleep = sleep
        self._busy = False
        self._scale = 0.0  # the start of whoever is let through; lanes reach ahead of it by what they have booked
        self._ahead: WeakKeyDictionary[Lane, float] = WeakKeyDictionary()
        self._order = count()
        self._queue: list[tuple[float, int, asyncio.Future[None]]] = []
        self._common = Lane()

    @property
    def rate_bytes_per_s(self) -> float:
        """The limit in force; 0.0 is none."""
        return self._bucket.rate_bytes_per_s

    @property
    def bound(self) -> bool:
        """True while readers are held back, and a moment longer; not where nobody reads any more."""
        return self._bucket.rate_bytes_per_s > 0 and self._clock() < self._bound_until

    def set_rate(self, rate_bytes_per_s: float) -> None:
        """Another limit from now on; 0.0 lifts it, for whoever waits too."""
        self._bucket.set_rate(rate_bytes_per_s, self._clock())

    def portion(self, wanted_bytes: int) -> int:
        """How many of ``wanted_bytes`` to read before paying; at least 1."""
        rate = self._bucket.rate_bytes_per_s
        if not rate:
            return wanted_bytes
        return min(wanted_bytes, max(_PORTION_MIN_BYTES, min(int(rate * _PORTION_S), _PORTION_MAX_BYTES)))

    async def pay(self, read_bytes: int, lane: Lane | None = None) -> None:
        """Book ``read_bytes`` and wait until the bucket allows more, in the lanes' order."""
        if not self._bucket.rate_bytes_per_s:
            return
        await self._turn(read_bytes, lane or self._common)
        try:
            wait_s = self._bucket.take(read_bytes, self._clock())
            while wait_s > _SLACK_S:
                self._bound_until = self._clock() + wait_s + _BOUND_AFTER_S
                await self._sleep(min(wait_s, _LOOK_EVERY_S))
                wait_s = self._bucket.take(0, self._clock())
        finally:
            self._next()

    async def _turn(self, read_bytes: int, lane: Lane) -> None:
        """Wait until nobody with an earlier start on the common scale does."""
        start = max(self._ahead.get(lane, 0.0), self._scale)
        self._ahead[lane] = start + read_bytes / lane.weight
        if not self._busy:
            self._busy, self._scale = True, start
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._queue, (start, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it was ours already
            raise
        self._scale = max(self._scale, start)

    def _next(self) -> None:
        while self._queue:
            _, _, turn = heappop(self._queue)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


class Caps:
    """The run's own limit, and the cap that each mirror may have beside it."""

    def __init__(self, limiter: RateLimiter | None, clock: Callable[[], float]) -> None:
        """``limiter`` is the run's; ``clock`` gives monotonic seconds."""
        self._limiter = limiter
        self._clock = clock
        self._of: dict[str, RateLimiter] = {}
        self._own: dict[str, float] = {}
        self._said: Mapping[str, float] = {}

    def of(self, mirror: Mirror, lane: Lane | None = None) -> Limiter | None:
        """What a lease on ``mirror`` for a job of ``lane`` has to pay to; None if nobody asks.

        Under a limit of the run, which may be changed, so may the mirror's cap: then it is paid to even while it is
        none.
        """
        own = lane.limiter if lane is not None else None
        if self._limiter is None and own is None and not mirror.rate_cap_bytes_per_s:
            return None
        parts = (self._limiter, self._cap_of(mirror), own)
        return Tolls([each for each in parts if each is not None], lane)

    def set_caps(self, bytes_per_s: Mapping[str, float]) -> None:
        """Caps by mirror's name, in place of those set here before; a mirror's own cap stays, the smaller counts."""
        self._said = dict(bytes_per_s)
        for name, limiter in self._of.items():
            limiter.set_rate(self._smaller(name))

    def _cap_of(self, mirror: Mirror) -> RateLimiter:
        name, own = mirror.name, mirror.rate_cap_bytes_per_s
        if name not in self._of:
            self._of[name] = RateLimiter(TokenBucket(0.0), self._clock)
        if self._own.get(name) != own:
            self._own[name] = own
            self._of[name].set_rate(self._smaller(name))
        return self._of[name]

    def _smaller(self, name: str) -> float:
        return min((each for each in (self._own.get(name), self._said.get(name)) if each), default=0.0)


class Tolls:
    """Several limits at once: the smallest portion, and all are paid."""

    def __init__(self, parts: list[RateLimiter], lane: Lane | None) -> None:
        """``lane`` is the job's place in those that others share."""
        self._parts = parts
        self._lane = lane

    def portion(self, wanted_bytes: int) -> int:
        """As much as all allow; at least 1."""
        return min(each.portion(wanted_bytes) for each in self._parts)

    async def pay(self, read_bytes: int) -> None:
        """One after the other: whoever has waited for one finds the others' buckets filled, so the slowest decides."""
        for each in self._parts:
            await each.pay(read_bytes, self._lane)
