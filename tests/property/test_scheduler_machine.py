"""The scheduler under any legal order of events: the invariants hold after every one.

The machine is an engine that tells the truth but has bad luck: it ends leases in every way that the contract
knows, at any progress, and rejects stored ranges at any time.
"""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from chunkdl.core import events as ev
from chunkdl.core.invariants import Invariants
from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.scheduler import Scheduler
from chunkdl.core.state import FilePhase
from chunkdl.model import MIB, ByteRange

SIZES = (1, 70_000, 3 * MIB, 40 * MIB)
shares = st.integers(0, 100)


class SchedulerMachine(RuleBasedStateMachine):
    leases = Bundle("leases")

    @initialize(seed=st.integers(0, 1000), width=st.sampled_from([1, 3, 32]))
    def begin(self, seed, width):
        self.now = 0.0
        self.scheduler = Scheduler(SchedulerConfig(max_leases=width, probe_bytes=MIB), Random(seed))
        self.law = Invariants()
        self.open = {}
        self.stops = {}
        self.marks = {}
        self.cancelled = set()
        self.failed = set()
        self.held = set()
        self.completed = 0
        for number in range(3):
            self.send(ev.MirrorAdded(f"m{number}", f"host{number}", max_connections=2 + number))

    def send(self, event):
        marks = tuple(ev.Mark(lease, *mark, lease in self.held) for lease, mark in self.marks.items())
        opened = []
        for each in (ev.Progressed(marks), event):
            instructions = self.scheduler.handle(each, self.now)
            self.law.check(self.scheduler, each, instructions, self.now)
            for instruction in instructions:
                self.obey(instruction, opened)
        return multiple(*opened)

    def obey(self, instruction, opened):
        match instruction:
            case ev.OpenLease():
                self.open[instruction.lease] = instruction
                self.stops[instruction.lease] = instruction.range.stop
                self.marks[instruction.lease] = (instruction.range.start, instruction.range.start)
                opened.append(instruction.lease)
            case ev.ShortenLease(lease, stop):
                assert self.marks[lease][0] <= stop < self.stops[lease]
                self.stops[lease] = stop
            case ev.CancelLease(lease):
                assert lease not in self.cancelled
                self.cancelled.add(lease)
            case ev.FailFile(file):
                self.failed.add(file)
            case ev.CompleteRun():
                self.completed += 1

    def end(self, event):
        stored = self.marks.pop(event.lease)[1]
        del self.open[event.lease]
        del self.stops[event.lease]
        self.cancelled.discard(event.lease)
        self.held.discard(event.lease)
        assert stored >= 0
        return self.send(event)

    @precondition(lambda self: not self.scheduler.job.sealed)
    @rule(target=leases, size=st.sampled_from(SIZES), hole=shares, names=st.sets(st.integers(0, 2), min_size=1))
    def add_file(self, size, hole, names):
        start = size * hole // 101
        sources = tuple(f"m{each}" for each in sorted(names))
        return self.send(ev.FileAdded(len(self.scheduler.job.files), size, (ByteRange(start, size),), sources, 4 * MIB))

    @rule(target=leases, lease=leases, host=st.integers(0, 2), ranged=st.booleans())
    def accept(self, lease, host, ranged):
        if lease not in self.open:
            return multiple()
        return self.send(ev.LeaseAccepted(lease, f"host{host}", 0.05, ranged or self.open[lease].range.start > 0))

    @rule(target=leases, lease=leases, share=shares, passed=st.floats(0.01, 3.0))
    def progress(self, lease, share, passed):
        self.now += passed
        if lease not in self.open:
            return self.send(ev.DeadlineReached())
        received, stored = self.marks[lease]
        received += (self.stops[lease] - received) * share // 100
        stored += (received - stored) * share // 100
        self.marks[lease] = (received, stored)
        return self.send(ev.DeadlineReached())

    @rule(target=leases, lease=consumes(leases))
    def finish(self, lease):
        return self.end(ev.LeaseFinished(lease)) if lease in self.open else multiple()

    @rule(
        target=leases,
        lease=consumes(leases),
        how=st.sampled_from(["cut", "connect", "busy", "refused", "gone", "odd", "unranged", "overslept", "closed"]),
    )
    def end_badly(self, lease, how):
        if lease not in self.open:
            return multiple()
        received, stored = self.marks[lease]
        endings = {
            "cut": ev.LeaseCutShort(lease, received, "reset"),
            "connect": ev.LeaseConnectFailed(lease, "refused"),
            "busy": ev.LeaseThrottled(lease, 1.0, "429"),
            "refused": ev.LeaseRefused(lease, final=False, reason="500"),
            "gone": ev.LeaseRefused(lease, final=True, reason="404"),
            "odd": ev.LeaseMisbehaved(lease, stored, "wrong range"),
            "unranged": ev.LeaseUnranged(lease, "host0"),
            "overslept": ev.LeaseOverslept(lease, stored),
            "closed": ev.LeaseCancelled(lease, stored),
        }
        if how == "closed" and lease not in self.cancelled:
            how = "cut"
        return self.end(endings[how])

    @rule(target=leases, passed=st.floats(0.0, 40.0))
    def wait(self, passed):
        self.now += passed
        return self.send(ev.DeadlineReached())

    @rule(target=leases, file=st.integers(0, 5), start=shares, length=st.integers(1, 100), liar=st.integers(0, 3))
    def reject(self, file, start, length, liar):
        known = self.scheduler.job.files.get(file)
        if known is None:
            return multiple()
        low = known.size * start // 101
        high = min(known.size, low + 1 + known.size * length // 100)
        avoid = (f"host{liar}",) if liar < 3 else ()
        return self.send(ev.RangesRejected(file, (ByteRange(low, high),), avoid))

    @rule(target=leases, bound=st.booleans())
    def limit(self, bound):
        return self.send(ev.LimiterBound(bound))

    @rule(target=leases, lease=leases, held=st.booleans())
    def hold(self, lease, held):
        """Our own disk keeps a lease from reading, or no longer does."""
        if lease in self.open:
            (self.held.add if held else self.held.discard)(lease)
        return self.send(ev.DeadlineReached())

    @rule(target=leases, host=st.integers(0, 2))
    def exclude(self, host):
        return self.send(ev.HostExcluded(f"host{host}", "lied"))

    @rule(target=leases, begun=st.booleans())
    def ask_mirrors(self, begun):
        if not begun and not self.scheduler.job.askings:
            return multiple()
        return self.send(ev.MirrorsAsked(begun))

    @rule(target=leases)
    def seal(self):
        return self.send(ev.JobSealed())

    @rule(target=leases, file=st.integers(0, 5), proven=st.booleans())
    def settle(self, file, proven):
        known = self.scheduler.job.files.get(file)
        if known is None or known.phase is not FilePhase.PROVING:
            return multiple()
        return self.send(ev.FileProven(file) if proven else ev.FileDropped(file))

    @rule(target=leases, file=st.integers(0, 5), mirror=st.integers(0, 2))
    def find_source(self, file, mirror):
        if file not in self.scheduler.job.files:
            return multiple()
        return self.send(ev.SourceAdded(file, f"m{mirror}"))

    @invariant()
    def every_lease_is_known_on_both_sides(self):
        assert set(self.scheduler.job.leases) == set(self.open)

    @invariant()
    def the_run_is_complete_once_and_only_when_nothing_is_left(self):
        job = self.scheduler.job
        assert self.completed == (job.sealed and not job.unfinished and not self.open)

    @invariant()
    def a_failed_file_never_comes_back(self):
        assert all(self.scheduler.job.files[file].phase is FilePhase.FAILED for file in self.failed)


SchedulerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSchedulerMachine = SchedulerMachine.TestCase
