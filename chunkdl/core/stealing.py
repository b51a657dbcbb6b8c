"""Decides what an idle connection does when nothing is pending: take the tail of another lease.

The victim is the lease that would finish last; it keeps what it can deliver until the thief has delivered
the rest. Never from a lease too young to have a rate, below a floor, for too little gain, again and again
from the same lease, or by a thief that faster hosts would outrun: a naive trial live-locked when every
newcomer stole a few bytes from the youngest lease. A lease that is silent while others are not loses all.
Proposals only: nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.assignment import LATENCY_UNKNOWN_S, Grant, others_done_s
from chunkdl.core.eligibility import is_promising, streams_only
from chunkdl.core.seats import free_seats
from chunkdl.core.silence import is_alone_silent
from chunkdl.core.state import FilePhase, LeasePhase
from chunkdl.model import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.core.seats import Seat
    from chunkdl.core.state import Job, Lease

# A lease younger than this many round trips is still in slow start: its rate says little.
_ROUND_TRIPS_OF_YOUTH = 4.0
_YOUNG_S = 0.25
# Between two thefts from one lease: the estimates that justified the first must have changed.
_STEAL_PAUSE_S = 0.5
# A gain counts only beyond this many round trips of the thief.
_ROUND_TRIPS_TO_GAIN = 3.0
# A surplus lease that ends sooner than this is left alone: it costs less than its socket.
_LASTING_S = 5.0
# What is gained by taking everything from a lease that may never end: more than by any split.
_ALL_GAIN_S = 1e9
# A thief may end so much later than faster hosts would have: less than a request costs them.
_LATE_ALLOWED_S = 0.5
# Big thefts start on a page boundary, for the sake of aligned writes.
_ALIGN = 65536


@dataclass(frozen=True, slots=True)
class Steal:
    """A proposal: ``victim`` ends at ``grant.range.start``, the thief delivers from there."""

    victim: Lease
    grant: Grant
    gain_s: float


def propose_steal(job: Job, idle: Sequence[Seat], now: float) -> Steal | None:
    """The theft by one of ``idle`` that ends the latest lease soonest, or None."""
    best: Steal | None = None
    for seat in idle:
        for victim in job.leases.values():
            steal = _steal(job, victim, seat, now)
            if steal is not None and (best is None or steal.gain_s > best.gain_s):
                best = steal
    return best


def idle_seats(job: Job, now: float) -> list[Seat]:
    """Mirrors with a free connection, and the host where it is free; none while our own limiter binds."""
    if job.limiter_bound or not job.leases or len(job.leases) >= job.most_leases:
        return []
    seats: list[Seat] = []
    for mirror in job.mirrors.values():
        big, small = mirror.host_for(small=False), mirror.host_for(small=True)
        for name in (big,) if big == small else (big, small):
            host = job.hosts[name]
            if free_seats(job, mirror, host, now):
                seats.append((mirror, host))
    return seats


def may_serve(job: Job, seat: Seat, lease: Lease) -> bool:
    """True if the tail of ``lease`` can be delivered from ``seat``."""
    file, (mirror, host) = lease.file, seat
    if mirror.name not in file.sources or file.phase is not FilePhase.OPEN or job.host_of(mirror, file) is not host:
        return False
    avoided = file.avoided.get(host.name)
    if avoided is not None and avoided.overlap(lease.received_to, lease.stop):
        return False
    return not streams_only(mirror, file) and is_promising(job, mirror, file)


def is_too_young(lease: Lease, now: float) -> bool:
    """True while its rate says nothing yet."""
    if lease.accepted_at is None:
        return True
    latency_s = lease.host.latency_s or 0.0
    return now - lease.accepted_at < max(_YOUNG_S, _ROUND_TRIPS_OF_YOUTH * latency_s)


def _steal(job: Job, victim: Lease, seat: Seat, now: float) -> Steal | None:
    if victim.phase is not LeasePhase.RECEIVING or victim.twin is not None or is_too_young(victim, now):
        return None
    if victim.steals >= job.config.steals_per_lease or now - victim.stolen_at < _STEAL_PAUSE_S:
        return None
    if not may_serve(job, seat, victim):
        return None
    if is_alone_silent(job, victim, now):
        return _take_all(victim, seat)
    if victim.file.small or victim.rest < 2 * job.config.steal_min_bytes:
        return None
    return _split(job, victim, seat, now)


def _take_all(victim: Lease, seat: Seat) -> Steal | None:
    if not victim.start < victim.received_to < victim.stop:
        return None
    rest = ByteRange(victim.received_to, victim.stop)
    return Steal(victim, Grant(victim.file, *seat, rest, f"takes over from silent lease {victim.id}"), _ALL_GAIN_S)


def _split(job: Job, victim: Lease, seat: Seat, now: float) -> Steal | None:
    """Cut so that both end together: the thief starts ``latency`` late."""
    host = seat[1]
    slow = victim.rate(now) or 0.0
    fast = max(host.connection_rate if host.connection_rate is not None else slow, 1.0)
    latency_s = host.latency_s if host.latency_s is not None else LATENCY_UNKNOWN_S
    alone_s = victim.rest / slow if slow > 0 else _ALL_GAIN_S
    together_s = (victim.rest + fast * latency_s) / (slow + fast)
    least = job.config.steal_same_host_gain_s if victim.host is host else job.config.steal_min_gain_s
    if alone_s - together_s < max(least, _ROUND_TRIPS_TO_GAIN * latency_s):
        return None
    if together_s > others_done_s(job, victim.file, host, now) + _LATE_ALLOWED_S:
        return None
    cut = victim.received_to + int(slow * together_s)
    if victim.stop - cut > MIB:
        cut = -(-cut // _ALIGN) * _ALIGN
    if victim.stop - cut < job.config.steal_min_bytes or cut <= victim.start:
        return None
    grant = Grant(victim.file, *seat, ByteRange(cut, victim.stop), f"steals from lease {victim.id}")
    return Steal(victim, grant, alone_s - together_s)


def surplus(job: Job, now: float) -> list[Lease]:
    """Leases beyond their host's allowance that would last long, if the run's cap is what keeps others waiting."""
    if len(job.leases) < job.most_leases or job.limiter_bound or not job.pending_bytes:
        return []
    chosen: list[Lease] = []
    for host in job.hosts.values():
        lasting = [lease for lease in host.leases.values() if _lasts(lease, now)]
        count = max(0, len(host.leases) - host.allowance)
        chosen += lasting[len(lasting) - min(count, len(lasting)) :]  # the youngest have received least
    return chosen


def _lasts(lease: Lease, now: float) -> bool:
    if lease.phase is not LeasePhase.RECEIVING or lease.twin is not None or lease.whole or is_too_young(lease, now):
        return False
    return lease.rest > _LASTING_S * (lease.rate(now) or 0.0)
