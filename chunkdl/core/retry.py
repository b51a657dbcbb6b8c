"""Decides how long a host or mirror rests after a failure, and when it is doubted or excluded.

Deliberately does not know what failed or who asks: it counts, forgets with time, and answers.
A success clears the count; nobody is banned for ever except a proven liar (``exclude``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkdl.core.policy import Rng, SchedulerConfig

# 0.5 s doubled seven times is beyond every back-off ceiling in use; more would only overflow.
_DOUBLINGS_MAX = 12


def backoff_s(failures: int, config: SchedulerConfig, rng: Rng, *, ceiling_s: float) -> float:
    """Seconds to wait after ``failures`` in a row: full jitter between the floor and a doubling ceiling."""
    assert failures >= 1
    ceiling = min(ceiling_s, config.backoff_min_s * 2.0 ** min(failures, _DOUBLINGS_MAX))
    return config.backoff_min_s + rng.random() * max(0.0, ceiling - config.backoff_min_s)


@dataclass(slots=True)
class Standing:
    """How much a host (or the mirror in front of it) is trusted at present. Times on the caller's clock."""

    failures: int = 0  # in a row, forgiven with time
    errors: int = 0  # in all, for reports
    strikes: int = 0  # answers that broke the protocol, in all
    distrust: int = 0  # those of them that are not forgiven yet
    struck_at: float = float("-inf")
    failing_since: float | None = None  # first failure since the last success
    failed_at: float = float("-inf")
    healed_at: float = float("-inf")  # failures are forgiven from here on
    cooling_until: float = float("-inf")
    patience_until: float = float("-inf")  # it asked us to come back: not given up before
    excluded: str = ""  # why it serves nothing more in this run
    last_reason: str = ""

    def is_cooling(self, now: float) -> bool:
        """True while it rests."""
        return now < self.cooling_until

    def is_doubted(self, config: SchedulerConfig) -> bool:
        """True if it fails so often that it does not count as another source."""
        return bool(self.excluded) or self.failures >= config.failures_to_doubt or self.is_distrusted(config)

    def is_distrusted(self, config: SchedulerConfig) -> bool:
        """True if it broke the protocol so often that only a file without another source may use it."""
        return self.distrust >= config.strikes_to_distrust

    def succeeded(self) -> None:
        """It delivered: the past is forgotten, except broken answers."""
        self.failures, self.failing_since = 0, None

    def is_hopeless(self, now: float, config: SchedulerConfig) -> bool:
        """True if it was asked again and again for the whole budget and nothing came of it."""
        if self.excluded:
            return True
        since = self.failing_since
        return since is not None and self.failed_at - since >= config.no_progress_s and now >= self.patience_until

    def failed(self, now: float, reason: str, config: SchedulerConfig, *, asked_at: float) -> bool:
        """Count one failure of what was ``asked_at`` then, after forgiving what time has healed.

        Several requests that were under way together fail together: they count once (False for the rest).
        """
        self.errors += 1
        self.last_reason = reason
        if asked_at < self.failed_at:
            return False
        self.heal(now, config)
        self.failures += 1
        self.failed_at = self.healed_at = now
        if self.failing_since is None:
            self.failing_since = now
        return True

    def broke_protocol(self, now: float) -> None:
        """Count one answer whose bytes could not be used."""
        self.strikes += 1
        self.distrust += 1
        self.struck_at = now

    def heal(self, now: float, config: SchedulerConfig) -> None:
        """Forgive what time has healed: failures one by one; the distrusted get one more chance after a while."""
        good_s = max(0.0, now - max(self.healed_at, self.cooling_until))  # who rests as it was told to does not heal
        forgiven = int(good_s / config.forgive_s) if self.failures else 0
        if forgiven:
            self.failures, self.healed_at = max(0, self.failures - forgiven), now
        if not self.failures:
            self.failing_since = None
        if self.is_distrusted(config) and now - self.struck_at >= config.distrust_s:
            self.distrust = config.strikes_to_distrust - 1

    def rest(self, until: float) -> None:
        """No new lease before ``until``; a longer rest already ordered stays."""
        self.cooling_until = max(self.cooling_until, until)
