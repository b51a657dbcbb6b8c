"""Decides when a lease is doubled on another host: only its last few MiB, only within a budget of waste.

For a lease that is slow or silent near the end, when a connection elsewhere stands idle. The first to end
wins; the loser is cancelled. A hedge that turns out slow is given up when a much faster connection comes
free. Stealing comes first, because it wastes nothing. Proposals only: nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.assignment import LATENCY_UNKNOWN_S, Grant
from chunkdl.core.silence import is_silent
from chunkdl.core.stealing import is_too_young, may_serve
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.core.mirror_stats import Host
    from chunkdl.core.seats import Seat
    from chunkdl.core.state import Job, Lease

# A hedge must be this much faster than waiting for the owner.
_FACTOR = 2.0
# A lease that delivers nothing ends never, as far as estimates go.
_NEVER_S = 1e9
# A connection of unknown speed is given this long, besides its latency.
_UNKNOWN_S = 1.0


def propose_hedge(job: Job, idle: Sequence[Seat], now: float) -> tuple[Lease, Grant] | None:
    """The lease that gains most by being doubled, and where; or None."""
    best, gain_s = None, 0.0
    room = hedge_budget(job) - hedged_bytes(job)
    for owner in job.leases.values():
        if not _may_be_hedged(job, owner) or owner.rest > room:
            continue
        left_s = _left_s(job, owner, now)
        for seat in idle:
            saved_s = _saved_s(job, owner, left_s, seat, now)
            if saved_s > gain_s:
                best, gain_s = (owner, seat), saved_s
    if best is None:
        return None
    owner, seat = best
    rest = ByteRange(owner.received_to, owner.stop)
    return owner, Grant(owner.file, *seat, rest, f"hedges lease {owner.id}", hedge=True)


def slow_hedges(job: Job, idle: Sequence[Seat], now: float) -> list[Lease]:
    """Hedges that an idle connection would overtake, even if it started now."""
    slow = []
    for hedge in job.leases.values():
        if hedge.hedge and hedge.is_live and hedge.twin is not None and not is_too_young(hedge, now):
            left_s = min(_left_s(job, hedge, now), _left_s(job, hedge.twin, now))
            if any(_saved_s(job, hedge.twin, left_s, seat, now) > 0 for seat in idle if seat[1] is not hedge.host):
                slow.append(hedge)
    return slow


def _may_be_hedged(job: Job, owner: Lease) -> bool:
    if not owner.is_live or owner.twin is not None or owner.whole:
        return False
    return 0 < owner.rest <= job.config.hedge_max_bytes


def _left_s(job: Job, lease: Lease, now: float) -> float:
    """Seconds to the end of ``lease``; 0 while too young to say, which makes it unfit for a hedge."""
    if is_silent(job, lease, now):
        return _NEVER_S
    rate = lease.rate(now)
    if rate is None or is_too_young(lease, now):
        return 0.0
    return lease.rest / rate if rate > 0 else _NEVER_S


def _saved_s(job: Job, owner: Lease, left_s: float, seat: Seat, now: float) -> float:
    """What a hedge of ``owner`` from ``seat`` would save; not positive if it is not worth it or not possible."""
    mirror, host = seat
    if owner.host is host or owner.mirror is mirror or not may_serve(job, seat, owner):
        return 0.0
    hedged_s = _hedged_s(owner, host)
    if left_s >= _NEVER_S and hedged_s > job.config.stall_s:
        return 0.0  # the watchdog will have it handed over sooner
    if left_s <= _FACTOR * hedged_s + job.config.hedge_min_gain_s:
        return 0.0
    return min(left_s, now - owner.opened_at + job.config.stall_max_s) - hedged_s


def _hedged_s(owner: Lease, host: Host) -> float:
    latency_s = host.latency_s if host.latency_s is not None else LATENCY_UNKNOWN_S
    return latency_s + (owner.rest / host.connection_rate if host.connection_rate else _UNKNOWN_S)


def hedged_bytes(job: Job) -> int:
    """Bytes already wasted by hedges, and those that running ones may still waste."""
    return job.hedge_spent + sum(lease.stop - lease.start for lease in job.leases.values() if lease.hedge)


def hedge_budget(job: Job) -> int:
    """Bytes that hedging may waste in this run."""
    return max(job.config.hedge_floor_bytes, int(job.total_bytes * job.config.hedge_share))
