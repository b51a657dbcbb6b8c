"""The scheduler's memory: files, leases, mirrors, hosts, and the moves of bytes between their states.

Every byte of a file is in exactly one of ``pending``, ``leased``, ``stored``; the methods here are the
only ones that move it. Deliberately decides nothing: no choice, no limit, no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from chunkdl.core.backlog import Backlog
from chunkdl.core.concurrency import ConnectionController
from chunkdl.core.mirror_stats import Host, MirrorState, RateMeter
from chunkdl.core.ranges import RangeSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.core.policy import SchedulerConfig
    from chunkdl.core.retry import Standing
    from chunkdl.model import ByteRange

# One connection is judged over a second or two: at 3 s a collapse to 2 % was believed too late (simulated: the worst
# of 600 runs at 0.56 of the optimum, at 1.5 s 0.73, the mean alike). A host's goodput fades more slowly.
_LEASE_TAU_S = 1.5
_HOST_TAU_S = 3.0


class LeasePhase(StrEnum):
    """How far one lease is."""

    WAITING = "waiting"  # asked, no answer yet
    RECEIVING = "receiving"
    CANCELLING = "cancelling"  # told to stop; its bytes stay leased until it says so


class FilePhase(StrEnum):
    """How far one file is."""

    OPEN = "open"
    PROVING = "proving"  # all stored, the engine hashes
    PROVEN = "proven"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(slots=True, eq=False)
class Lease:
    """The recorded right of one connection to one host to deliver ``[start, stop)`` of one file."""

    id: int
    file: FileState
    mirror: MirrorState
    host: Host
    start: int
    stop: int
    opened_at: float
    first_byte_s: float
    hedge: bool = False
    whole: bool = False
    anyway: bool = False  # against the rules of eligibility, because nobody else was left
    cause: str = ""
    phase: LeasePhase = LeasePhase.WAITING
    received_to: int = 0
    stored_to: int = 0
    skipped: int = 0  # bytes of a stream read past before its own
    accepted_at: float | None = None
    heard_at: float = 0.0  # last byte, or the answer, or the end of our own limiter's hold
    silence_limit_s: float = 0.0  # the rung of its file's ladder when it was opened
    slow_since: float | None = None  # far below its host's usual rate since then
    meter: RateMeter | None = None
    twin: Lease | None = None  # the other half of a hedged pair
    steals: int = 0
    stolen_at: float = float("-inf")
    held_by_us: bool = False  # our own disk, memory or limiter keeps it from reading
    paired: bool = False  # was ever half of a hedged pair: what it wastes is charged to the hedge budget
    wanted: bool = True  # False once cut: its ending is our doing and blames nobody

    def __post_init__(self) -> None:
        """Nothing has come yet."""
        self.received_to = self.stored_to = self.start
        self.heard_at = self.opened_at

    def __repr__(self) -> str:
        """One line for stories and failing tests."""
        kind = "hedge" if self.hedge else "lease"
        marks = f"received {self.received_to} stored {self.stored_to}"
        return (
            f"<{kind} {self.id} file {self.file.id} [{self.start}, {self.stop}) {self.host.name} {self.phase} {marks}>"
        )

    @property
    def is_barren(self) -> bool:
        """True while it has brought nothing."""
        return self.received_to == self.start

    @property
    def is_live(self) -> bool:
        """True until it was told to stop."""
        return self.phase is not LeasePhase.CANCELLING

    @property
    def rest(self) -> int:
        """Bytes still to come."""
        return self.stop - self.received_to

    def rate(self, now: float) -> float | None:
        """Bytes per second at present, None while too young to have one."""
        return self.meter.rate(now) if self.meter is not None and self.meter.is_known(now) else None

    def answered(self, now: float) -> None:
        """Headers came: bytes are expected from now on."""
        if self.phase is LeasePhase.WAITING:
            self.phase = LeasePhase.RECEIVING
        self.accepted_at = self.heard_at = now
        self.meter = RateMeter(_LEASE_TAU_S, now)


@dataclass(slots=True)
class Trouble:
    """What one mirror cost one file since its last stored byte: attempts in vain, and their time.

    Rests between attempts count, waiting for a turn behind other files does not.
    """

    attempts: int = 0  # those under way together count once
    seconds: float = 0.0
    until: float = 0.0  # when the last attempt ended
    counted_at: float = float("-inf")  # when the last one that counted ended


@dataclass(slots=True, eq=False)
class FileState:
    """One content to fetch: where each of its bytes is, who may serve it, what went wrong."""

    id: int
    size: int
    segment_bytes: int
    small: bool
    pending: RangeSet
    stored: RangeSet
    story: deque[tuple[float, str]]
    leased: RangeSet = field(default_factory=RangeSet)
    sources: dict[str, None] = field(default_factory=dict)  # mirrors that may still serve it
    streams: dict[str, bool] = field(default_factory=dict)  # True: this mirror gave a 200; False: a 206
    refused: dict[str, str] = field(default_factory=dict)  # mirror -> why it will never serve this file
    complaints: dict[str, str] = field(default_factory=dict)  # mirror -> what it did last, since the last stored byte
    avoided: dict[str, RangeSet] = field(default_factory=dict)  # host -> ranges it must not deliver again
    leases: dict[int, Lease] = field(default_factory=dict)
    phase: FilePhase = FilePhase.OPEN
    fruitless: int = 0  # attempts since the last stored byte that brought nothing
    troubles: dict[str, Trouble] = field(default_factory=dict)  # mirror -> its part in them
    silence_limit_s: float = 0.0  # the ladder of a sole source; 0 = its first rung
    was_rejected: bool = False  # some stored bytes were taken back
    patience_until: float = float("-inf")  # a server asked us to come back at this time

    def __repr__(self) -> str:
        """One line for stories and failing tests."""
        held = f"{self.pending.total} pending {self.leased.total} leased {self.stored.total} stored"
        return f"<file {self.id} {self.phase} {held} of {self.size}, {len(self.leases)} leases>"

    def was_heard_since(self, when: float) -> bool:
        """True if a lease in flight has brought a byte since."""
        return any(not each.is_barren and each.heard_at > when for each in self.leases.values())


@dataclass(slots=True, eq=False)
class Job:
    """Everything of one run. ``now`` is never kept: time is an argument everywhere."""

    config: SchedulerConfig
    files: dict[int, FileState] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    mirrors: dict[str, MirrorState] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    backlog: Backlog = field(default_factory=Backlog)
    unfinished: dict[int, FileState] = field(default_factory=dict)  # OPEN or PROVING
    pending_bytes: int = 0
    total_bytes: int = 0
    work: float = 0.0
    wasted_bytes: int = 0
    hedge_spent: int = 0
    heard_at: float = float("-inf")  # last byte from anybody
    limiter_bound: bool = False
    sealed: bool = False
    askings: int = 0  # under way: mirrors may yet prove that they have files
    asked_at: float = float("-inf")  # when the latest of them began
    leases_granted: int = 0
    spared_seats: int = 0  # held by silent leases, as of the last tick

    @property
    def most_leases(self) -> int:
        """How many may be open: the run's cap, not counting some that are silent."""
        return self.config.max_leases + self.spared_seats

    def host(self, name: str, now: float) -> Host:
        """The host called ``name``, known from now on."""
        known = self.hosts.get(name)
        if known is None:
            start = min(self.config.start_connections, self.config.host_cap)
            controller = ConnectionController(start, self.config.host_cap, floor=start)
            known = self.hosts[name] = Host(name, RateMeter(_HOST_TAU_S, now), controller)
        return known

    def standings(self) -> list[Standing]:
        """How every mirror and every host is trusted at present."""
        return [each.standing for each in self.mirrors.values()] + [each.standing for each in self.hosts.values()]

    def expects_sources(self, now: float) -> bool:
        """True while mirrors are being asked that may still answer in time."""
        return self.askings > 0 and now - self.asked_at < self.config.asking_s

    def rest_bytes(self) -> int:
        """Bytes not yet received: pending, and to come by leases in flight."""
        return self.pending_bytes + sum(lease.rest for lease in self.leases.values() if not lease.hedge)

    def total_rate(self, now: float) -> float:
        """Bytes per second from everybody."""
        return sum(host.goodput.rate(now) for host in self.hosts.values())

    def sources(self, file: FileState) -> Iterator[MirrorState]:
        """The mirrors that may still serve ``file`` and are not excluded."""
        for name in file.sources:
            mirror = self.mirrors.get(name)
            if mirror is not None and not mirror.standing.excluded and not self.host_of(mirror, file).standing.excluded:
                yield mirror

    def host_of(self, mirror: MirrorState, file: FileState) -> Host:
        """The host from which ``mirror`` is expected to serve ``file``."""
        return self.hosts[mirror.host_for(small=file.small)]

    def add(self, file: FileState) -> None:
        """A new file, with its pending bytes."""
        self.files[file.id] = self.unfinished[file.id] = file
        self.pending_bytes += file.pending.total
        self.total_bytes += file.pending.total
        self.backlog.push(file)

    # --- moves of bytes -------------------------------------------------------------------------

    def open_pending(self, file: FileState, runs: list[ByteRange]) -> None:
        """Bytes that must be fetched (again): from leased or stored to pending, if still wanted."""
        if file.id not in self.unfinished:
            return
        before = file.pending.total
        for run in runs:
            file.leased.remove(run.start, run.stop)
            file.stored.remove(run.start, run.stop)
            file.pending.add(run.start, run.stop)
        self.pending_bytes += file.pending.total - before
        if file.pending:
            self.backlog.push(file)

    def reject(self, file: FileState, runs: list[ByteRange], avoid: tuple[str, ...]) -> int:
        """Stored ``runs`` must come again: from a lease that will deliver them anyway, else they are pending."""
        rejected = RangeSet()
        for run in runs:
            for held in file.stored.overlap(run.start, run.stop):
                rejected.add(held.start, held.stop)
        total = rejected.total
        for lease in file.leases.values():
            if lease.is_live and lease.host.name not in avoid:
                for run in rejected.overlap(lease.stored_to, lease.stop):
                    file.stored.remove(run.start, run.stop)
                    file.leased.add(run.start, run.stop)
                rejected.remove(lease.stored_to, lease.stop)
        self.open_pending(file, list(rejected))
        return total

    def lease_pending(self, file: FileState, start: int, stop: int) -> None:
        """Pending bytes of ``[start, stop)`` become leased; stored ones among them stay stored."""
        before = file.pending.total
        for run in file.pending.overlap(start, stop):
            file.pending.remove(run.start, run.stop)
            file.leased.add(run.start, run.stop)
        self.pending_bytes += file.pending.total - before

    def store(self, lease: Lease, stored_to: int, now: float) -> int:
        """``lease`` has stored everything before ``stored_to``; returns how many bytes were new."""
        file, start, stop = lease.file, lease.stored_to, min(stored_to, lease.stop)
        if stop <= start:
            return 0
        fresh = 0
        for run in file.leased.overlap(start, stop):
            file.leased.remove(run.start, run.stop)
            file.stored.add(run.start, run.stop)
            fresh += len(run)
        lease.stored_to = stop
        lease.received_to = max(lease.received_to, stop)
        self._waste(stop - start - fresh, for_hedge=lease.paired)
        if fresh:
            lease.host.bytes += fresh
            file.fruitless, file.silence_limit_s = 0, 0.0
            file.troubles.clear()
            file.complaints.clear()
            lease.mirror.standing.succeeded()
            lease.host.standing.succeeded()
            lease.mirror.refusals = 0
            self.heard_at = now
        return fresh

    def release(self, lease: Lease, start: int, stop: int) -> None:
        """What ``lease`` will not deliver of ``[start, stop)`` becomes pending, unless another lease covers it."""
        rest = RangeSet(lease.file.leased.overlap(start, stop))
        for other in lease.file.leases.values():
            if other is not lease:
                rest.remove(other.stored_to, other.stop)
        self.open_pending(lease.file, list(rest))

    def close(self, lease: Lease) -> None:
        """``lease`` has ended: its bytes are free, its seats too."""
        self.release(lease, lease.stored_to, lease.stop)
        if lease.twin is not None:
            lease.twin.twin, lease.twin.hedge = None, False
        self._waste(max(0, lease.received_to - lease.stored_to), for_hedge=lease.hedge)
        for seats in (self.leases, lease.file.leases, lease.host.leases, lease.mirror.leases):
            seats.pop(lease.id, None)

    def _waste(self, amount: int, *, for_hedge: bool) -> None:
        self.wasted_bytes += amount
        self.hedge_spent += amount if for_hedge else 0

    def finish(self, file: FileState, phase: FilePhase) -> None:
        """``file`` is over, well or badly: nothing of it is wanted any more."""
        file.phase = phase
        self.unfinished.pop(file.id, None)
        self.pending_bytes -= file.pending.total
        file.pending = RangeSet()


def new_story(config: SchedulerConfig) -> deque[tuple[float, str]]:
    """An empty story of bounded length."""
    return deque(maxlen=config.story_lines)
