"""The scheduler: events in, instructions out. Sans I/O, sans clock, sans global randomness.

One mutating method, ``handle``; the engine calls it from one place, between awaits, and sends
``DeadlineReached`` at ``next_deadline``. This module takes in what becomes known of files, mirrors and hosts;
``endings`` takes in how leases end, ``books`` enters both, and after every event but progress ``rounds`` asks the
pure proposals what to do. Order never comes from a set. The shape is that of dask's worker state machine; the
policies are explained where they live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.blame import Blame
from chunkdl.core.books import Books
from chunkdl.core.eligibility import is_unwanted, must_avoid
from chunkdl.core.endings import Endings
from chunkdl.core.giving_up import GivingUp
from chunkdl.core.host_view import view
from chunkdl.core.mirror_stats import MirrorState
from chunkdl.core.ranges import RangeSet
from chunkdl.core.rounds import Rounds
from chunkdl.core.state import FilePhase, FileState, Job, Lease, new_story

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.core.host_view import HostView
    from chunkdl.core.policy import Rng, SchedulerConfig


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
        self._cancelled = False
        self._completed = False
        self._giving_up = GivingUp(self.job)
        self._books = Books(self.job, self._giving_up)
        blame = Blame(self.job, rng)
        self._rounds = Rounds(self._books, blame, self._giving_up)
        self._reactions = {**self._arrivals(), **Endings(self._books, blame).reactions()}

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
        self._reactions[type(event)](event, now)
        if not self._cancelled and not isinstance(event, ev.Progressed):
            self._rounds.decide(now)
            self._complete()
        return self._books.take_said()

    def _complete(self) -> None:
        job = self.job
        if job.sealed and not job.unfinished and not job.leases and not self._completed:
            self._completed = True
            self._books.say(ev.CompleteRun())

    def next_deadline(self) -> float | None:
        """When ``DeadlineReached`` is wanted at the latest; None if only other events can change anything."""
        if self._cancelled or self._completed:
            return None
        if self.job.leases:
            return self._rounds.tick_due
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

    def _arrivals(self) -> dict[type[ev.Event], Callable[..., None]]:
        return {
            ev.MirrorAdded: self._mirror_added,
            ev.FileAdded: self._file_added,
            ev.SourceAdded: self._source_added,
            ev.MirrorsAsked: self._mirrors_asked,
            ev.JobSealed: self._job_sealed,
            ev.LeaseAccepted: self._lease_accepted,
            ev.Progressed: self._progressed,
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
        host = self._books.lead(mirror, event.host, now)
        if event.rate_bytes_per_s > 0 and host.connection_rate is None:
            host.connection_rate = event.rate_bytes_per_s

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
        self._books.touch(file)
        self._books.tell(
            file, now, f"added, {pending.total} of {event.size} bytes pending, sources {', '.join(event.mirrors)}"
        )

    def _source_added(self, event: ev.SourceAdded, now: float) -> None:
        file = self.job.files[event.file]
        if event.mirror in file.sources or event.mirror in file.refused:
            return
        file.sources[event.mirror] = None
        self._books.tell(file, now, f"source {event.mirror} added")
        if file.pending:
            self.job.backlog.push(file)

    def _mirrors_asked(self, event: ev.MirrorsAsked, now: float) -> None:
        self.job.askings += 1 if event.begun else -1
        if event.begun:
            self.job.asked_at = now

    def _job_sealed(self, _event: ev.JobSealed, _now: float) -> None:
        self.job.sealed = True

    def _lease_accepted(self, event: ev.LeaseAccepted, now: float) -> None:
        lease = self.job.leases.get(event.lease)
        if lease is None:
            return
        self._books.recharge(lease, event.host, now)
        lease.answered(now)
        lease.host.note_latency(event.latency_s)
        file, mirror = lease.file, lease.mirror
        partial = (lease.start, lease.stop) != (0, file.size)
        if event.ranged:
            file.streams[mirror.name] = False
            mirror.streams_only = mirror.streams_only and file.small
        elif partial or lease.whole:
            self._books.streams(file, mirror)
        self._books.tell(file, now, f"lease {lease.id} answered by {event.host} after {event.latency_s:.3f} s")
        unwanted = is_unwanted(self.job, lease, lone_stream=not event.ranged and partial and not lease.whole)
        if unwanted and lease.is_live:
            self._books.cancel(lease, now, unwanted)

    def _progressed(self, event: ev.Progressed, now: float) -> None:
        for mark in event.marks:
            lease = self.job.leases.get(mark.lease)
            if lease is not None:
                self._books.mark(lease, mark, now)

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
        self._books.touch(file)
        self._books.tell(file, now, f"{size} bytes rejected, avoid {', '.join(event.avoid) or 'nobody'}")
        for lease in list(file.leases.values()):
            if lease.is_live and (must_avoid(self.job, lease) or self._would_repeat(lease, event)):
                self._books.cancel(lease, now, "its host gave wrong bytes here before")

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
                self._books.cancel(lease, now, f"host excluded: {event.reason}")
        self._books.touch(*self.job.unfinished.values())

    def _file_proven(self, event: ev.FileProven, now: float) -> None:
        self._books.close_file(event.file, FilePhase.PROVEN, now)

    def _file_dropped(self, event: ev.FileDropped, now: float) -> None:
        self._books.close_file(event.file, FilePhase.DROPPED, now)

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
                self._books.cancel(lease, now, "run cancelled")
