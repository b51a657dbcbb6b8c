"""The books of the run: every lease granted, changed and ended, and what is said of it.

Decides no more than an entry itself needs: how long a lease may wait for its first byte, and how many connections a
host may have whose mirrors become known. Each entry keeps the memory (``state``) in order, speaks the instruction
that belongs to it and writes the file's story: no assignment is spoken that was not recorded as a Lease before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.concurrency import REQUEST_WORK_BYTES
from chunkdl.core.state import Lease, LeasePhase

if TYPE_CHECKING:
    from chunkdl.core.assignment import Grant
    from chunkdl.core.giving_up import GivingUp
    from chunkdl.core.mirror_stats import Host, MirrorState
    from chunkdl.core.state import FilePhase, FileState, Job

# A lease shorter than this in bytes says more about latency than about rate.
RATE_SAMPLE_MIN_BYTES = 262144
# The first-byte limit of a sole source doubles with each fruitless try, up to this many times.
_FIRST_BYTE_DOUBLINGS = 5


class Books:
    """Makes the entries, and is the one who speaks."""

    def __init__(self, job: Job, giving_up: GivingUp) -> None:
        """``giving_up`` is told of leases that brought nothing."""
        self.job = job
        self._giving_up = giving_up
        self._said: list[ev.Instruction] = []
        self._touched: dict[int, FileState] = {}

    def say(self, instruction: ev.Instruction) -> None:
        """Have the engine do something."""
        self._said.append(instruction)

    def take_said(self) -> list[ev.Instruction]:
        """What was said since the last call."""
        said, self._said = self._said, []
        return said

    def touch(self, *files: FileState) -> None:
        """Each of ``files`` may now be complete, or hopeless."""
        self._touched.update((each.id, each) for each in files)

    def take_touched(self) -> list[FileState]:
        """Files that may have become complete or hopeless since the last call, in the order in which they did."""
        touched, self._touched = self._touched, {}
        return list(touched.values())

    # --- leases ----------------------------------------------------------------------------------

    def open(self, grant: Grant, now: float) -> Lease:
        """A lease for what was granted: its bytes and its seats are taken from now on."""
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
        order = (lease.id, file.id, mirror.name, grant.range, lease.first_byte_s, grant.hedge, grant.whole, grant.cause)
        self.say(ev.OpenLease(*order))
        self.tell(file, now, f"lease {lease.id} {grant.range} to {mirror.name} at {grant.host.name}: {grant.cause}")
        return lease

    def _first_byte_s(self, file: FileState, mirror: MirrorState) -> float:
        """The mirror's own limit; longer for a sole source that has kept us waiting before."""
        if any(each is not mirror for each in self.job.sources(file)):
            return mirror.first_byte_s
        doubled = mirror.first_byte_s * 2.0 ** min(file.fruitless, _FIRST_BYTE_DOUBLINGS)
        return max(mirror.first_byte_s, min(self.job.config.stall_max_s, doubled))

    def shorten(self, lease: Lease, stop: int, now: float, cause: str) -> None:
        """It shall end at ``stop``, which it has not reached; what is behind stays leased until ``Job.release``."""
        assert lease.start < stop < lease.stop, f"{lease!r} cannot end at {stop}"
        assert stop >= lease.received_to, f"{lease!r} has more than {stop} already"
        lease.stop = stop
        self.say(ev.ShortenLease(lease.id, stop, cause))
        self.tell(lease.file, now, f"lease {lease.id} ends at {stop}: {cause}")

    def cancel(self, lease: Lease, now: float, cause: str) -> None:
        """It shall end at once; its bytes stay its own until it has."""
        assert lease.is_live, f"{lease!r} cancelled twice"
        lease.phase, lease.wanted = LeasePhase.CANCELLING, False
        self.say(ev.CancelLease(lease.id, cause))
        self.tell(lease.file, now, f"lease {lease.id} cancelled: {cause}")

    def mark(self, lease: Lease, mark: ev.Mark, now: float) -> None:
        """How far it is: rates and silences are measured by this."""
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
        if lease.held_by_us or mark.skipped > lease.skipped:
            lease.heard_at = self.job.heard_at = now
        lease.skipped = mark.skipped
        if mark.stored_to > lease.stored_to:
            self.job.store(lease, mark.stored_to, now)

    def end(self, lease: Lease, stored_to: int, now: float, how: str) -> None:
        """For any ending: bytes stored so far stay, the rest is free, the seat too."""
        file, host = lease.file, lease.host
        self.job.store(lease, stored_to, now)
        delivered = lease.stored_to - lease.start
        self.job.close(lease)
        host.work += REQUEST_WORK_BYTES
        self.job.work += REQUEST_WORK_BYTES
        lasted_s = now - (lease.accepted_at if lease.accepted_at is not None else now)
        if delivered >= RATE_SAMPLE_MIN_BYTES and lasted_s > 0:
            host.note_lease_rate(delivered / lasted_s)
        if delivered == 0 and not file.was_heard_since(lease.opened_at):
            self._giving_up.in_trouble(lease, now)
        self.touch(file)
        self.tell(file, now, f"lease {lease.id} {how}, {delivered} bytes")

    # --- hosts and sources -----------------------------------------------------------------------

    def lead(self, mirror: MirrorState, name: str, now: float) -> Host:
        """``mirror`` leads to the host ``name``: the widest of its mirrors bounds the host."""
        host = self.job.host(name, now)
        host.mirrors[mirror.name] = None
        widest = max(self.job.mirrors[each].max_connections for each in host.mirrors)
        host.controller.cap = min(self.job.config.host_cap, widest)
        host.controller.limit = min(host.controller.limit, host.controller.cap)
        return host

    def recharge(self, lease: Lease, name: str, now: float) -> None:
        """The lease turned out to be served by ``name``: it counts there from now on."""
        host = self.lead(lease.mirror, name, now)
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

    def streams(self, file: FileState, mirror: MirrorState) -> None:
        """``mirror`` has no ranges of ``file``, nor probably of other large ones."""
        file.streams[mirror.name] = True
        if not file.small:
            mirror.streams_only = True

    # --- files -----------------------------------------------------------------------------------

    def close_file(self, number: int, phase: FilePhase, now: float) -> None:
        """It is over, well or badly; its leases are told to stop."""
        file = self.job.files[number]
        if number not in self.job.unfinished:
            return
        self.job.finish(file, phase)
        self.tell(file, now, phase.value)
        for lease in list(file.leases.values()):
            if lease.is_live:
                self.cancel(lease, now, f"file {phase.value}")

    def tell(self, file: FileState, now: float, line: str) -> None:
        """One line more in its story."""
        file.story.append((now, line))
