"""How a final data host looks from outside: what it gave, how fast it is, in what state.

Decides only the words. Reading, never writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.watchdog import is_link_down

if TYPE_CHECKING:
    from chunkdl.core.mirror_stats import Host
    from chunkdl.core.state import Job


@dataclass(frozen=True, slots=True)
class HostView:
    """One final data host for reports. ``state``: active, idle, stalled, cooling, excluded.

    ``connection_rate_bytes_per_s`` is what one of its connections gives, 0 if none was watched. ``failing``: nothing
    came since its last failure, of which ``reason`` is the latest (empty if it never failed).
    """

    host: str
    mirrors: tuple[str, ...]
    bytes: int
    rate_bytes_per_s: float
    connections: int
    state: str
    errors: int
    leases: int
    strikes: int = 0  # answers that broke the protocol
    connection_rate_bytes_per_s: float = 0.0
    failing: bool = False
    reason: str = ""


def view(job: Job, host: Host, now: float) -> HostView:
    """``host`` as of ``now``; its mirrors' errors before an answer count as its own."""
    standings = [host.standing, *(job.mirrors[each].standing for each in host.mirrors)]
    return HostView(
        host=host.name,
        mirrors=tuple(host.mirrors),
        bytes=host.bytes,
        rate_bytes_per_s=host.goodput.rate(now),
        connections=len(host.leases),
        state=_state(job, host, now),
        errors=sum(each.errors for each in standings),
        leases=host.granted,
        strikes=sum(each.strikes for each in standings),
        connection_rate_bytes_per_s=host.connection_rate or 0.0 if host.bytes else 0.0,
        failing=any(each.failing_since is not None for each in standings),
        reason=host.standing.excluded
        or max(standings, key=lambda each: each.failed_at).last_reason
        or next((each.last_reason for each in standings if each.last_reason), ""),
    )


def _state(job: Job, host: Host, now: float) -> str:
    if host.standing.excluded:
        return "excluded"
    if host.leases:
        silent = all(now - lease.heard_at >= job.config.stall_idle_s for lease in host.leases.values())
        return "stalled" if silent or is_link_down(job, now) else "active"
    resting = [job.mirrors[each].standing.is_cooling(now) for each in host.mirrors]
    return "cooling" if host.standing.is_cooling(now) or (resting and all(resting)) else "idle"
