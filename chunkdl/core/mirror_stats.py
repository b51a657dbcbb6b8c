"""What is known about a mirror and about the final data host behind it: rates, latency, capacity.

Statistics belong to the host, because two mirrors may lead to one machine; refusals and failures
before an answer belong to the mirror, because nobody else was heard. Decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.core.retry import Standing

if TYPE_CHECKING:
    from chunkdl.core.concurrency import ConnectionController
    from chunkdl.core.state import Lease

# A rate of less than this long is an accident of batching: marks come ten times a second.
_KNOWN_AFTER_S = 0.1
# Weight of one finished lease in the memory of a connection's rate, and of one second of a running one.
_BLEND_LEASE = 0.3
_BLEND_PER_S = 0.2


class RateMeter:
    """Bytes per second over an exponentially fading window of ``tau_s``; silence lowers it, as it should."""

    __slots__ = ("_at", "_seconds", "_sum", "_tau_s")

    def __init__(self, tau_s: float, now: float) -> None:
        """Start to watch at ``now``."""
        self._tau_s = tau_s
        self._at = now
        self._sum = 0.0
        self._seconds = 0.0

    def add(self, amount: float, now: float) -> None:
        """Note ``amount`` bytes that came since the last call."""
        self._fade(now)
        self._sum += amount

    def rate(self, now: float) -> float:
        """Bytes per second as of ``now``, 0 before anything was watched."""
        self._fade(now)
        return self._sum / self._seconds if self._seconds > 0 else 0.0

    def is_known(self, now: float) -> bool:
        """True once watched long enough to mean something."""
        self._fade(now)
        return self._seconds >= _KNOWN_AFTER_S

    def _fade(self, now: float) -> None:
        passed = now - self._at
        if passed <= 0:
            return
        keep = math.exp(-passed / self._tau_s)
        self._sum *= keep
        self._seconds = self._seconds * keep + (1.0 - keep) * self._tau_s
        self._at = now


@dataclass(slots=True, eq=False)
class Host:
    """A final data host: the unit of capacity, statistics and blame."""

    name: str
    goodput: RateMeter
    controller: ConnectionController
    standing: Standing = field(default_factory=Standing)
    leases: dict[int, Lease] = field(default_factory=dict)
    mirrors: dict[str, None] = field(default_factory=dict)
    connection_rate: float | None = None  # bytes/s of one of its connections, remembered
    latency_s: float | None = None
    allowance: int = 1  # connections it may hold at present
    bytes: int = 0
    work: float = 0.0  # bytes received, plus a constant a request
    granted: int = 0  # leases ever opened

    def __repr__(self) -> str:
        """One line for stories and failing tests."""
        rate = "?" if self.connection_rate is None else f"{self.connection_rate / 1e6:.2f} MB/s a connection"
        return f"<Host {self.name} {len(self.leases)}/{self.allowance}/{self.controller.limit} {rate}>"

    def note_latency(self, latency_s: float) -> None:
        """Blend one more time to the first header in."""
        known = self.latency_s
        self.latency_s = latency_s if known is None else known + _BLEND_LEASE * (latency_s - known)

    def note_lease_rate(self, rate: float) -> None:
        """Blend the average of a lease that ended in."""
        self._blend(rate, _BLEND_LEASE)

    def note_running_rate(self, rate: float, watched_s: float) -> None:
        """Blend the present rate of a running lease in, for the time since the last look."""
        self._blend(rate, 1.0 - math.exp(-_BLEND_PER_S * watched_s))

    def _blend(self, rate: float, weight: float) -> None:
        known = self.connection_rate
        self.connection_rate = rate if known is None else known + weight * (rate - known)


@dataclass(slots=True, eq=False)
class MirrorState:
    """A mirror as the scheduler sees it. ``hosts``: where small and big files were led last."""

    name: str
    order: int
    expected_host: str
    max_connections: int
    first_byte_s: float
    priority: int
    standing: Standing = field(default_factory=Standing)
    leases: dict[int, Lease] = field(default_factory=dict)
    hosts: dict[bool, str] = field(default_factory=dict)  # keyed by "is a small file"
    streams_only: bool = False  # answered 200 where a range of a big file was asked for
    refusals: int = 0  # final ones, in a row

    def host_for(self, *, small: bool) -> str:
        """The host that a file of this kind is expected to come from."""
        return self.hosts.get(small, self.expected_host)
