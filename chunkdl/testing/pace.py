"""The rate at which a mirror lets bytes out: a queue in time, for the mirror and for each connection.

Decides when the next piece may go and how large pieces are. Time is passed in; deliberately knows no clock.
Not the limiter's token bucket: a mirror has no burst, and what measures that limiter must not share its faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# A late wake-up of the event loop is made up for if it was no later than this; more would be a burst.
_SLACK_S = 0.05
# Pieces of about a hundredth of a second keep connections of one mirror level with each other.
_PIECE_S = 0.01
SMALLEST_PIECE_BYTES = 1024
# Measured on loopback: from 256 KiB on, larger writes do not go faster.
LARGEST_PIECE_BYTES = 256 * 1024


@dataclass
class Pace:
    """Lets bytes out at ``rate_bytes_per_s``, which may be changed at any time; None is without limit."""

    rate_bytes_per_s: float | None
    _free_at: float = field(default=float("-inf"), init=False)

    @property
    def piece_bytes(self) -> int:
        """How many bytes to send at a time."""
        if self.rate_bytes_per_s is None:
            return LARGEST_PIECE_BYTES
        return min(max(int(self.rate_bytes_per_s * _PIECE_S), SMALLEST_PIECE_BYTES), LARGEST_PIECE_BYTES)

    def reserve(self, count: int, now: float) -> float:
        """Book the next ``count`` bytes and return the time at which they may all have gone."""
        if self.rate_bytes_per_s is None:
            return now
        self._free_at = max(self._free_at, now - _SLACK_S) + count / self.rate_bytes_per_s
        return self._free_at
