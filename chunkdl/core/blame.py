"""Turns the bad ending of a lease into consequences: who rests, how long, who is doubted.

Before an answer only the mirror was heard, so it is to blame; afterwards the final data host is.
Deliberately does not know what happens to the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.retry import backoff_s
from chunkdl.core.state import LeasePhase

if TYPE_CHECKING:
    from chunkdl.core.events import LeaseThrottled
    from chunkdl.core.policy import Rng
    from chunkdl.core.retry import Standing
    from chunkdl.core.state import Job, Lease

# After the time that a server named, it gets this long to prove that it meant it. One budget's quarter.
_PATIENCE_S = 30.0
# One lost connection is chance, a second in a row says that there are too many.
_FAILURES_TO_NARROW = 2


class Blame:
    """The consequences of failures, written into the standings of mirrors and hosts."""

    def __init__(self, job: Job, rng: Rng) -> None:
        self._job = job
        self._config = job.config
        self._rng = rng

    def weather(self, lease: Lease, reason: str) -> None:
        """It delivered well and was cut: noted, not punished."""
        lease.host.standing.errors += 1
        lease.host.standing.last_reason = reason

    def silence(self, lease: Lease, now: float) -> None:
        """It is renewed, and nobody is to blame; but if nothing ever comes, this is what there is to say."""
        lease.file.complaints[lease.mirror.name] = f"silent for {now - lease.heard_at:.0f} s"

    def failure(self, lease: Lease, now: float, reason: str) -> None:
        """It did not deliver: back off, longer each time; while nobody delivers, only shortly."""
        standing = self._standing(lease)
        lease.file.complaints[lease.mirror.name] = reason
        if not standing.failed(now, reason, self._config, asked_at=lease.opened_at):
            return
        silent = now - self._job.heard_at >= self._config.link_silent_s
        ceiling_s = self._config.link_backoff_max_s if silent else self._config.backoff_max_s
        standing.rest(now + backoff_s(standing.failures, self._config, self._rng, ceiling_s=ceiling_s))
        if standing.failures >= _FAILURES_TO_NARROW and not silent:
            lease.host.controller.back_off(now, self._working(lease), asked_at=lease.opened_at)

    def throttle(self, lease: Lease, now: float, event: LeaseThrottled) -> None:
        """It said "too much": fewer connections, and no new one before the time it named."""
        standing = self._standing(lease)
        lease.file.complaints[lease.mirror.name] = event.reason
        first = standing.failed(now, event.reason, self._config, asked_at=lease.opened_at)
        lease.host.controller.back_off(now, self._working(lease), asked_at=lease.opened_at)
        wait_s = min(event.retry_after_s or 0.0, self._config.retry_after_max_s)
        if wait_s > self._config.backoff_max_s:
            self._be_patient(lease, standing, now + wait_s)
        if first and (event.retry_after_s is None or standing.failures > 1):  # its wish did not help: wait longer
            own_s = backoff_s(standing.failures, self._config, self._rng, ceiling_s=self._config.backoff_max_s)
            wait_s = max(wait_s, own_s)
        standing.rest(now + wait_s)

    def refusal(self, lease: Lease, reason: str) -> None:
        """This mirror will never serve this file; perhaps it serves none."""
        lease.file.sources.pop(lease.mirror.name, None)
        lease.file.refused[lease.mirror.name] = reason
        lease.mirror.refusals += 1
        lease.mirror.standing.errors += 1
        lease.mirror.standing.last_reason = reason

    def misbehaviour(self, lease: Lease, now: float, reason: str) -> None:
        """It broke the protocol: rests, and after three times is the last choice."""
        self._standing(lease).broke_protocol(now)
        self.failure(lease, now, reason)

    def _standing(self, lease: Lease) -> Standing:
        return lease.mirror.standing if lease.accepted_at is None else lease.host.standing

    def _working(self, lease: Lease) -> int:
        """Connections of that host that deliver."""
        return sum(each.phase is LeasePhase.RECEIVING for each in lease.host.leases.values())

    def _be_patient(self, lease: Lease, standing: Standing, until: float) -> None:
        """A wait that the server asked for is no lack of progress, within reason."""
        since = standing.failing_since if standing.failing_since is not None else until
        latest = min(until + _PATIENCE_S, since + self._config.retry_after_max_s + _PATIENCE_S)
        standing.patience_until = max(standing.patience_until, latest)
        lease.file.patience_until = max(lease.file.patience_until, latest)
