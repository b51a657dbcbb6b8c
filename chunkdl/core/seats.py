"""Decides how many connections each host may hold now: its controller's width, its share of the run's cap.

When the hosts together want more than the run may open, every host that has work gets an equal share,
and what a narrow one leaves goes to the others: otherwise whoever is fastest a connection, or was first,
would starve hosts that add goodput. Deliberately does not know what the connections are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.silence import fell_silent

if TYPE_CHECKING:
    from chunkdl.core.mirror_stats import Host, MirrorState
    from chunkdl.core.state import Job

    Seat = tuple[MirrorState, Host]


def share_out(job: Job, now: float) -> None:
    """Set every host's ``allowance``: as many connections as its controller allows and the run's cap has room for."""
    wishes = []
    for host in job.hosts.values():
        host.allowance = min(host.controller.limit, job.config.host_cap)
        if host.leases or _has_work(job, host, now):
            wishes.append(host)
    seats = job.most_leases
    for left, host in zip(range(len(wishes), 0, -1), sorted(wishes, key=_width), strict=True):
        host.allowance = max(1, min(host.allowance, seats // left))
        seats = max(0, seats - host.allowance)


def _width(host: Host) -> int:
    return host.allowance


def _has_work(job: Job, host: Host, now: float) -> bool:
    """True if a usable mirror is expected to lead here and a file with pending bytes waits for it."""
    for name in host.mirrors:
        mirror = job.mirrors[name]
        if is_resting(mirror, host, now):
            continue
        for small in (False, True):
            if mirror.host_for(small=small) == host.name and job.backlog.has_work(name, small=small):
                return True
    return False


def free_seats(job: Job, mirror: MirrorState, host: Host, now: float) -> int:
    """How many more leases ``mirror`` may be given at ``host`` right now."""
    seats = min(
        host.allowance - len(host.leases),
        mirror.max_connections - len(mirror.leases),
        job.most_leases - len(job.leases),
    )
    if seats <= 0 or is_resting(mirror, host, now) or fell_silent(job, host, now):
        return 0
    if mirror.standing.failures or host.standing.failures or mirror.refusals >= job.config.refusals_to_doubt:
        return 0 if host.leases else 1
    return seats


def is_resting(mirror: MirrorState, host: Host, now: float) -> bool:
    """True while nothing new may be asked of them."""
    one, two = mirror.standing, host.standing
    return now < one.cooling_until or now < two.cooling_until or bool(one.excluded or two.excluded)
