"""A network as arithmetic: hosts with bandwidth, latency and faults, a shared link, fluid flows, virtual time.

Every figure comes from the scenario and its seed, so that the same seed gives the same bytes at the same
virtual moments. Knows nothing of schedulers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FOREVER = float("inf")
_DAY_S = 86400.0  # a scenario that nobody can finish within a day is broken


@dataclass(frozen=True, slots=True)
class HostModel:
    """One final data host and what is wrong with it. Rates in bytes/s, times in seconds, hazards per second."""

    name: str
    bandwidth: float
    per_connection: float
    latency_s: float
    wobble: float = 0.0  # standard deviation of the logarithm of its bandwidth
    connect_failure: float = 0.0  # probability a request
    busy: float = 0.0  # probability of a 503 a request
    busy_retry_after_s: float | None = None
    throttle_above: int | None = None  # more connections than this get a 429
    misbehaviour: float = 0.0  # probability of a broken answer a request
    cuts_per_s: float = 0.0
    stalls_per_s: float = 0.0
    stall_s: float = 0.0  # how long a stalled connection stays silent; inf = for ever
    late_answer: float = 0.0  # probability that the first byte takes ``late_s``
    late_s: float = 0.0
    lies: float = 0.0  # probability that a request brings wrong bytes
    ranged: bool = True
    down: tuple[tuple[float, float], ...] = ()  # nothing at all in these intervals
    dribbles: tuple[tuple[float, float, float], ...] = ()  # (from, to, factor): bandwidth is so much of itself
    calm_at: float = FOREVER  # from then on it has no fault

    def is_calm(self, now: float) -> bool:
        """True once the liveness phase has begun for this host."""
        return now >= self.calm_at

    def is_down(self, now: float) -> bool:
        """True while nobody is at home."""
        return not self.is_calm(now) and any(start <= now < stop for start, stop in self.down)


@dataclass(frozen=True, slots=True)
class MirrorModel:
    """A mirror: where it seems to be, and the hosts that it leads to for small and for big files."""

    name: str
    expected_host: str
    small_host: str
    big_host: str
    max_connections: int = 16
    first_byte_s: float = 15.0
    missing: frozenset[int] = frozenset()  # files it answers with 404


@dataclass(frozen=True, slots=True)
class LinkModel:
    """Our own access: its bandwidth, when it is dead, when our own limiter holds what comes back, and at what rate."""

    bandwidth: float = FOREVER
    down: tuple[tuple[float, float], ...] = ()
    limited: tuple[tuple[float, float], ...] = ()
    limit: float = FOREVER

    def is_down(self, now: float) -> bool:
        """True in a dead interval."""
        return any(start <= now < stop for start, stop in self.down)

    def is_limited(self, now: float) -> bool:
        """True while our own limiter binds."""
        return any(start <= now < stop for start, stop in self.limited)

    def capacity(self, now: float) -> float:
        """Bytes per second that may pass."""
        if self.is_down(now):
            return 0.0
        return min(self.bandwidth, self.limit) if self.is_limited(now) else self.bandwidth


@dataclass(slots=True, eq=False)
class Flow:
    """The body of one request: bytes arrive at ``rate`` once ``open``."""

    lease: int
    file: int
    mirror: str
    host: HostModel
    start: int
    stop: int
    at: float = 0.0  # offset received so far; fluid, hence a float
    skip: float = 0.0  # bytes of an unranged answer before ``start``
    skipped: float = 0.0
    rate: float = 0.0
    open: bool = False
    stalled: bool = False
    closing: bool = False
    truncated: bool = False
    lies: bool = False
    stored_to: int = 0

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.at = float(self.start)
        self.stored_to = self.start

    @property
    def received_to(self) -> int:
        """Whole bytes received; the last one is whole when its time has come, whatever rounding says."""
        return min(self.stop, int(self.at + 1e-3))

    @property
    def is_moving(self) -> bool:
        """True if bytes may arrive."""
        return self.open and not self.stalled and not self.closing

    def time_left(self) -> float:
        """Seconds to its last byte at the present rate."""
        return max(0.0, self.stop - self.at + self.skip) / self.rate if self.rate > 0 else FOREVER

    def advance(self, passed: float) -> None:
        """Let ``passed`` seconds of bytes arrive."""
        moved = self.rate * passed
        skipped = min(self.skip, moved)
        self.skip -= skipped
        self.skipped += skipped
        self.at = min(float(self.stop), self.at + moved - skipped)


@dataclass(slots=True)
class Weather:
    """How much of its bandwidth each host has at each second: a seeded AR(1) walk of the logarithm."""

    seed: int
    _walks: dict[str, tuple[Random, list[float]]] = field(default_factory=dict)

    # Neighbouring seconds resemble each other: a memory of about ten.
    _MEMORY = 0.9

    def bandwidth(self, host: HostModel, now: float) -> float:
        """Bytes per second of ``host`` at ``now``, faults included."""
        if host.is_down(now):
            return 0.0
        factor = 1.0
        if not host.is_calm(now):
            for start, stop, share in host.dribbles:
                factor = share if start <= now < stop else factor
        return host.bandwidth * factor * (self._walk(host, int(now)) if host.wobble else 1.0)

    def _walk(self, host: HostModel, second: int) -> float:
        if host.name not in self._walks:
            self._walks[host.name] = Random(f"{self.seed}/{host.name}"), [0.0]  # noqa: S311  repeatable, no secret
        rng, walk = self._walks[host.name]
        while len(walk) <= second:
            walk.append(self._MEMORY * walk[-1] + rng.gauss(0.0, host.wobble) * math.sqrt(1 - self._MEMORY**2))
        return math.exp(walk[second])


def share_rates(flows: Iterable[Flow], weather: Weather, link: LinkModel, now: float) -> None:
    """Give every flow its rate: a fair share of its host within the connection's limit, all within the link."""
    by_host: dict[str, list[Flow]] = {}
    for flow in flows:
        flow.rate = 0.0
        if flow.is_moving:
            by_host.setdefault(flow.host.name, []).append(flow)
    total = 0.0
    for sharing in by_host.values():
        host = sharing[0].host
        each = min(host.per_connection, weather.bandwidth(host, now) / len(sharing))
        total += each * len(sharing)
        for flow in sharing:
            flow.rate = each
    capacity = link.capacity(now)
    if total > capacity:
        for sharing in by_host.values():
            for flow in sharing:
                flow.rate *= capacity / total


def optimum_s(size: int, hosts: Sequence[tuple[HostModel, int]], weather: Weather, link: LinkModel) -> float:
    """Seconds that an omniscient client with (host, connections) at hand would need for ``size`` bytes."""
    step_s, now, left = 0.25, min(host.latency_s for host, _ in hosts), float(size)
    while now < _DAY_S:
        supply = sum(min(weather.bandwidth(host, now), width * host.per_connection) for host, width in hosts)
        supply = min(supply, link.capacity(now))
        if supply * step_s >= left:
            return now + left / supply
        left -= supply * step_s
        now += step_s
    raise AssertionError("the scenario cannot be finished by anybody")
