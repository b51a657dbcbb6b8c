"""A whole download without sockets: the real scheduler, a simulated network, a stand-in for the engine.

The stand-in obeys instructions, tells the truth about what happened when, and checks the invariants after
every event. It keeps books of its own about which bytes were really stored and by whom, so that a file
that the scheduler calls complete is compared with what truly arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING

from chunkdl.core import events as ev
from chunkdl.core.invariants import Invariants
from chunkdl.core.ranges import RangeSet
from chunkdl.core.scheduler import Scheduler
from chunkdl.core.state import FilePhase
from chunkdl.testing.simulated_answers import Request, answer
from chunkdl.testing.simulated_network import FOREVER, Flow, HostModel, LinkModel, MirrorModel, Weather, share_rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.core.policy import SchedulerConfig
    from chunkdl.model import ByteRange

# Rates change on whole seconds (weather) and when a flow begins, ends or stalls.
_WEATHER_S = 1.0
# One ending in ten loses what was in memory.
_LOST_AT_THE_END = 0.1
# A host caught lying twice is excluded, as the engine does once it knows.
_LIES_MAX = 2
# A request on a fresh connection costs TCP and TLS on top of its own round trip.
_FRESH_ROUND_TRIPS = 3
# An engine that has repaired a file so often gives it up.
_REPAIRS_MAX = 6
# So long after the last byte that it held back our own limiter still counts as binding.
_BOUND_AFTER_S = 1.0
# A safety run may be hopelessly slow and yet progress: somebody loses patience.
_PATIENCE_S = 600.0
# A run that needs more than this many events is a live-lock: 2 GB from one host that fades to 2 % need 45 000.
_EVENTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class FileModel:
    """One content: what of it is missing, who is said to have it, when it becomes known."""

    size: int
    pending: tuple[ByteRange, ...]
    mirrors: tuple[str, ...]
    segment_bytes: int
    rejected_at: float | None = None  # resume: some stored bytes turn out not to hash to their record


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides a simulated run."""

    seed: int
    phase: str
    config: SchedulerConfig
    hosts: tuple[HostModel, ...]
    mirrors: tuple[MirrorModel, ...]
    files: tuple[FileModel, ...]
    link: LinkModel = field(default_factory=LinkModel)
    late_sources: tuple[tuple[float, int, str], ...] = ()  # (when, file, mirror)
    write_bytes: int = 1 << 20  # what the stand-in stores at once
    cancel_at: float | None = None


@dataclass(slots=True)
class Outcome:
    """How a simulated run ended."""

    seconds: float = 0.0
    proven: list[int] = field(default_factory=list)
    failed: dict[int, tuple[str, ...]] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    wasted_bytes: int = 0
    bytes: int = 0
    leases: int = 0
    events: int = 0


class SimulatedRun:
    """One run of one scenario; ``run`` returns its outcome or raises ``AssertionError``."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.now = 0.0
        self.scheduler = Scheduler(scenario.config, Random(scenario.seed))  # noqa: S311  repeatable, no secret
        self.outcome = Outcome()
        self._rng = Random(f"engine {scenario.seed}")  # noqa: S311  repeatable, no secret
        self._invariants = Invariants()
        self._weather = Weather(scenario.seed)
        self._hosts = {host.name: host for host in scenario.hosts}
        self._mirrors = {mirror.name: mirror for mirror in scenario.mirrors}
        self._flows: dict[int, Flow] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._warm: dict[tuple[str, str], int] = {}
        self._stored: dict[int, RangeSet] = {}
        self._wrong: dict[int, dict[str, RangeSet]] = {}
        self._repairs: dict[int, int] = {}
        self._dirty = False
        self._done = False
        self._bound = False
        self._held_back_at = float("-inf")

    # --- the loop --------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Simulate until the run has completed or was cancelled."""
        self._begin()
        while not self._done:
            assert self.outcome.events < _EVENTS_MAX, f"live-lock: {self.scheduler!r} at {self.now:.1f}"
            self._step()
        self.outcome.seconds = self.now
        self.outcome.wasted_bytes = self.scheduler.wasted_bytes
        return self.outcome

    def _begin(self) -> None:
        for mirror in self.scenario.mirrors:
            self._send(ev.MirrorAdded(mirror.name, mirror.expected_host, mirror.max_connections, mirror.first_byte_s))
        for number, file in enumerate(self.scenario.files):
            missing = RangeSet(file.pending)
            self._stored[number] = RangeSet(missing.gaps(0, file.size))
            self._wrong[number] = {}
            self.outcome.bytes += missing.total
            self._send(ev.FileAdded(number, file.size, file.pending, file.mirrors, file.segment_bytes))
            if file.rejected_at is not None:
                self._plan(file.rejected_at, partial(self._reject_stored, number))
        for when, number, name in self.scenario.late_sources:
            self._plan(when, partial(self._send, ev.SourceAdded(number, name)))
        for moment in (each for span in self.scenario.link.limited for each in span if each < FOREVER):
            self._plan(moment, self._share_anew)
        patience_s = _PATIENCE_S if self.scenario.phase == "safety" else None
        cancel_at = self.scenario.cancel_at if self.scenario.cancel_at is not None else patience_s
        if cancel_at is not None:
            self._plan(cancel_at, self._cancel_run)
        self._send(ev.JobSealed())

    def _step(self) -> None:
        deadline = self.scheduler.next_deadline()
        times = [self._agenda[0][0] if self._agenda else FOREVER, deadline if deadline is not None else FOREVER]
        if self._dirty or int(self.now) != int(self.now - 1e-9):
            share_rates(self._flows.values(), self._weather, self.scenario.link, self.now)
            self._dirty = False
        first, left = None, FOREVER
        for flow in self._flows.values():
            if flow.rate > 0 and (mine := flow.time_left()) < left:
                first, left = flow, mine
        weather = (self.now // _WEATHER_S + 1) * _WEATHER_S if self._flows else FOREVER
        upcoming = min(*times, self.now + left, weather)
        assert upcoming < FOREVER, f"nothing will ever happen: {self.scheduler!r}"
        self._advance(upcoming)
        if first is not None and self.now >= upcoming and left <= upcoming - self._before + 1e-9:
            self._finish(first)
        elif self._agenda and self._agenda[0][0] <= self.now:
            heappop(self._agenda)[2]()
        elif deadline is not None and deadline <= self.now:
            self._send(ev.DeadlineReached())
        else:
            self._dirty = True
        if not self._done:
            self._tell_limiter()

    def _advance(self, to: float) -> None:
        self._before = self.now
        moving = [flow for flow in self._flows.values() if flow.rate > 0]
        for flow in moving:
            flow.advance(to - self.now)
        if moving and self.scenario.link.is_limited(self.now):
            self._held_back_at = to
        self.now = to

    def _plan(self, when: float, act: Callable[[], None]) -> None:
        self._planned += 1
        heappush(self._agenda, (max(when, self.now), self._planned, act))

    # --- talking with the scheduler ---------------------------------------------------------------

    def _send(self, event: ev.Event) -> None:
        marks = tuple(self._mark(flow) for flow in self._flows.values() if flow.open)
        if marks:
            self._handle(ev.Progressed(marks))
        self._handle(event)

    def _handle(self, event: ev.Event) -> None:
        self.outcome.events += 1
        instructions = self.scheduler.handle(event, self.now)
        if not isinstance(event, ev.Progressed):
            self._invariants.check(self.scheduler, event, instructions, self.now)
        for instruction in instructions:
            self._obey(instruction)

    def _mark(self, flow: Flow) -> ev.Mark:
        received_to = flow.received_to
        whole = received_to if received_to == flow.stop else received_to - received_to % self.scenario.write_bytes
        self._write(flow, max(flow.stored_to, whole))
        return ev.Mark(flow.lease, received_to, flow.stored_to, skipped=int(flow.skipped))

    def _write(self, flow: Flow, to: int) -> None:
        """Bytes reach the part file; remember whether they were right, and whose."""
        if to <= flow.stored_to:
            return
        self._stored[flow.file].add(flow.stored_to, to)
        for ranges in self._wrong[flow.file].values():
            ranges.remove(flow.stored_to, to)
        if flow.lies:
            self._wrong[flow.file].setdefault(flow.host.name, RangeSet()).add(flow.stored_to, to)
        flow.stored_to = to

    def _obey(self, instruction: ev.Instruction) -> None:
        match instruction:
            case ev.OpenLease():
                self._open(instruction)
            case ev.ShortenLease(lease, stop):
                self._shorten(lease, stop)
            case ev.CancelLease(lease):
                self._close(lease)
            case ev.ProveFile(file):
                self._plan(self.now + 0.05, lambda: self._prove(file))
            case ev.FailFile(file, reasons):
                assert reasons, f"file {file} failed without a reason"
                self.outcome.failed[file] = reasons
            case ev.CompleteRun():
                self._complete()

    # --- one request -------------------------------------------------------------------------------

    def _open(self, order: ev.OpenLease) -> None:
        assert order.lease not in self._flows
        self.outcome.leases += 1
        mirror, file = self._mirrors[order.mirror], self.scenario.files[order.file]
        small = file.size <= self.scenario.config.small_bytes
        host = self._hosts[mirror.small_host if small else mirror.big_host]
        flow = Flow(order.lease, order.file, order.mirror, host, order.range.start, order.range.stop)
        self._flows[order.lease] = flow
        key = (order.mirror, host.name)
        warm = self._warm.get(key, 0) > 0
        self._warm[key] = max(0, self._warm.get(key, 0) - 1)
        answer_s = host.latency_s * (1 if warm else 1 + _FRESH_ROUND_TRIPS)
        self._plan_answer(order, flow, mirror, answer_s)

    def _plan_answer(self, order: ev.OpenLease, flow: Flow, mirror: MirrorModel, answer_s: float) -> None:
        neighbours = sum(other.host is flow.host and not other.closing for other in self._flows.values())
        request = Request(order, flow, mirror, answer_s, neighbours)
        after_s, refusal = answer(request, self.scenario.link, self.now, self._rng.random)
        if refusal is None:
            self._plan(self.now + after_s, lambda: self._accept(order, flow, after_s))
        else:
            self._plan(self.now + after_s, lambda: self._end(flow, refusal))

    def _accept(self, order: ev.OpenLease, flow: Flow, latency_s: float) -> None:
        if flow.closing or flow.lease not in self._flows:
            return
        host, rng = flow.host, self._rng
        flow.open = self._dirty = True
        flow.skip = float(flow.start) if order.whole else 0.0
        if not host.is_calm(self.now):
            flow.lies = rng.random() < host.lies
            self._plan_hazards(flow)
        self._send(ev.LeaseAccepted(flow.lease, host.name, latency_s, ranged=host.ranged))

    def _plan_hazards(self, flow: Flow) -> None:
        host, rng = flow.host, self._rng
        if host.cuts_per_s > 0:
            self._plan(self.now + rng.expovariate(host.cuts_per_s), lambda: self._cut(flow))
        if host.stalls_per_s > 0:
            self._plan(self.now + rng.expovariate(host.stalls_per_s), lambda: self._stall(flow))

    def _cut(self, flow: Flow) -> None:
        if flow.lease in self._flows and not flow.closing and not flow.host.is_calm(self.now):
            self._flush(flow)
            self._end(flow, ev.LeaseCutShort(flow.lease, flow.stored_to, "reset"))

    def _stall(self, flow: Flow) -> None:
        if flow.lease in self._flows and not flow.host.is_calm(self.now):
            flow.stalled = self._dirty = True
            if flow.host.stall_s < FOREVER:
                self._plan(self.now + flow.host.stall_s, lambda: self._thaw(flow))

    def _thaw(self, flow: Flow) -> None:
        flow.stalled = False
        self._dirty = True

    def _flush(self, flow: Flow) -> None:
        """What is in memory at the end is usually stored too."""
        if self._rng.random() >= _LOST_AT_THE_END:
            self._write(flow, flow.received_to)

    def _finish(self, flow: Flow) -> None:
        if flow.lease in self._flows and flow.open and not flow.closing and flow.received_to >= flow.stop:
            self._write(flow, flow.stop)
            key = (flow.mirror, flow.host.name)
            self._warm[key] = self._warm.get(key, 0) + (not flow.truncated)
            self._end(flow, ev.LeaseFinished(flow.lease))

    def _shorten(self, lease: int, stop: int) -> None:
        flow = self._flows[lease]
        assert flow.received_to <= stop <= flow.stop, f"lease {lease} at {flow.received_to} cannot end at {stop}"
        flow.stop, flow.truncated = stop, True
        if flow.received_to >= stop:
            self._plan(self.now, lambda: self._finish(flow))

    def _close(self, lease: int) -> None:
        flow = self._flows[lease]
        flow.closing = self._dirty = True
        self._plan(self.now + self._rng.random() * 0.05, lambda: self._closed(flow))

    def _closed(self, flow: Flow) -> None:
        if flow.lease in self._flows:
            self._flush(flow)
            self._end(flow, ev.LeaseCancelled(flow.lease, flow.stored_to))

    def _end(self, flow: Flow, event: ev.Event) -> None:
        if flow.lease not in self._flows:
            return
        if flow.closing and not isinstance(event, ev.LeaseCancelled):
            return  # the ending of a cancelled lease is already planned
        del self._flows[flow.lease]
        self._dirty = True
        self._send(event)

    # --- files -------------------------------------------------------------------------------------

    def _prove(self, number: int) -> None:
        file = self.scheduler.job.files[number]
        if file.phase is not FilePhase.PROVING:
            return
        size = self.scenario.files[number].size
        assert self._stored[number].covers(0, size), f"file {number} called complete with holes {self._stored[number]}"
        wrong = {host: list(ranges) for host, ranges in self._wrong[number].items() if ranges}
        if not wrong:
            self.outcome.proven.append(number)
            self._send(ev.FileProven(number))
            return
        self._repairs[number] = self._repairs.get(number, 0) + 1
        if self._repairs[number] > _REPAIRS_MAX:
            self.outcome.dropped.append(number)
            self._send(ev.FileDropped(number))
            return
        self._repair(number, wrong)

    def _repair(self, number: int, wrong: dict[str, list[ByteRange]]) -> None:
        for host, ranges in wrong.items():
            for run in ranges:
                self._stored[number].remove(run.start, run.stop)
                self._wrong[number][host].remove(run.start, run.stop)
            self._send(ev.RangesRejected(number, tuple(ranges), avoid=(host,)))
        if self._repairs[number] >= _LIES_MAX and len(self._hosts) > len(wrong):
            for host in wrong:
                self._send(ev.HostExcluded(host, "wrong bytes"))

    def _reject_stored(self, number: int) -> None:
        if number in self.outcome.proven or self.scheduler.job.files[number].phase is not FilePhase.OPEN:
            return
        whole = RangeSet(self.scenario.files[number].pending).gaps(0, self.scenario.files[number].size)
        if whole:
            run = whole[len(whole) // 2]
            self._stored[number].remove(run.start, run.stop)
            self._send(ev.RangesRejected(number, (run,)))

    # --- the run -------------------------------------------------------------------------------------

    def _share_anew(self) -> None:
        self._dirty = True

    def _tell_limiter(self) -> None:
        """It binds while bytes come that it holds back, and a moment longer, as the engine's does."""
        bound = self.now - self._held_back_at < _BOUND_AFTER_S
        if bound != self._bound:
            self._bound = bound
            self._send(ev.LimiterBound(bound))

    def _cancel_run(self) -> None:
        self._send(ev.RunCancelled())
        self._plan(self.now + 1.0, self._stop)

    def _stop(self) -> None:
        assert not self._flows, "leases survived the cancelled run"
        self._done = True

    def _complete(self) -> None:
        assert not self._flows, "completed with leases in flight"
        ended = len(self.outcome.proven) + len(self.outcome.failed) + len(self.outcome.dropped)
        assert ended == len(self.scenario.files), f"{ended} of {len(self.scenario.files)} files ended"
        self._done = True
