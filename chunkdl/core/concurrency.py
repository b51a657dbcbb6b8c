"""Decides how many connections one host gets: as many as pay for themselves, measured.

Success of requests is not gain: an increase stays only if goodput grew by a fair part of what the
added connections could bring at best. First a quick ramp by doubling, each step judged against the
host's own goodput; then, now and then, one probe up or down, judged against the goodput of all hosts
together, so that two hosts sharing our link do not push each other. After Falcon (SC'21), simplified.
Deliberately does not know which leases run, only how much work was done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

# An added connection must bring a quarter of what a perfect one would: less is a full pipe and noise.
_MARGIN = 0.25
# A request costs a round trip whatever its size; so much work keeps request-bound phases measurable.
REQUEST_WORK_BYTES = 65536
# Windows: long enough for ten marks and for slow start over four round trips to settle.
_RAMP_WINDOW_MIN_S = 0.25
_ROUND_TRIPS_TO_SETTLE = 4.0
# Falcon converges in about 20 s with steps of a few seconds; probes rest longer each time they fail.
_HOLD_WINDOW_S = 3.0
_REST_MIN_S = 5.0
_REST_MAX_S = 120.0
# Half of the goodput gone at the same width: the host is struggling, not wobbling.
_COLLAPSE = 0.5
# How long a ceiling learned from 429, 503 or resets is believed before one more is tried.
_CEILING_S = 60.0


class Stage(StrEnum):
    """What the controller is doing."""

    RAMP = "ramp"
    HOLD = "hold"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Work:
    """What was done so far (bytes, and a constant a request) by one host ``width`` wide, and by everyone."""

    width: int
    own: float
    everyone: float


@dataclass(slots=True)
class ConnectionController:
    """The allowed number of connections of one host, and the evidence for it. Times in seconds."""

    limit: int
    cap: int
    floor: int = 1  # no trial goes below: a few connections ride out each other's stalls
    stage: Stage = Stage.RAMP
    before: int = 0  # the width to return to if the present one does not pay
    base: float | None = None  # work/s at ``before``
    settled_at: float = 0.0  # no window begins before: connections need a few round trips
    since: Work | None = None  # the present window's beginning; None = not yet full
    since_at: float = 0.0
    width: int = 0  # of the window that is judged
    rest_s: float = _REST_MIN_S
    next_trial_at: float = 0.0
    upward: bool = True
    ceiling: int = 1 << 30
    ceiling_until: float = float("-inf")
    refused_at: float = float("-inf")

    def interrupt(self) -> None:
        """The host was not full for a moment: what was measured says nothing about its width."""
        self.since = None

    def step(self, now: float, work: Work, latency_s: float, *, may_try: bool) -> str:
        """Look at the work done so far; returns what was decided in words, or nothing.

        Call it only while the host is full; ``may_try`` is False while another host is on trial.
        """
        settle_s = _ROUND_TRIPS_TO_SETTLE * latency_s
        if self.since is None or work.width != self.since.width:
            self.since, self.settled_at = work, now + settle_s
            self.since_at = now
        if now <= self.settled_at:
            self.since, self.since_at = work, now
            return ""
        window_s = _HOLD_WINDOW_S if self.stage is not Stage.RAMP else max(_RAMP_WINDOW_MIN_S, settle_s)
        passed = now - self.since_at
        if passed < window_s:
            return ""
        own, everyone = (work.own - self.since.own) / passed, (work.everyone - self.since.everyone) / passed
        self.since, self.since_at, self.width = work, now, work.width
        return self._judge(now, own, everyone, may_try=may_try)

    def back_off(self, now: float, working: int, *, asked_at: float) -> str:
        """The host refused one connection more than ``working``: believe it for a while.

        Several that were asked for together are refused together: they count once.
        """
        if asked_at < self.refused_at:
            return ""
        self.refused_at = now
        wanted = working if 0 < working < self.limit else self.limit // 2
        self.limit = self.ceiling = max(1, min(self.limit, wanted))
        self.ceiling_until = now + _CEILING_S
        self._hold(now)
        return f"{self.limit} connections after a refusal"

    def _judge(self, now: float, own: float, everyone: float, *, may_try: bool) -> str:
        match self.stage:
            case Stage.RAMP:
                return self._judge_ramp(now, own)
            case Stage.TRIAL:
                return self._judge_trial(now, own, everyone)
            case Stage.HOLD:
                return self._judge_hold(now, own, everyone, may_try=may_try)

    def _judge_ramp(self, now: float, own: float) -> str:
        width = self.width
        if own <= 0:
            return ""  # nothing came: no reason to ask for more at once
        if self.base is not None and own < self.base * (1 + _MARGIN * (width / self.before - 1)):
            self.limit = min(width, max(self.before, math.ceil(self.before * own / self.base)))
            self._hold(now)
            return f"{self.limit} connections: {width} gave little more"
        if self._top(now) <= width or width < self.limit:  # the cap, ours or the run's, is reached
            self._hold(now)
            return ""
        self.before, self.base = width, own
        self.limit = min(2 * width, self._top(now))
        return self._moved(f"{self.limit} connections: ramp")

    def _judge_trial(self, now: float, own: float, everyone: float) -> str:
        assert self.base is not None
        share = (self.width - self.before) / self.before
        own_before = own / (1 + share) if share > 0 else own
        if everyone >= self.base + _MARGIN * share * own_before:
            self.rest_s = _REST_MIN_S
            self._hold(now)
            self.next_trial_at = now  # what paid once may pay again
            return f"{self.limit} connections: trial kept"
        self.limit = min(self.before, self._top(now))
        self.upward = not self.upward
        self._hold(now)
        self.rest_s = min(_REST_MAX_S, 2 * self.rest_s)
        return f"{self.limit} connections: trial undone"

    def _judge_hold(self, now: float, own: float, everyone: float, *, may_try: bool) -> str:
        collapsed = self.base is not None and own < _COLLAPSE * self.base
        self.base = own
        if collapsed and self.limit > 1:
            self.limit -= max(1, self.limit // 4)
            self._hold(now)
            return self._moved(f"{self.limit} connections: goodput collapsed")
        if not may_try or now < self.next_trial_at:
            return ""
        step = max(1, self.limit // 4)
        wanted = min(self.limit + step, self._top(now)) if self.upward else max(self.floor, self.limit - step)
        if wanted == self.limit or (wanted > self.limit) != self.upward:
            self.upward = not self.upward
            return ""
        self.stage, self.before, self.base, self.limit = Stage.TRIAL, self.width, everyone, wanted
        return self._moved(f"{self.limit} connections: trial")

    def _hold(self, now: float) -> None:
        self.stage, self.base = Stage.HOLD, None
        self.next_trial_at = now + self.rest_s
        self.since = None

    def _moved(self, decision: str) -> str:
        self.since = None
        return decision

    def _top(self, now: float) -> int:
        if now >= self.ceiling_until:
            self.ceiling = 1 << 30
        return min(self.cap, self.ceiling)
