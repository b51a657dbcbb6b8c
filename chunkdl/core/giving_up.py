"""Decides when a file is lost: no source is left, or nothing came of any for the whole budget.

The budget counts lack of progress, not attempts: any stored byte resets it. A file that waits its turn
spends nothing, but one whose every source has failed for the whole budget is lost with it. A server that
named a time to come back is waited for, within reason, and so are mirrors that are still being asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.core.state import FilePhase, Trouble

if TYPE_CHECKING:
    from chunkdl.core.state import FileState, Job, Lease

# One silence proves nothing, however long.
_ATTEMPTS_MIN = 2
# With nothing in flight and nobody resting, look again after this long at the latest.
_IDLE_LOOK_S = 1.0


class GivingUp:
    """Keeps an eye on files in trouble."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._hopeless: tuple[str, ...] = ()
        self._alone_since: dict[int, float] = {}

    def in_trouble(self, lease: Lease, now: float) -> None:
        """``lease`` brought nothing, and nothing else of its file did meanwhile: charge its mirror."""
        trouble = lease.file.troubles.setdefault(lease.mirror.name, Trouble(until=lease.opened_at))
        rested_s = max(0.0, lease.opened_at - trouble.until)
        trouble.seconds += min(rested_s, self._job.config.backoff_max_s) + now - max(lease.opened_at, trouble.until)
        trouble.until = now
        if lease.opened_at >= trouble.counted_at:
            trouble.counted_at = now
            trouble.attempts += 1
            lease.file.fruitless += 1

    def overdue(self, now: float) -> list[FileState]:
        """Files to look at now: without any source, or with sources that just became hopeless."""
        due = [self._job.unfinished[each] for each in self._alone_since if each in self._job.unfinished]
        hopeless = tuple(name for name in self._job.mirrors if self._is_hopeless(name, now))
        if hopeless and hopeless != self._hopeless:
            due += self._job.unfinished.values()
        self._hopeless = hopeless
        return due

    def is_lost(self, file: FileState, now: float) -> bool:
        """True if waiting longer for ``file`` makes no sense."""
        sources = list(self._job.sources(file))
        if not sources:
            return not file.leases and self._is_left_alone(file, now)
        self._alone_since.pop(file.id, None)
        if now < file.patience_until:
            return False
        if file.leases:
            barren = all(each.is_barren for each in file.leases.values())
            return barren and all(self._is_exhausted(file, each.name) for each in sources)
        return all(self._is_spent(file, each.name, now) for each in sources)

    def _is_left_alone(self, file: FileState, now: float) -> bool:
        """It has no source, and none is to be expected: others prove that they have a file while they are asked."""
        since = self._alone_since.setdefault(file.id, now)
        if self._job.expects_sources(now):
            return False
        everybody_refused = self._job.sealed and bool(file.refused) and not file.sources
        return everybody_refused or now - since >= self._job.config.late_source_s

    def reasons(self, file: FileState) -> tuple[str, ...]:
        """One line a mirror, naming it: why it refused, what it did last, or how it stands with others."""
        lines = file.complaints | file.refused
        for name in file.sources:
            mirror = self._job.mirrors.get(name)
            if mirror is None:
                lines.setdefault(name, "never became available")
                continue
            host = self._job.host_of(mirror, file)
            known = host.standing.excluded or mirror.standing.last_reason or host.standing.last_reason
            lines.setdefault(name, known or "brought nothing")
        return tuple(_naming(name, reason) for name, reason in lines.items()) or ("no source",)

    def next_look(self, now: float) -> float | None:
        """With no lease in flight: when a rest ends or a budget may be spent."""
        if not any(file.phase is FilePhase.OPEN for file in self._job.unfinished.values()):
            return None
        rests = [
            standing.cooling_until
            for standing in self._job.standings()
            if standing.cooling_until > now and not standing.excluded
        ]
        return min([*rests, now + _IDLE_LOOK_S])

    def _is_spent(self, file: FileState, name: str, now: float) -> bool:
        """Enough time went into this mirror, with this file or with any, and nothing came."""
        return self._is_exhausted(file, name) or self._is_hopeless(name, now)

    def _is_exhausted(self, file: FileState, name: str) -> bool:
        """This file alone has given this mirror the whole budget."""
        trouble = file.troubles.get(name)
        if trouble is None or trouble.attempts < _ATTEMPTS_MIN:
            return False
        return trouble.seconds >= self._job.config.no_progress_s

    def _is_hopeless(self, name: str, now: float) -> bool:
        mirror = self._job.mirrors[name]
        hosts = {mirror.host_for(small=True), mirror.host_for(small=False)}
        config = self._job.config
        return mirror.standing.is_hopeless(now, config) or all(
            self._job.hosts[each].standing.is_hopeless(now, config) for each in sorted(hosts)
        )


def _naming(name: str, reason: str) -> str:
    return reason if reason.startswith((f"{name} ", f"{name}:")) else f"{name}: {reason}"
