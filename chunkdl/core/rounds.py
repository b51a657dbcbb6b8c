"""One round of deciding: the pure proposals are asked, one after another, until they have nothing more.

*Choices* are made by ``assignment``, ``stealing``, ``hedging``, ``watchdog``, ``concurrency`` and ``seats``;
this module asks them in order and has the books enter what they say. It keeps no more than when it last looked
at rates and silences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.assignment import propose
from chunkdl.core.books import RATE_SAMPLE_MIN_BYTES
from chunkdl.core.concurrency import Stage, Work
from chunkdl.core.hedging import propose_hedge, slow_hedges
from chunkdl.core.seats import share_out
from chunkdl.core.silence import spared_seats
from chunkdl.core.state import FilePhase
from chunkdl.core.stealing import idle_seats, propose_steal, surplus
from chunkdl.core.watchdog import note_slowness, overdue

if TYPE_CHECKING:
    from chunkdl.core.assignment import Grant
    from chunkdl.core.blame import Blame
    from chunkdl.core.books import Books
    from chunkdl.core.giving_up import GivingUp
    from chunkdl.core.state import FileState, Lease
    from chunkdl.core.stealing import Steal

# A retiring lease gets the time to empty what is under way.
_RETIRE_S = 0.5


class Rounds:
    """Asks every policy after each event that may change a choice; four times a second those that look at time."""

    def __init__(self, books: Books, blame: Blame, giving_up: GivingUp) -> None:
        self._books = books
        self._blame = blame
        self._giving_up = giving_up
        self._job = books.job
        self._config = books.job.config
        self._ticked_at = self._tick_due = float("-inf")

    @property
    def tick_due(self) -> float:
        """When time itself must be looked at next, in monotonic seconds."""
        return self._tick_due

    def decide(self, now: float) -> None:
        """Everything that follows from the present state, at ``now`` (monotonic seconds)."""
        if now >= self._tick_due:
            self._tick(now)
        self._settle(now)
        share_out(self._job, now)
        self._assign(now)
        self._rebalance(now)
        for host in self._job.hosts.values():
            if len(host.leases) < host.allowance:
                host.controller.interrupt()

    def _tick(self, now: float) -> None:
        """Four times a second: look at rates, silences, widths and budgets."""
        passed = min(1.0, now - self._ticked_at)
        self._ticked_at, self._tick_due = now, now + self._config.tick_s
        for lease in self._job.leases.values():
            self._note_rate(lease, now, passed)
        for standing in self._job.standings():
            standing.heal(now, self._config)
        for cut in overdue(self._job, now):
            if cut.renewed_limit_s:
                file = cut.lease.file
                file.silence_limit_s = max(file.silence_limit_s, cut.renewed_limit_s)
                self._blame.silence(cut.lease, now)
            elif cut.blame:
                self._blame.failure(cut.lease, now, cut.cause)
            self._books.cancel(cut.lease, now, cut.cause)
        self._job.spared_seats = spared_seats(self._job, now)
        self._steer(now)
        for lease in surplus(self._job, now):
            self._retire(lease, now)
        for lease in slow_hedges(self._job, idle_seats(self._job, now), now):
            self._books.cancel(lease, now, "a faster connection is idle")
        self._books.touch(*self._giving_up.overdue(now))

    def _note_rate(self, lease: Lease, now: float, passed: float) -> None:
        rate = lease.rate(now)
        if (
            rate is not None
            and not self._job.limiter_bound
            and lease.received_to - lease.start >= RATE_SAMPLE_MIN_BYTES
        ):
            lease.host.note_running_rate(rate, passed)
        note_slowness(self._job, lease, now)

    def _steer(self, now: float) -> None:
        """Let each full host's controller look at what its width brought."""
        if self._job.limiter_bound:
            return
        for host in self._job.hosts.values():
            if host.latency_s is None or not host.leases or len(host.leases) != host.allowance:
                continue
            alone = not any(each.controller.stage is Stage.TRIAL for each in self._job.hosts.values())
            work = Work(len(host.leases), host.work, self._job.work)
            host.controller.step(now, work, host.latency_s, may_try=alone)

    def _settle(self, now: float) -> None:
        """Files that may have become complete or hopeless."""
        for file in self._books.take_touched():
            if file.phase is not FilePhase.OPEN:
                continue
            if not file.pending and not file.leases and not file.leased:
                file.phase = FilePhase.PROVING
                self._books.tell(file, now, "complete")
                self._books.say(ev.ProveFile(file.id))
            elif self._giving_up.is_lost(file, now):
                self._fail(file, now)

    def _fail(self, file: FileState, now: float) -> None:
        self._books.say(ev.FailFile(file.id, self._giving_up.reasons(file)))
        self._books.close_file(file.id, FilePhase.FAILED, now)

    def _assign(self, now: float) -> None:
        for _ in range(self._job.most_leases):
            grant = propose(self._job, now)
            if grant is None:
                return
            self._books.open(grant, now)

    def _rebalance(self, now: float) -> None:
        """Idle connections take the tail of the latest leases, or double them."""
        for _ in range(self._job.most_leases):
            idle = idle_seats(self._job, now)
            steal = propose_steal(self._job, idle, now) if idle else None
            if steal is not None:
                self._steal(steal, now)
                continue
            pair = propose_hedge(self._job, idle, now) if idle else None
            if pair is None:
                return
            self._hedge(*pair, now)

    def _hedge(self, owner: Lease, grant: Grant, now: float) -> None:
        hedge = self._books.open(grant, now)
        hedge.twin, owner.twin = owner, hedge
        hedge.paired = owner.paired = True

    def _steal(self, steal: Steal, now: float) -> None:
        victim, cut = steal.victim, steal.grant.range.start
        old_stop = victim.stop
        self._books.shorten(victim, cut, now, f"stolen by {steal.grant.mirror.name}")
        victim.steals += 1
        victim.stolen_at = now
        self._job.release(victim, cut, old_stop)
        self._books.open(steal.grant, now)

    def _retire(self, lease: Lease, now: float) -> None:
        """Let a lease that occupies a seat which others need end within a moment."""
        cut = lease.received_to + max(1, int((lease.rate(now) or 0.0) * _RETIRE_S))
        if cut < lease.stop:
            old_stop = lease.stop
            self._books.shorten(lease, cut, now, "its host is wider than it pays")
            self._job.release(lease, cut, old_stop)
