"""Permission to read: a token bucket that leases wait in, one after the other.

Decides how small the portions are; ``core.bandwidth`` does the arithmetic. While a reader waits it
does not read, so that the kernel's buffers fill and TCP slows the sender.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chunkdl.core.bandwidth import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from chunkdl.model import Mirror
    from chunkdl.transfer.lease import Limiter

# A tenth of a second of the rate at once, within these bounds: small enough that connections share
# fairly, large enough that a 10 Gbit/s limit does not cost a wake-up for each packet.
_PORTION_S = 0.1
_PORTION_MIN_BYTES = 4 << 10
_PORTION_MAX_BYTES = 1 << 20


class RateLimiter:
    """Admits readers in order of arrival at the bucket's rate."""

    def __init__(
        self,
        bucket: TokenBucket,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``clock`` gives monotonic seconds."""
        self._bucket = bucket
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self.bound = False

    def portion(self, wanted_bytes: int) -> int:
        """How many of ``wanted_bytes`` to read before paying; at least 1."""
        share = int(self._bucket.rate_bytes_per_s * _PORTION_S)
        return min(wanted_bytes, max(_PORTION_MIN_BYTES, min(share, _PORTION_MAX_BYTES)))

    async def pay(self, read_bytes: int) -> None:
        """Book ``read_bytes`` and wait until the bucket allows more, in order of arrival."""
        async with self._turn:
            wait_s = self._bucket.take(read_bytes, self._clock())
            self.bound = wait_s > 0
            if wait_s > 0:
                await self._sleep(wait_s)


class Caps:
    """The run's own limit, and the cap that each mirror may have of its own beside it."""

    def __init__(self, limiter: Limiter | None, clock: Callable[[], float]) -> None:
        """``limiter`` is the run's; ``clock`` gives monotonic seconds."""
        self._limiter = limiter
        self._clock = clock
        self._of: dict[str, Limiter] = {}

    def of(self, mirror: Mirror) -> Limiter | None:
        """What a lease on ``mirror`` has to pay to; None if nobody asks."""
        if not mirror.rate_cap_bytes_per_s:
            return self._limiter
        if mirror.name not in self._of:
            own = RateLimiter(TokenBucket(mirror.rate_cap_bytes_per_s), self._clock)
            self._of[mirror.name] = own if self._limiter is None else Both(self._limiter, own)
        return self._of[mirror.name]


class Both:
    """Two limits at once: the smaller portion, and both are paid."""

    def __init__(self, one: Limiter, other: Limiter) -> None:
        self._parts = (one, other)

    @property
    def bound(self) -> bool:
        """True while either makes readers wait."""
        return any(each.bound for each in self._parts)

    def portion(self, wanted_bytes: int) -> int:
        """As much as both allow; at least 1."""
        return min(each.portion(wanted_bytes) for each in self._parts)

    async def pay(self, read_bytes: int) -> None:
        """Wait for both at once: the slower decides."""
        await asyncio.gather(*(each.pay(read_bytes) for each in self._parts))
