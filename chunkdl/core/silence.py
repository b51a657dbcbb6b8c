"""Decides what counts as silent before anything is cut: a lease, or a host all of whose leases are.

Silence means that nothing came for a few round trips while others got bytes: then it is the connection or
its host, not our own link. Who is silent is worth doubling and holds no seat against others; cutting takes
longer (``watchdog``). Deliberately proposes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.state import LeasePhase

if TYPE_CHECKING:
    from chunkdl.core.mirror_stats import Host
    from chunkdl.core.state import Job, Lease

# Retransmissions after a loss take this many round trips before silence means anything.
_ROUND_TRIPS = 4.0
# "Others got bytes" since this one did, for at least so long.
_OTHERS_HEARD_S = 1.0


def is_silent(job: Job, lease: Lease, now: float) -> bool:
    """True if nothing has come for so long that doubling it is worth while, though not yet cutting it."""
    latency_s = lease.host.latency_s or 0.0
    return now - lease.heard_at >= max(job.config.hedge_silence_s, _ROUND_TRIPS * latency_s)


def is_alone_silent(job: Job, lease: Lease, now: float) -> bool:
    """Silent while others got bytes: the connection is at fault, not our link."""
    return is_silent(job, lease, now) and job.heard_at - lease.heard_at >= _OTHERS_HEARD_S


def fell_silent(job: Job, host: Host, now: float) -> bool:
    """True if ``host`` delivered over several connections and not one of them does any more, while others do."""
    receiving = [lease for lease in host.leases.values() if lease.phase is LeasePhase.RECEIVING]
    return len(receiving) > 1 and all(is_alone_silent(job, lease, now) for lease in receiving)


def spared_seats(job: Job, now: float) -> int:
    """Seats that silent leases hold and others may have meanwhile, within what receive memory allows."""
    silent = sum(
        lease.phase is LeasePhase.RECEIVING and is_alone_silent(job, lease, now) for lease in job.leases.values()
    )
    return min(job.config.spared_seats, silent)
