"""A stage for stories about the scheduler: events with times in, what it said out, invariants throughout."""

from chunkdl.core import events as ev
from chunkdl.core.invariants import Invariants
from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.scheduler import Scheduler
from chunkdl.model import MIB, ByteRange


class Jitter:
    """A generator that always draws the same: 0 gives the shortest back-off, near 1 the longest."""

    def __init__(self, value=0.0):
        self.value = value

    def random(self):
        return self.value


class Stage:
    """One scheduler, the leases it opened, and how far each is."""

    def __init__(self, *mirrors, jitter=0.0, **config):
        self.scheduler = Scheduler(SchedulerConfig(**config), Jitter(jitter))
        self.law = Invariants()
        self.now = 0.0
        self.said = []
        self.live = {}
        self.stops = {}
        self.received = {}
        self.held = set()
        self.skipped = {}
        for each in mirrors:
            self.mirror(each)

    # --- telling ---------------------------------------------------------------------------------

    def tell(self, event, at=None):
        """Handle ``event`` with fresh marks, as the engine does; returns what was said in answer."""
        self.now = self.now if at is None else at
        marks = tuple(self._mark(each) for each in self.live)
        said = []
        for each in (ev.Progressed(marks), event):
            answer = self.scheduler.handle(each, self.now)
            self.law.check(self.scheduler, each, answer, self.now)
            said += answer
        for each in said:
            self._note(each)
        self.said += said
        return said

    def _mark(self, lease):
        at = self.received[lease]
        return ev.Mark(lease, at, at, lease in self.held, self.skipped.get(lease, 0))

    def _note(self, said):
        match said:
            case ev.OpenLease():
                self.live[said.lease] = said
                self.stops[said.lease] = said.range.stop
                self.received[said.lease] = said.range.start
            case ev.ShortenLease(lease, stop):
                self.stops[lease] = stop

    def mirror(self, name, host=None, **policy):
        return self.tell(ev.MirrorAdded(name, host or f"{name}.example:443", **policy))

    def file(self, size, *mirrors, pending=None, at=None):
        number = len(self.scheduler.job.files)
        names = mirrors or tuple(self.scheduler.job.mirrors)
        runs = pending or (ByteRange(0, size),)
        return self.tell(ev.FileAdded(number, size, runs, names, 8 * MIB), at)

    def seal(self):
        return self.tell(ev.JobSealed())

    def accept(self, *leases, at=None, latency_s=0.1, host=None, ranged=True):
        said = []
        for lease in leases:
            name = host or f"{self.live[lease].mirror}.example:443"
            said += self.tell(ev.LeaseAccepted(lease, name, latency_s, ranged), at)
        return said

    def end(self, event, at=None):
        """The ending of a lease."""
        said = self.tell(event, at) if event.lease in self.live else []
        for book in (self.live, self.stops, self.received):
            book.pop(event.lease, None)
        return said

    def finish(self, lease, at=None):
        self.received[lease] = self.stops[lease]
        return self.end(ev.LeaseFinished(lease), at)

    def fail(self, lease, at=None):
        return self.end(ev.LeaseConnectFailed(lease, "connection refused"), at)

    def run(self, until, rates=None):
        """Let time pass in tenths of a second while leases receive at ``rates`` (bytes/s, default none)."""
        said = []
        while self.now < until - 1e-9:
            now = round(min(until, self.now + 0.1), 6)
            for lease, rate in (rates or {}).items():
                if lease in self.live:
                    moved = int(rate * (now - self.now) + 0.5)
                    self.received[lease] = min(self.stops[lease], self.received[lease] + moved)
            said += [(now, each) for each in self.tell(ev.DeadlineReached(), now)]
        return said

    def run_to_cut(self, limit_s=200.0, rates=None):
        """Let time pass until something is cancelled; returns the CancelLease."""
        start = self.now
        while self.now < start + limit_s:
            for _, each in self.run(self.now + 0.1, rates):
                if isinstance(each, ev.CancelLease):
                    return each
        raise AssertionError(f"nothing was cut within {limit_s} s")

    # --- asking ----------------------------------------------------------------------------------

    def opened(self, said=None):
        return [each for each in (self.said if said is None else said) if isinstance(each, ev.OpenLease)]

    def cancelled(self, said=None):
        return [each.lease for each in (self.said if said is None else said) if isinstance(each, ev.CancelLease)]

    def failed(self, said=None):
        return [each for each in (self.said if said is None else said) if isinstance(each, ev.FailFile)]

    def host(self, name):
        return next(each for each in self.scheduler.hosts() if each.host == name)


def first_time(timed, kind):
    """When an instruction of ``kind`` was said first, in what ``run`` returned."""
    return next((when for when, each in timed if isinstance(each, kind)), None)
