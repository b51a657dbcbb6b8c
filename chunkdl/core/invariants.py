"""What must hold after every event, one function each. Tests and the simulator call ``check`` after ``handle``.

Each raises ``AssertionError`` naming the file or lease with its story. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.hedging import hedge_budget, hedged_bytes
from chunkdl.core.ranges import RangeSet
from chunkdl.core.state import FilePhase, LeasePhase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chunkdl.core.scheduler import Scheduler
    from chunkdl.core.state import FileState, Lease

# Fruitless attempts on one file in a row: back-off starts at half a second and a throttled start costs
# one try a connection, so a budget of b seconds cannot honestly spend more than this many a second.
_ATTEMPTS_PER_S = 4.0
_ATTEMPTS_MIN = 64


@dataclass(slots=True)
class Moment:
    """One call of ``handle``: the scheduler after it, the event, what it answered."""

    scheduler: Scheduler
    event: ev.Event
    instructions: list[ev.Instruction]
    now: float
    changed: list[FileState]  # unfinished files whose bytes or leases moved since the last check


@dataclass(slots=True)
class Invariants:
    """Remembers what it must compare with; call ``check`` after every event."""

    _seen: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)

    def check(self, scheduler: Scheduler, event: ev.Event, instructions: list[ev.Instruction], now: float) -> None:
        """Run every invariant."""
        moment = Moment(scheduler, event, instructions, now, [])
        for file in scheduler.job.unfinished.values():
            mark = (file.stored.total, file.pending.total, file.leased.total, len(file.leases))
            before = self._seen.get(file.id)
            if before != mark:
                self._seen[file.id] = mark
                moment.changed.append(file)
                _stored_shrinks_only_by_blame(moment, file, before[0] if before is not None else 0)
        for each in ALWAYS:
            each(moment)


def _stored_shrinks_only_by_blame(moment: Moment, file: FileState, before: int) -> None:
    """Stored bytes are lost only by a rejection."""
    allowed = isinstance(moment.event, ev.RangesRejected)
    _demand(allowed or file.stored.total >= before, moment, file, "stored bytes were lost")


def every_byte_in_one_state(moment: Moment) -> None:
    """Pending, leased and stored are disjoint and cover each unfinished file."""
    job = moment.scheduler.job
    for file in moment.changed:
        at = 0
        for start, stop in sorted([*file.pending.pairs(), *file.leased.pairs(), *file.stored.pairs()]):
            _demand(start == at, moment, file, f"bytes lost or doubled at {at}")
            at = stop
        _demand(at == file.size, moment, file, f"bytes lost after {at}")
    pending = sum(file.pending.total for file in job.unfinished.values())
    assert pending == job.pending_bytes, f"{job.pending_bytes} bytes pending in the books, {pending} in files"


def leased_means_a_lease(moment: Moment) -> None:
    """A byte is leased if and only if a lease will deliver it and nobody has stored it.

    What a rejection takes from a lease that is told to stop for it is pending at once, although that has not ended.
    """
    for file in moment.changed:
        promised, kept = RangeSet(), RangeSet()
        for lease in file.leases.values():
            promised.add(lease.stored_to, lease.stop)
            if lease.is_live or not file.was_rejected:
                kept.add(lease.stored_to, lease.stop)
        for start, stop in file.leased.pairs():
            _demand(promised.covers(start, stop), moment, file, f"[{start}, {stop}) is leased to nobody")
        for start, stop in kept.pairs():
            free = file.pending.overlap(start, stop)
            _demand(not free, moment, file, f"{free} is promised but pending")


def one_primary_and_one_hedge(moment: Moment) -> None:
    """At most two leases a byte: a primary and its hedge, on different mirrors."""
    for file in moment.changed:
        leases = sorted((lease for lease in file.leases.values() if lease.rest > 0), key=lambda each: each.received_to)
        for one, two in _overlapping(leases):
            pair = one.twin is two or LeasePhase.CANCELLING in (one.phase, two.phase)
            _demand(pair, moment, file, f"{one!r} and {two!r} overlap")
            _demand(one.twin is not two or one.mirror is not two.mirror, moment, file, "hedged on one mirror")


def _overlapping(leases: list[Lease]) -> Iterable[tuple[Lease, Lease]]:
    for at, one in enumerate(leases):
        for two in leases[at + 1 :]:
            if two.received_to >= one.stop:
                break
            yield one, two


def caps_hold(moment: Moment) -> None:
    """No lease was opened beyond the caps of its mirror, its host, or the run; hedges keep their budget."""
    job = moment.scheduler.job
    opened = _opened(moment)
    if opened:
        assert len(job.leases) <= job.most_leases, f"{len(job.leases)} leases open"
    for lease in opened:
        cap = min(lease.host.controller.limit, job.config.host_cap)
        _demand(len(lease.host.leases) <= cap, moment, lease.file, f"{lease.host!r} has too many leases")
        within = len(lease.mirror.leases) <= lease.mirror.max_connections
        _demand(within, moment, lease.file, f"{lease.mirror.name} has too many leases")
    if any(lease.hedge for lease in opened):
        assert hedged_bytes(job) <= hedge_budget(job), "hedges are over their budget"


def nothing_granted_to_the_resting(moment: Moment) -> None:
    """No lease was opened on a cooling or excluded mirror or host."""
    for lease in _opened(moment):
        for standing in (lease.mirror.standing, lease.host.standing):
            fit = not standing.excluded and not standing.is_cooling(moment.now)
            _demand(fit, moment, lease.file, f"{lease!r} was granted to a resting host")


def limiter_excuses(moment: Moment) -> None:
    """While our own limiter binds nothing is hedged, stolen or cut for slowness."""
    if not moment.scheduler.job.limiter_bound:
        return
    for each in moment.instructions:
        speed = isinstance(each, ev.OpenLease) and (each.hedge or each.cause.startswith("steals"))
        assert not speed, f"{each} although our own limiter binds"
    slow = isinstance(moment.event, ev.DeadlineReached) and any(
        isinstance(e, ev.CancelLease) for e in moment.instructions
    )
    failed = any(isinstance(each, ev.FailFile) for each in moment.instructions)
    assert failed or not slow, f"{moment.instructions} although our own limiter binds"


def shortened_within_reason(moment: Moment) -> None:
    """A lease is never told to end before what it has already received."""
    for each in moment.instructions:
        if isinstance(each, ev.ShortenLease):
            lease = moment.scheduler.job.leases[each.lease]
            _demand(lease.received_to <= each.stop, moment, lease.file, f"{lease!r} shortened to {each.stop}")


def no_silence(moment: Moment) -> None:
    """If work remains, a lease is in flight, a deadline is set, or the engine is proving."""
    scheduler = moment.scheduler
    if not any(file.phase is FilePhase.OPEN for file in scheduler.job.unfinished.values()):
        return
    cancelled = isinstance(moment.event, ev.RunCancelled) or scheduler.is_cancelled
    assert cancelled or scheduler.next_deadline() is not None, f"{scheduler!r} waits for nothing"


def attempts_are_bounded(moment: Moment) -> None:
    """Attempts without progress end."""
    job = moment.scheduler.job
    bound = _ATTEMPTS_MIN + _ATTEMPTS_PER_S * job.config.no_progress_s * max(1, len(job.mirrors))
    for file in job.unfinished.values():
        _demand(file.fruitless <= bound, moment, file, f"{file.fruitless} attempts in vain")


ALWAYS: tuple[Callable[[Moment], None], ...] = (
    every_byte_in_one_state,
    leased_means_a_lease,
    one_primary_and_one_hedge,
    caps_hold,
    nothing_granted_to_the_resting,
    limiter_excuses,
    shortened_within_reason,
    no_silence,
    attempts_are_bounded,
)


def _opened(moment: Moment) -> list[Lease]:
    leases = moment.scheduler.job.leases
    return [leases[each.lease] for each in moment.instructions if isinstance(each, ev.OpenLease)]


def _demand(holds: bool, moment: Moment, file: FileState, complaint: str) -> None:  # noqa: FBT001
    if not holds:
        story = "\n".join(moment.scheduler.story(file.id)[-40:])
        raise AssertionError(f"{complaint} at {moment.now:.3f} after {moment.event}\n{file!r}\n{story}")
