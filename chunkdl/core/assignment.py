"""Chooses the next lease: which mirror, which file, which range, how long. Pure: proposes, changes nothing.

The policy, in the order in which it decides:

1. a mirror may be asked only if neither it nor the host behind it rests, is excluded, or is full;
   one that failed last gets a single probe;
2. mirrors of unknown speed first (a probe-sized lease), then the fastest connection first;
3. small files take at most half of a host's connections while big ones wait too;
4. files in the order in which they were added, each from its contiguous front, so that hashing keeps up;
5. a lease lasts about ten seconds of that connection's rate, less near the end: half of its fair share
   of what is left, so that all connections end together;
6. earliest completion first: nobody gets a range that faster hosts would finish sooner;
7. who may serve which bytes of a file at all is decided in ``eligibility``; if its rules leave a file to
   nobody although connections are free, the first of them takes it anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from chunkdl.core.eligibility import dirty_until, is_last_resort, is_promising, others, ranged_at, repeats, streams_only
from chunkdl.core.seats import free_seats, is_resting
from chunkdl.core.state import FilePhase
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chunkdl.core.mirror_stats import Host, MirrorState
    from chunkdl.core.policy import SchedulerConfig
    from chunkdl.core.seats import Seat
    from chunkdl.core.state import FileState, Job

# A remainder smaller than half the least lease is not worth a request of its own.
_CRUMB = 0.5
# A slow host's lease is cut to end when the others will: a little before, as estimates wobble.
_ECF_MARGIN = 0.8
# A host that gives less than this part of one connection's rate is not counted on to take anything over.
_AT_WORK = 0.2
# How many waiting files are looked at for a last resort or a way out of a deadlock: the front of each queue will do.
_LOOK_AT = 4
# The latency assumed of a host that never answered: a transcontinental round trip with TLS.
LATENCY_UNKNOWN_S = 0.5


@dataclass(frozen=True, slots=True)
class Grant:
    """A proposal: let ``mirror`` (expected at ``host``) deliver ``range`` of ``file``."""

    file: FileState
    mirror: MirrorState
    host: Host
    range: ByteRange
    cause: str
    whole: bool = False
    hedge: bool = False
    anyway: bool = False  # against the rules, because nobody else is left


def propose(job: Job, now: float) -> Grant | None:
    """The best lease to open now, or None if nothing should be opened."""
    if job.pending_bytes == 0 or len(job.leases) >= job.most_leases:
        return None
    for mirror in sorted(job.mirrors.values(), key=lambda each: _rank(job, each)):
        grant = _propose_for(job, mirror, now)
        if grant is not None:
            return grant
    return _propose_anyway(job, now)


def _rank(job: Job, mirror: MirrorState) -> tuple[float, ...]:
    host = job.hosts[mirror.host_for(small=False)]
    rate = host.connection_rate
    refusing = mirror.refusals >= job.config.refusals_to_doubt
    doubted = refusing or mirror.standing.is_doubted(job.config) or host.standing.is_doubted(job.config)
    if rate is None:
        return (doubted, 0, len(host.leases), -mirror.priority, mirror.order)
    return (doubted, 1, -rate, -mirror.priority, mirror.order)


def _propose_for(job: Job, mirror: MirrorState, now: float) -> Grant | None:
    for small in _kinds(job, mirror):
        host = job.hosts[mirror.host_for(small=small)]
        if free_seats(job, mirror, host, now) == 0:
            continue
        candidates: Iterator[FileState] = job.backlog.candidates(mirror.name, small=small)
        if is_last_resort(job, mirror, host):  # it declines whatever somebody else has: maybe the whole queue
            candidates = islice(candidates, _LOOK_AT)
        for file in candidates:
            grant = _grant_from(job, (mirror, host), file, now)
            if grant is not None:
                return grant
    return None


def _kinds(job: Job, mirror: MirrorState) -> tuple[bool, ...]:
    """Small files first, unless they already hold half of the seats and big ones wait too."""
    if not job.backlog.has_work(mirror.name, small=True):
        return (False,)
    host = job.hosts[mirror.host_for(small=True)]
    small_leases = sum(lease.file.small for lease in host.leases.values())
    limit = min(host.controller.limit, mirror.max_connections)
    return (True, False) if small_leases < max(1, limit // 2) else (False, True)


def _grant_from(job: Job, seat: Seat, file: FileState, now: float) -> Grant | None:
    mirror, host = seat
    if file.phase is not FilePhase.OPEN or host.standing.excluded:
        return None
    if is_last_resort(job, mirror, host) and any(others(job, file, mirror)):
        return None
    if streams_only(mirror, file):
        return _stream(job, seat, file)
    run = _first_run(job, seat, file)
    if run is None:
        return None
    length = min(len(run), _length(job, host, file, run, now))
    length = _fit(job, file, seat, length, now)
    return Grant(file, mirror, host, ByteRange(run.start, run.start + length), "front") if length else None


def _stream(job: Job, seat: Seat, file: FileState) -> Grant | None:
    runs = list(file.pending)
    span = ByteRange(runs[0].start, runs[-1].stop)
    if file.leases or ranged_at(job, file, seat[0], span.start) or repeats(job, file, seat, span):
        return None
    return Grant(file, *seat, span, "stream", whole=True)


def _first_run(job: Job, seat: Seat, file: FileState) -> ByteRange | None:
    """The front-most pending run that this host may deliver."""
    mirror, host = seat
    avoided = file.avoided.get(host.name)
    if avoided is None:
        return file.pending.first()
    for run in file.pending:
        for allowed in avoided.gaps(run.start, run.stop):
            return allowed
    for run in file.pending:
        stop = dirty_until(job, file, mirror, run)
        if stop > run.start:
            return ByteRange(run.start, stop)
    return None


def _propose_anyway(job: Job, now: float) -> Grant | None:
    """A lease for a file whose usable sources all wait for each other: better a doubtful source than none."""
    for mirror in job.mirrors.values():
        for small in (True, False):
            host = job.hosts[mirror.host_for(small=small)]
            if free_seats(job, mirror, host, now) == 0:
                continue
            for file in islice(job.backlog.candidates(mirror.name, small=small), _LOOK_AT):
                if not file.leases and not host.standing.excluded and not _somebody_comes(job, file, now):
                    return _whatever(file, mirror, host)
    return None


def _somebody_comes(job: Job, file: FileState, now: float) -> bool:
    """True if a promising source only rests or is busy elsewhere: it will take the file by itself."""
    for mirror in job.sources(file):
        if is_promising(job, mirror, file) and free_seats(job, mirror, job.host_of(mirror, file), now) == 0:
            return True
    return False


def _whatever(file: FileState, mirror: MirrorState, host: Host) -> Grant:
    runs = list(file.pending)
    whole = streams_only(mirror, file)
    span = ByteRange(runs[0].start, runs[-1].stop) if whole else runs[0]
    return Grant(file, mirror, host, span, "nobody else is left", whole=whole, anyway=True)


def _length(job: Job, host: Host, file: FileState, run: ByteRange, now: float) -> int:
    """How many bytes a lease starting at ``run.start`` should have, before earliest-completion-first."""
    config, rate = job.config, host.connection_rate
    if file.small:
        return len(run)
    if rate is None:
        wanted = config.probe_bytes
    else:
        share = job.rest_bytes() * rate / max(job.total_rate(now), rate + _promised_rate(job, rate), 1.0)
        floor = max(config.min_lease_bytes, int(rate * config.round_trips_per_lease * (host.latency_s or 0.0)))
        longest = int(rate * _lease_s(config, host.latency_s))
        wanted = max(min(longest, int(share / 2)), min(floor, longest))
    wanted = max(wanted, config.min_lease_bytes)
    return _on_grid(run, wanted, file.segment_bytes, int(config.min_lease_bytes * _CRUMB))


def _lease_s(config: SchedulerConfig, latency_s: float | None) -> float:
    """How long a lease should last: many round trips, but no longer than hashing behind the front can bear."""
    if latency_s is None:
        return config.lease_s
    return min(config.lease_s, max(config.lease_least_s, config.lease_round_trips * latency_s))


def _promised_rate(job: Job, unknown: float) -> float:
    """What all open leases together should bring; a connection of unknown speed is taken to be like us."""
    return sum(len(host.leases) * (host.connection_rate or unknown) for host in job.hosts.values())


def _on_grid(run: ByteRange, wanted: int, segment_bytes: int, crumb: int) -> int:
    """End on the segment grid where that changes the length by less than half; leave no crumb behind."""
    if len(run) - wanted <= crumb:
        return len(run)
    aligned = (run.start + wanted) // segment_bytes * segment_bytes - run.start
    return aligned if aligned * 2 > wanted else wanted


def _fit(job: Job, file: FileState, seat: Seat, length: int, now: float) -> int:
    """Shrink a slow host's lease to what it can finish before faster ones would have done it all; 0 = nothing."""
    mirror, host = seat
    waits_s = others_done_s(job, file, host, now)
    if waits_s == float("inf"):
        return length
    rate = host.connection_rate
    if rate is None:
        if waits_s < job.config.stall_s and _failed_last(mirror, host):
            return 0  # what it does with its second chance would be known too late
        rate = length / waits_s
    latency_s = host.latency_s if host.latency_s is not None else LATENCY_UNKNOWN_S
    possible = int(rate * (waits_s - latency_s) * _ECF_MARGIN)
    if possible >= length:
        return length
    return possible if possible >= job.config.min_lease_bytes and not file.small else 0


def _failed_last(mirror: MirrorState, host: Host) -> bool:
    return bool(mirror.standing.failures or host.standing.failures)


def others_done_s(job: Job, file: FileState, host: Host, now: float) -> float:
    """Seconds in which hosts faster than ``host`` would have done everything without it; inf if there is none."""
    faster = list(_faster_at_work(job, file, host, now))
    return job.rest_bytes() / max(job.total_rate(now), *faster) if faster else float("inf")


def _faster_at_work(job: Job, file: FileState, host: Host, now: float) -> Iterable[float]:
    """Rates of connections of faster hosts that are delivering now and could take this file's bytes next."""
    mine = host.connection_rate or 0.0
    for mirror in job.sources(file):
        other = job.host_of(mirror, file)
        if other is host or not other.leases or is_resting(mirror, other, now) or streams_only(mirror, file):
            continue
        rate = other.connection_rate
        if rate is None or rate <= mine or other.goodput.rate(now) < _AT_WORK * rate:
            continue
        if is_promising(job, mirror, file):
            yield rate
