"""How long to wait so that bytes flow no faster than a limit, and how such limits are written.

Decides waits only; whoever takes tokens sleeps. Deliberately knows no clock: ``now`` in seconds of
any monotonic clock is an argument.
"""

from __future__ import annotations

import re

from chunkdl.errors import UsageError

# rclone, aria2 and curl read K, M, G as 1024-based bytes; explicit SI and IEC units are taken at their word.
_UNITS = {
    "": 1.0, "b": 1.0,
    "k": 2.0**10, "m": 2.0**20, "g": 2.0**30,
    "kb": 1e3, "mb": 1e6, "gb": 1e9,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
    "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8,
}  # fmt: skip

_RATE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([a-z]*)(?:/s)?", re.IGNORECASE)

# Half a second of rate may pass at once: small enough for ±5 % over 10 s, large enough for 1 MiB reads.
BURST_S = 0.5


def parse_rate(text: str) -> float:
    """Bytes a second from ``20M``, ``20MB``, ``20MiB`` or ``20Mbit``; 0, which ``off`` spells too, is no limit.

    Raises:
        UsageError: not a number with one of the known units.
    """
    if text.strip().lower() == "off":
        return 0.0
    match = _RATE.fullmatch(text.strip())
    unit = match[2].lower() if match else None
    if match is None or unit not in _UNITS:
        raise UsageError(f"not a rate: {text!r}", hint="write 500K, 20M, 20MB, 20MiB or 20Mbit (a second), or off")
    return float(match[1]) * _UNITS[unit]


class TokenBucket:
    """A rate limit as a debt: take first, then wait until the debt is paid.

    Args:
        rate_bytes_per_s: 0 means no limit.
        burst_bytes: how much may flow at once after a pause; default half a second of the rate.
    """

    __slots__ = ("_at", "_burst_bytes", "_fixed_burst", "_tokens", "rate_bytes_per_s")

    def __init__(self, rate_bytes_per_s: float, burst_bytes: float | None = None) -> None:
        self._fixed_burst = burst_bytes
        self.rate_bytes_per_s = rate_bytes_per_s
        self._burst_bytes = self._burst_of(rate_bytes_per_s)
        self._tokens = self._burst_bytes
        self._at: float | None = None

    def _burst_of(self, rate_bytes_per_s: float) -> float:
        return rate_bytes_per_s * BURST_S if self._fixed_burst is None else self._fixed_burst

    def set_rate(self, rate_bytes_per_s: float, now: float) -> None:
        """Change the limit from ``now`` on; a debt made before is paid at the new rate."""
        self._refill(now)
        if not self.rate_bytes_per_s:
            self._tokens = 0.0  # an unlimited bucket kept no books
        self.rate_bytes_per_s = rate_bytes_per_s
        self._burst_bytes = self._burst_of(rate_bytes_per_s)
        self._tokens = min(self._tokens, self._burst_bytes)

    def take(self, n: int, now: float) -> float:
        """Book ``n`` bytes that flowed, and return the seconds to wait before the next; 0.0 if none."""
        if not self.rate_bytes_per_s:
            return 0.0
        self._refill(now)
        self._tokens -= n
        return max(0.0, -self._tokens / self.rate_bytes_per_s)

    def _refill(self, now: float) -> None:
        past_s = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst_bytes, self._tokens + past_s * self.rate_bytes_per_s)
