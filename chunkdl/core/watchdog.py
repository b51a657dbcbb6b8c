"""Decides which leases have been silent or slow for too long. One watchdog, ours, for all of them.

A lease is cut only if another source can take the range over, or if it may be renewed: a sole source
gets limits of 8, 16 … 300 s and no blame. If everybody is silent our own link is down: one lease after
the other is renewed as a probe, nobody is blamed. While our own limiter holds readers back nothing is
judged, because then *we* are the reason. The first byte has a limit of its own, enforced by the engine;
here it is only cut early when another host stands idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.eligibility import others, streams_only
from chunkdl.core.seats import free_seats, is_resting
from chunkdl.core.silence import fell_silent
from chunkdl.core.state import LeasePhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.core.state import Job, Lease

# An answer later than this many times the host's usual latency is late, if somebody else is idle.
_LATE_FACTOR = 4.0
# A host that never answered is late after this part of its limit: 5 of 15 s.
_LATE_SHARE = 1.0 / 3.0
# "Others progress" means at least so many bytes a second from somebody else.
_PROGRESS_BYTES_PER_S = 1024.0


@dataclass(frozen=True, slots=True)
class Cut:
    """A proposal: cancel ``lease``; ``blame`` says whether its host is at fault."""

    lease: Lease
    cause: str
    blame: bool
    renewed_limit_s: float = 0.0  # a sole source is renewed: how long its file's next one may be silent


def overdue(job: Job, now: float) -> Iterator[Cut]:
    """Leases to cut now, in the order in which they were opened."""
    if job.limiter_bound:
        return
    link_down = is_link_down(job, now)
    for lease in list(job.leases.values()):
        cut = _judge(job, lease, now, link_down=link_down)
        if cut is not None:
            yield cut
            if link_down:
                return  # one probe at a time


def is_link_down(job: Job, now: float) -> bool:
    """True if leases of at least two hosts wait for bytes and nobody has got one for a while."""
    if now - job.heard_at < job.config.link_silent_s:
        return False
    silent = {lease.host.name for lease in job.leases.values() if now - lease.heard_at >= job.config.link_silent_s}
    return len(silent) >= 2 and len(silent) == len({lease.host.name for lease in job.leases.values()})  # noqa: PLR2004


def _judge(job: Job, lease: Lease, now: float, *, link_down: bool) -> Cut | None:
    if lease.phase is LeasePhase.WAITING:
        return _judge_waiting(job, lease, now, link_down=link_down)
    if lease.phase is LeasePhase.RECEIVING:
        return _judge_receiving(job, lease, now, link_down=link_down)
    return None


def _judge_receiving(job: Job, lease: Lease, now: float, *, link_down: bool) -> Cut | None:
    silent_s = now - lease.heard_at
    slow = lease.slow_since is not None and now - lease.slow_since >= job.config.slow_after_s
    if silent_s < job.config.stall_idle_s and not slow:
        return None
    if link_down or not can_be_taken_over(job, lease, now):
        cause = "link down, probing" if link_down else "sole source, renewed"
        return _renew(job, lease, silent_s, cause)
    certain = _somebody_idle(job, lease, now) or fell_silent(job, lease.host, now)
    if silent_s >= (job.config.stall_idle_s if certain else job.config.stall_s):
        return Cut(lease, f"no byte for {silent_s:.1f} s", blame=True)
    return Cut(lease, "far below its host's own rate", blame=False) if slow else None


def _renew(job: Job, lease: Lease, silent_s: float, cause: str) -> Cut | None:
    first_s = job.config.stall_s
    if silent_s < max(first_s, min(lease.silence_limit_s, lease.file.silence_limit_s)):
        return None
    doubled_s = min(job.config.stall_max_s, 2 * max(first_s, lease.silence_limit_s))
    return Cut(lease, cause, blame=False, renewed_limit_s=doubled_s)


def _judge_waiting(job: Job, lease: Lease, now: float, *, link_down: bool) -> Cut | None:
    waited_s = now - lease.opened_at
    if waited_s >= lease.first_byte_s + job.config.answer_grace_s:
        return Cut(lease, f"no answer for {waited_s:.1f} s", blame=not link_down)
    if link_down or lease.file.small or lease.first_byte_s > job.config.stall_max_s:
        return None
    usual_s = lease.host.latency_s
    late_s = lease.first_byte_s * _LATE_SHARE if usual_s is None else _LATE_FACTOR * usual_s
    if waited_s < max(job.config.stall_idle_s, late_s):
        return None
    if can_be_taken_over(job, lease, now) and _somebody_idle(job, lease, now):
        return Cut(lease, f"no answer for {waited_s:.1f} s while others are idle", blame=True)
    return None


def can_be_taken_over(job: Job, lease: Lease, now: float) -> bool:
    """True if another host may deliver the rest of ``lease`` now."""
    if lease.twin is not None and lease.twin.is_live:
        return True
    for mirror in others(job, lease.file, lease.mirror):
        host = job.host_of(mirror, lease.file)
        if host is lease.host or is_resting(mirror, host, now) or streams_only(mirror, lease.file):
            continue
        avoided = lease.file.avoided.get(host.name)
        if avoided is None or not avoided.overlap(lease.received_to, max(lease.stop, lease.received_to + 1)):
            return True
    return False


def _somebody_idle(job: Job, lease: Lease, now: float) -> bool:
    """True if a connection of another host would be free for the rest of ``lease`` at once."""
    if job.pending_bytes:
        return False
    for mirror in others(job, lease.file, lease.mirror):
        host = job.host_of(mirror, lease.file)
        if host is not lease.host and free_seats(job, mirror, host, now):
            return True
    return False


def note_slowness(job: Job, lease: Lease, now: float) -> None:
    """Remember since when ``lease`` has been far below its host's usual rate, although others progress."""
    usual, rate = lease.host.connection_rate, lease.rate(now)
    slow = (
        usual is not None
        and rate is not None
        and rate < job.config.slow_share * usual
        and job.total_rate(now) - rate >= _PROGRESS_BYTES_PER_S
    )
    excused = job.limiter_bound or lease.held_by_us
    lease.slow_since = (now if lease.slow_since is None else lease.slow_since) if slow and not excused else None
