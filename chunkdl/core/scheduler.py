"""The scheduler: events in, instructions out. Sans I/O, sans clock, sans global randomness.

One mutating method, ``handle``; the engine calls it from one place, between awaits, and sends
``DeadlineReached`` at ``next_deadline``. This module keeps the books (who was granted what, how each
lease ended, who is to blame); *choices* are made by pure proposals of ``assignment``, ``stealing``,
``watchdog``, ``concurrency`` and ``retry``, which are asked after every event until they have nothing
more to propose. Every assignment is recorded as a Lease before it is spoken. Order never comes from a
set. The shape is that of dask's worker state machine; the policies are explained where they live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.assignment import Grant, propose
from chunkdl.core.blame import Blame
from chunkdl.core.concurrency import REQUEST_WORK_BYTES, Stage, Work
from chunkdl.core.eligibility import is_unwanted, must_avoid
from chunkdl.core.giving_up import GivingUp
from chunkdl.core.hedging import propose_hedge, slow_hedges
from chunkdl.core.host_view import HostView, view
from chunkdl.core.mirror_stats import MirrorState
from chunkdl.core.ranges import RangeSet
from chunkdl.core.seats import share_out
from chunkdl.core.silence import spared_seats
from chunkdl.core.state import FilePhase, FileState, Job, Lease, LeasePhase, new_story
from chunkdl.core.stealing import Steal, idle_seats, propose_steal, surplus
from chunkdl.core.watchdog import note_slowness, overdue
from chunkdl.model import ByteRange

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.core.mirror_stats import Host
    from chunkdl.core.policy import Rng, SchedulerConfig

# A lease shorter than this in bytes says more about latency than about rate.
_RATE_SAMPLE_MIN_BYTES = 262144
# A lease that delivered for a second and is then cut is weather, not a failure.
_WEATHER_AFTER_S = 1.0
# A retiring lease gets the time to empty what is under way.
_RETIRE_S = 0.5
# The first-byte limit of a sole source doubles with each fruitless try, up to this many times.
_FIRST_BYTE_DOUBLINGS = 5


__all__ = ["HostView", "Scheduler"]


class Scheduler:
    """Decides who fetches which bytes when, for all files of a run together.

    Args:
        config: every limit; defaults suit real networks.
        rng: jitter only; a seeded one makes a run repeatable.
    """

    def __init__(self, config: SchedulerConfig, rng: Rng) -> None:
        self.job = Job(config)
        self.config = config
        self._now = 0.0
        self._ticked_at = self._tick_due = float("-inf")
        self._cancelled = False
        self._completed = False
        self._out: list[ev.Instruction] = []
        self._touched: dict[int, FileState] = {}
        self._blame = Blame(self.job, rng)
        self._giving_up = GivingUp(self.job)
        self._reactions: dict[type[ev.Event], Callable[..., None]] = self._react_to()

    def __repr__(self) -> str:
        """One line for failing tests."""
        job = self.job
        return (
            f"<Scheduler {len(job.unfinished)} files open, {len(job.leases)} leases, {job.pending_bytes} bytes pending>"
        )

    # --- the interface ---------------------------------------------------------------------------

    def handle(self, event: ev.Event, now: float) -> list[ev.Instruction]:
        """Take one event in at ``now`` (monotonic seconds) and say what to do."""
        self._now = now = max(now, self._now)
        self._out = []
        self._reactions[type(event)](event, now)
        if not self._cancelled and not isinstance(event, ev.Progressed):
            self._decide(now)
        return self._out

    def next_deadline(self) -> float | None:
        """When ``DeadlineReached`` is wanted at the latest; None if only other events can change anything."""
        if self._cancelled or self._completed:
            return None
        if self.job.leases:
            return self._tick_due
        return self._giving_up.next_look(self._now)

    def hosts(self) -> list[HostView]:
        """What each final data host gave so far and how it is, in order of appearance."""
        return [view(self.job, host, self._now) for host in self.job.hosts.values()]

    @property
    def is_cancelled(self) -> bool:
        """True once the run was cancelled: nothing more is decided."""
        return self._cancelled

    @property
    def wasted_bytes(self) -> int:
        """Bytes received in vain: duplicates, bytes dropped with a connection, ranges proved wrong."""
        return self.job.wasted_bytes

    def story(self, file: int) -> list[str]:
        """What happened to ``file``, oldest first, bounded."""
        known = self.job.files.get(file)
        return [f"{at:9.3f}  {line}" for at, line in known.story] if known is not None else []

    # --- events ----------------------------------------------------------------------------------

    def _react_to(self) -> dict[type[ev.Event], Callable[..., None]]:
        return {
            ev.MirrorAdded: self._mirror_added,
            ev.FileAdded: self._file_added,
            ev.SourceAdded: self._source_added,
            ev.JobSealed: self._job_sealed,
            ev.LeaseAccepted: self._lease_accepted,
            ev.Progressed: self._progressed,
            ev.LeaseFinished: self._lease_finished,
            ev.LeaseCutShort: self._lease_cut_short,
            ev.LeaseConnectFailed: self._lease_connect_failed,
            ev.LeaseOverslept: self._lease_overslept,
            ev.LeaseThrottled: self._lease_throttled,
            ev.LeaseRefused: self._lease_refused,
            ev.LeaseMisbehaved: self._lease_misbehaved,
            ev.LeaseUnranged: self._lease_unranged,
            ev.LeaseCancelled: self._lease_cancelled,
            ev.RangesRejected: self._ranges_rejected,
            ev.HostExcluded: self._host_excluded,
            ev.FileProven: self._file_proven,
            ev.FileDropped: self._file_dropped,
            ev.LimiterBound: self._limiter_bound,
            ev.DeadlineReached: self._deadline_reached,
            ev.RunCancelled: self._run_cancelled,
        }

    def _mirror_added(self, event: ev.MirrorAdded, now: float) -> None:
        if event.mirror in self.job.mirrors:
            return
        mirror = MirrorState(
            name=event.mirror,
            order=len(self.job.mirrors),
            expected_host=event.host,
            max_connections=max(1, event.max_connections),
            first_byte_s=event.first_byte_s,
            priority=event.priority,
        )
        self.job.mirrors[event.mirror] = mirror
        host = self._lead(mirror, event.host, now)
        if event.rate_bytes_per_s > 0 and host.connection_rate is None:
            host.connection_rate = event.rate_bytes_per_s

    def _lead(self, mirror: MirrorState, name: str, now: float) -> Host:
        """``mirror`` leads to the host ``name``: the widest of its mirrors bounds the host."""
        host = self.job.host(name, now)
        host.mirrors[mirror.name] = None
        widest = max(self.job.mirrors[each].max_connections for each in host.mirrors)
        host.controller.cap = min(self.config.host_cap, widest)
        host.controller.limit = min(host.controller.limit, host.controller.cap)
        return host

    def _file_added(self, event: ev.FileAdded, now: float) -> None:
        assert event.file not in self.job.files, f"file {event.file} added twice"
        assert event.size > 0, f"file {event.file} is empty"
        pending = RangeSet(event.pending)
        file = FileState(
            id=event.file,
            size=event.size,
            segment_bytes=event.segment_bytes,
            small=event.size <= self.config.small_bytes,
            pending=pending,
            stored=RangeSet(pending.gaps(0, event.size)),
            story=new_story(self.config),
            sources=dict.fromkeys(event.mirrors),
        )
        self.job.add(file)
        self._touched[file.id] = file
        self._tell(
            file, now, f"added, {pending.total} of {event.size} bytes pending, sources {', '.join(event.mirrors)}"
        )

    def _source_added(self, event: ev.SourceAdded, now: float) -> None:
        file = self.job.files[event.file]
        if event.mirror in file.sources or event.mirror in file.refused:
            return
        file.sources[event.mirror] = None
        self._tell(file, now, f"source {event.mirror} added")
        if file.pending:
            self.job.backlog.push(file)

    def _job_sealed(self, _event: ev.JobSealed, _now: float) -> None:
        self.job.sealed = True

    def _lease_accepted(self, event: ev.LeaseAccepted, now: float) -> None:
        lease = self.job.leases.get(event.lease)
        if lease is None:
            return
        self._recharge(lease, event.host, now)
        lease.answered(now)
        lease.host.note_latency(event.latency_s)
        file, mirror = lease.file, lease.mirror
        partial = (lease.start, lease.stop) != (0, file.size)
        if event.ranged:
            file.streams[mirror.name] = False
            mirror.streams_only = mirror.streams_only and file.small
        elif partial or lease.whole:
            self._streams(file, mirror)
        self._tell(file, now, f"lease {lease.id} answered by {event.host} after {event.latency_s:.3f} s")
        unwanted = is_unwanted(self.job, lease, lone_stream=not event.ranged and partial and not lease.whole)
        if unwanted and lease.is_live:
            self._cancel(lease, now, unwanted)

    def _recharge(self, lease: Lease, name: str, now: float) -> None:
        """The lease turned out to be served by ``name``: it counts there from now on."""
        host = self._lead(lease.mirror, name, now)
        lease.mirror.hosts[lease.file.small] = name
        if host is not lease.host:
            alike = [each for each in lease.mirror.leases.values() if each.file.small == lease.file.small]
            for each in [lease, *(each for each in alike if each.phase is LeasePhase.WAITING and each is not lease)]:
                self._move(each, host)

    def _move(self, lease: Lease, host: Host) -> None:
        for count, seats in ((-1, lease.host), (1, host)):
            seats.granted += count
        del lease.host.leases[lease.id]
        host.leases[lease.id] = lease
        lease.host = host

    def _streams(self, file: FileState, mirror: MirrorState) -> None:
        file.streams[mirror.name] = True
        if not file.small:
            mirror.streams_only = True

    def _progressed(self, event: ev.Progressed, now: float) -> None:
        for mark in event.marks:
            lease = self.job.leases.get(mark.lease)
            if lease is not None:
                self._mark(lease, mark, now)

    def _mark(self, lease: Lease, mark: ev.Mark, now: float) -> None:
        received_to = min(mark.received_to, lease.stop)
        gained = received_to - lease.received_to
        if gained > 0:
            lease.received_to, lease.heard_at, self.job.heard_at = received_to, now, now
            lease.host.goodput.add(gained, now)
            lease.host.work += gained
            self.job.work += gained
            if lease.meter is not None:
                lease.meter.add(gained, now)
        lease.held_by_us = mark.held_by_us and lease.phase is LeasePhase.RECEIVING
        if lease.held_by_us:
            lease.heard_at = self.job.heard_at = now
        if mark.stored_to > lease.stored_to:
            self.job.store(lease, mark.stored_to, now)

    # --- endings ---------------------------------------------------------------------------------

    def _lease_finished(self, event: ev.LeaseFinished, now: float) -> None:
        lease = self.job.leases.get(event.lease)
        if lease is None:
            return
        twin = lease.twin
        self._end(lease, lease.stop, now, "finished")
        if twin is not None and twin.is_live:
            self._lost_race(twin, now)

    def _lost_race(self, loser: Lease, now: float) -> None:
        if loser.file.stored.covers(loser.stored_to, loser.stop):
            self._cancel(loser, now, "the other was first")
        elif loser.start < loser.received_to < loser.stop:
            self._shorten(loser, loser.received_to, now, "the other was first")

    def _lease_cut_short(self, event: ev.LeaseCutShort, now: float) -> None:
        lease = self._ended(event.lease, event.stored_to, now, f"cut short: {event.reason}")
        if lease is None or not lease.wanted:
            return
        weather = lease.stored_to > lease.start and now - lease.opened_at >= _WEATHER_AFTER_S
        if weather:
            self._blame.weather(lease, event.reason)
        else:
            self._blame.failure(lease, now, event.reason)

    def _lease_connect_failed(self, event: ev.LeaseConnectFailed, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"no answer: {event.reason}")
        if lease is not None and lease.wanted:
            self._blame.failure(lease, now, event.reason)

    def _lease_overslept(self, event: ev.LeaseOverslept, now: float) -> None:
        self._ended(event.lease, event.stored_to, now, "ended while we slept")

    def _lease_throttled(self, event: ev.LeaseThrottled, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"throttled: {event.reason}")
        if lease is not None:
            self._blame.throttle(lease, now, event)

    def _lease_refused(self, event: ev.LeaseRefused, now: float) -> None:
        lease = self._ended(event.lease, 0, now, f"refused: {event.reason}")
        if lease is None:
            return
        if event.final:
            self._blame.refusal(lease, event.reason)
        elif lease.wanted:
            self._blame.failure(lease, now, event.reason)

    def _lease_misbehaved(self, event: ev.LeaseMisbehaved, now: float) -> None:
        lease = self.job.leases.get(event.lease)
        if lease is None:
            return
        unsound = (
            ByteRange(max(event.stored_to, lease.start), lease.stored_to) if event.stored_to < lease.stored_to else None
        )
        self._end(lease, event.stored_to, now, f"misbehaved: {event.reason}")
        if unsound is not None:
            self.job.open_pending(lease.file, lease.file.stored.overlap(unsound.start, unsound.stop))
        self._blame.misbehaviour(lease, now, event.reason)

    def _lease_unranged(self, event: ev.LeaseUnranged, now: float) -> None:
        lease = self.job.leases.get(event.lease)
        if lease is None:
            return
        self._recharge(lease, event.host, now)
        self._end(lease, 0, now, f"{event.host} ignores ranges")
        self._streams(lease.file, lease.mirror)

    def _lease_cancelled(self, event: ev.LeaseCancelled, now: float) -> None:
        self._ended(event.lease, event.stored_to, now, "closed")

    def _ended(self, number: int, stored_to: int, now: float, how: str) -> Lease | None:
        lease = self.job.leases.get(number)
        if lease is not None:
            self._end(lease, stored_to, now, how)
        return lease

    def _end(self, lease: Lease, stored_to: int, now: float, how: str) -> None:
        """Books for any ending: bytes stored so far stay, the rest is free, the seat too."""
        file, host = lease.file, lease.host
        self.job.store(lease, stored_to, now)
        delivered = lease.stored_to - lease.start
        self.job.close(lease)
        host.work += REQUEST_WORK_BYTES
        self.job.work += REQUEST_WORK_BYTES
        lasted_s = now - (lease.accepted_at if lease.accepted_at is not None else now)
        if delivered >= _RATE_SAMPLE_MIN_BYTES and lasted_s > 0:
            host.note_lease_rate(delivered / lasted_s)
        if delivered == 0 and not file.was_heard_since(lease.opened_at):
            self._giving_up.in_trouble(lease, now)
        self._touched[file.id] = file
        self._tell(file, now, f"lease {lease.id} {how}, {delivered} bytes")

    # --- files, hosts, run -----------------------------------------------------------------------

    def _ranges_rejected(self, event: ev.RangesRejected, now: float) -> None:
        file = self.job.files[event.file]
        if file.id not in self.job.unfinished:
            return
        file.phase, file.was_rejected = FilePhase.OPEN, True
        if event.avoid:  # a new suspicion replaces the older one: else every host is avoided in the end
            for avoided in file.avoided.values():
                for each in event.ranges:
                    avoided.remove(each.start, each.stop)
        for name in event.avoid:
            avoided = file.avoided.setdefault(name, RangeSet())
            for each in event.ranges:
                avoided.add(each.start, each.stop)
        size = self.job.reject(file, list(event.ranges), event.avoid)
        self.job.wasted_bytes += size if event.avoid else 0
        self._touched[file.id] = file
        self._tell(file, now, f"{size} bytes rejected, avoid {', '.join(event.avoid) or 'nobody'}")
        for lease in list(file.leases.values()):
            if lease.is_live and (must_avoid(self.job, lease) or self._would_repeat(lease, event)):
                self._cancel(lease, now, "its host gave wrong bytes here before")

    def _would_repeat(self, lease: Lease, event: ev.RangesRejected) -> bool:
        """The lease of a host to avoid is about to deliver what was just rejected."""
        ahead = RangeSet(event.ranges).overlap(lease.stored_to, lease.stop) if lease.stored_to < lease.stop else []
        return bool(ahead) and lease.host.name in event.avoid

    def _host_excluded(self, event: ev.HostExcluded, now: float) -> None:
        host = self.job.host(event.host, now)
        host.standing.excluded = event.reason or "excluded"
        host.standing.last_reason = host.standing.excluded
        for lease in list(host.leases.values()):
            if lease.is_live:
                self._cancel(lease, now, f"host excluded: {event.reason}")
        self._touched.update(self.job.unfinished)

    def _file_proven(self, event: ev.FileProven, now: float) -> None:
        self._close_file(event.file, FilePhase.PROVEN, now)

    def _file_dropped(self, event: ev.FileDropped, now: float) -> None:
        self._close_file(event.file, FilePhase.DROPPED, now)

    def _close_file(self, number: int, phase: FilePhase, now: float) -> None:
        file = self.job.files[number]
        if number not in self.job.unfinished:
            return
        self.job.finish(file, phase)
        self._tell(file, now, phase.value)
        for lease in list(file.leases.values()):
            if lease.is_live:
                self._cancel(lease, now, f"file {phase.value}")

    def _limiter_bound(self, event: ev.LimiterBound, now: float) -> None:
        self.job.limiter_bound = event.bound
        for lease in self.job.leases.values():
            lease.heard_at = now  # silence so far was our own doing

    def _deadline_reached(self, _event: ev.DeadlineReached, _now: float) -> None:
        """Nothing by itself: the decisions after every event look at the time."""

    def _run_cancelled(self, _event: ev.RunCancelled, now: float) -> None:
        self._cancelled = True
        for lease in list(self.job.leases.values()):
            if lease.is_live:
                self._cancel(lease, now, "run cancelled")

    # --- decisions -------------------------------------------------------------------------------

    def _decide(self, now: float) -> None:
        if now >= self._tick_due:
            self._tick(now)
        self._settle(now)
        share_out(self.job, now)
        self._assign(now)
        self._rebalance(now)
        for host in self.job.hosts.values():
            if len(host.leases) < host.allowance:
                host.controller.interrupt()
        if self.job.sealed and not self.job.unfinished and not self.job.leases and not self._completed:
            self._completed = True
            self._out.append(ev.CompleteRun())

    def _tick(self, now: float) -> None:
        """Four times a second: look at rates, silences, widths and budgets."""
        passed = min(1.0, now - self._ticked_at)
        self._ticked_at, self._tick_due = now, now + self.config.tick_s
        for lease in self.job.leases.values():
            self._note_rate(lease, now, passed)
        for standing in self.job.standings():
            standing.heal(now, self.config)
        for cut in overdue(self.job, now):
            if cut.renewal:
                lease = cut.lease
                limit_s = min(self.config.stall_max_s, 2 * max(self.config.stall_s, lease.silence_limit_s))
                lease.file.silence_limit_s = max(lease.file.silence_limit_s, limit_s)
            elif cut.blame:
                self._blame.failure(cut.lease, now, cut.cause)
            self._cancel(cut.lease, now, cut.cause)
        self.job.spared_seats = spared_seats(self.job, now)
        self._steer(now)
        for lease in surplus(self.job, now):
            self._retire(lease, now)
        for lease in slow_hedges(self.job, idle_seats(self.job, now), now):
            self._cancel(lease, now, "a faster connection is idle")
        for file in self._giving_up.overdue(now):
            self._touched[file.id] = file

    def _note_rate(self, lease: Lease, now: float, passed: float) -> None:
        rate = lease.rate(now)
        if (
            rate is not None
            and not self.job.limiter_bound
            and lease.received_to - lease.start >= _RATE_SAMPLE_MIN_BYTES
        ):
            lease.host.note_running_rate(rate, passed)
        note_slowness(self.job, lease, now)

    def _steer(self, now: float) -> None:
        """Let each full host's controller look at what its width brought."""
        if self.job.limiter_bound:
            return
        for host in self.job.hosts.values():
            if host.latency_s is None or not host.leases or len(host.leases) != host.allowance:
                continue
            alone = not any(each.controller.stage is Stage.TRIAL for each in self.job.hosts.values())
            work = Work(len(host.leases), host.work, self.job.work)
            host.controller.step(now, work, host.latency_s, may_try=alone)

    def _settle(self, now: float) -> None:
        """Files that may have become complete or hopeless."""
        touched, self._touched = self._touched, {}
        for file in touched.values():
            if file.phase is not FilePhase.OPEN:
                continue
            if not file.pending and not file.leases and not file.leased:
                file.phase = FilePhase.PROVING
                self._tell(file, now, "complete")
                self._out.append(ev.ProveFile(file.id))
            elif self._giving_up.is_lost(file, now):
                self._fail(file, now)

    def _fail(self, file: FileState, now: float) -> None:
        reasons = self._giving_up.reasons(file)
        self._out.append(ev.FailFile(file.id, reasons))
        self._close_file(file.id, FilePhase.FAILED, now)

    def _assign(self, now: float) -> None:
        for _ in range(self.job.most_leases):
            grant = propose(self.job, now)
            if grant is None:
                return
            self._open(grant, now)

    def _rebalance(self, now: float) -> None:
        """Idle connections take the tail of the latest leases, or double them."""
        for _ in range(self.job.most_leases):
            idle = idle_seats(self.job, now)
            steal = propose_steal(self.job, idle, now) if idle else None
            if steal is not None:
                self._steal(steal, now)
                continue
            pair = propose_hedge(self.job, idle, now) if idle else None
            if pair is None:
                return
            self._hedge(*pair, now)

    def _hedge(self, owner: Lease, grant: Grant, now: float) -> None:
        hedge = self._open(grant, now)
        hedge.twin, owner.twin = owner, hedge
        hedge.paired = owner.paired = True

    def _steal(self, steal: Steal, now: float) -> None:
        victim, cut = steal.victim, steal.grant.range.start
        old_stop = victim.stop
        self._shorten(victim, cut, now, f"stolen by {steal.grant.mirror.name}")
        victim.steals += 1
        victim.stolen_at = now
        self.job.release(victim, cut, old_stop)
        self._open(steal.grant, now)

    def _retire(self, lease: Lease, now: float) -> None:
        """Let a lease that occupies a seat which others need end within a moment."""
        cut = lease.received_to + max(1, int((lease.rate(now) or 0.0) * _RETIRE_S))
        if cut < lease.stop:
            old_stop = lease.stop
            self._shorten(lease, cut, now, "its host is wider than it pays")
            self.job.release(lease, cut, old_stop)

    # --- instructions ----------------------------------------------------------------------------

    def _open(self, grant: Grant, now: float) -> Lease:
        job, file, mirror = self.job, grant.file, grant.mirror
        job.leases_granted += 1
        lease = Lease(
            id=job.leases_granted,
            file=file,
            mirror=mirror,
            host=grant.host,
            start=grant.range.start,
            stop=grant.range.stop,
            opened_at=now,
            first_byte_s=self._first_byte_s(file, mirror),
            hedge=grant.hedge,
            whole=grant.whole,
            anyway=grant.anyway,
            cause=grant.cause,
            silence_limit_s=file.silence_limit_s,
        )
        if not grant.hedge:
            job.lease_pending(file, lease.start, lease.stop)
        for seats in (job.leases, file.leases, grant.host.leases, mirror.leases):
            seats[lease.id] = lease
        grant.host.granted += 1
        self._out.append(
            ev.OpenLease(
                lease.id, file.id, mirror.name, grant.range, lease.first_byte_s, grant.hedge, grant.whole, grant.cause
            )
        )
        self._tell(file, now, f"lease {lease.id} {grant.range} to {mirror.name} at {grant.host.name}: {grant.cause}")
        return lease

    def _first_byte_s(self, file: FileState, mirror: MirrorState) -> float:
        """The mirror's own limit; longer for a sole source that has kept us waiting before."""
        if any(each is not mirror for each in self.job.sources(file)):
            return mirror.first_byte_s
        doubled = mirror.first_byte_s * 2.0 ** min(file.fruitless, _FIRST_BYTE_DOUBLINGS)
        return max(mirror.first_byte_s, min(self.config.stall_max_s, doubled))

    def _cancel(self, lease: Lease, now: float, cause: str) -> None:
        assert lease.is_live, f"{lease!r} cancelled twice"
        lease.phase, lease.wanted = LeasePhase.CANCELLING, False
        self._out.append(ev.CancelLease(lease.id, cause))
        self._tell(lease.file, now, f"lease {lease.id} cancelled: {cause}")

    def _shorten(self, lease: Lease, stop: int, now: float, cause: str) -> None:
        assert lease.start < stop < lease.stop, f"{lease!r} cannot end at {stop}"
        assert stop >= lease.received_to, f"{lease!r} has more than {stop} already"
        lease.stop = stop
        self._out.append(ev.ShortenLease(lease.id, stop, cause))
        self._tell(lease.file, now, f"lease {lease.id} ends at {stop}: {cause}")

    def _tell(self, file: FileState, now: float, line: str) -> None:
        file.story.append((now, line))
