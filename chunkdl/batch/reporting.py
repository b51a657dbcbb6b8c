"""What a stretch of time brought: what came, who gave how much and how fast, what failed and why, what waits.

Decides what is counted where, so that every column adds up to its total: bytes by host are what the network brought in
the time; bytes by attempt belong to the time in which the attempt ended, and the difference is told. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkdl.batch.job import JobState
from chunkdl.batch.outcomes import Outcome
from chunkdl.batch.queue import SLOT_S
from chunkdl.batch.status import values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.queue import Attempt, HostTraffic


@dataclass(frozen=True, slots=True)
class Came:
    """A job that was done in the time: when last, how large what is placed, and what its attempts fetched."""

    job: Job
    at: float
    files: int
    size: int
    bytes_fetched: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A job whose last attempt in the time failed: ``times`` how many of them did."""

    job: Job
    at: float
    exit_code: int
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class Balance:
    """The whole report. Times in seconds since the epoch, sizes in bytes.

    Args:
        since, until: what was asked for.
        came, troubles: as they ended, the earliest first.
        waiting: what is still to be done or runs, the most urgent first.
        hosts: traffic from the quarter of an hour of ``since`` on, the most generous first.
        fetched, wasted: by all attempts that ended in the time, well or badly.
    """

    since: float
    until: float
    came: tuple[Came, ...]
    troubles: tuple[Trouble, ...]
    waiting: tuple[Job, ...]
    hosts: tuple[HostTraffic, ...]
    fetched: int
    wasted: int

    @property
    def counted_since(self) -> float:
        """Where the traffic really begins: it is kept by the quarter of an hour."""
        return self.since // SLOT_S * SLOT_S

    @property
    def received(self) -> int:
        """What all hosts gave together."""
        return sum(each.bytes for each in self.hosts)

    @property
    def placed(self) -> int:
        """The size of everything that came."""
        return sum(each.size for each in self.came)

    @property
    def elsewhere(self) -> int:
        """Received, but by no attempt that ended in the time (under way), or before ``since`` (then negative)."""
        return self.received - self.fetched


def balance_of(
    period: tuple[float, float],
    jobs: Sequence[Job],
    attempts: Iterable[Attempt],
    traffic: Sequence[HostTraffic],
    files: Mapping[str, Sequence[tuple[str, int, str, str]]],
) -> Balance:
    """Put together what the queue knows.

    Args:
        period: from when until when.
        jobs: all of the queue.
        attempts: those that had not ended before.
        traffic: by host, since then.
        files: id of a job → path, size, digest and source of what it placed.
    """
    since, until = period
    ended = [each for each in attempts if each.ended_at is not None and since <= each.ended_at <= until]
    by_job: dict[str, list[Attempt]] = {}
    for each in ended:
        by_job.setdefault(each.job_id, []).append(each)
    known = {each.id: each for each in jobs}
    came = [_came(known[at], tries, files.get(at, ())) for at, tries in by_job.items()]
    troubles = [_trouble(known[at], tries) for at, tries in by_job.items()]
    return Balance(
        since,
        until,
        tuple(sorted((each for each in came if each), key=lambda each: (each.at, each.job.id))),
        tuple(sorted((each for each in troubles if each), key=lambda each: (each.at, each.job.id))),
        tuple(each for each in jobs if each.state in {JobState.RUNNING, JobState.WAITING}),
        tuple(traffic),
        sum(each.bytes_fetched for each in ended),
        sum(each.bytes_wasted for each in ended),
    )


def _came(job: Job, tries: Sequence[Attempt], files: Sequence[tuple[str, int, str, str]]) -> Came | None:
    good = [each.ended_at for each in tries if each.ended_at is not None and Outcome(each.exit_code).done]
    if not good:
        return None
    fetched = sum(each.bytes_fetched for each in tries)
    return Came(job, max(good), len(files), sum(size for _, size, _, _ in files), fetched)


def _trouble(job: Job, tries: Sequence[Attempt]) -> Trouble | None:
    """What failed and came all the same is no trouble any more."""
    failed = [each for each in tries if not (Outcome(each.exit_code).done or Outcome(each.exit_code).stopped)]
    last = max(tries, key=lambda each: each.number)
    if not failed or Outcome(last.exit_code).done:
        return None
    worst = failed[-1]
    assert worst.exit_code is not None
    assert worst.ended_at is not None
    return Trouble(job, worst.ended_at, worst.exit_code, worst.reason, len(failed))


def by_mirror(hosts: Iterable[HostTraffic]) -> list[tuple[str, int]]:
    """What came by way of each set of mirrors: hosts behind the same mirrors together, the most generous first."""
    sums: Counter[str] = Counter()
    for each in hosts:
        sums[" + ".join(each.mirrors) or each.host] += each.bytes
    return sorted(sums.items(), key=lambda each: (-each[1], each[0]))


def report_values(balance: Balance) -> dict[str, Any]:
    """The same for programs."""
    return {
        "since": balance.since,
        "until": balance.until,
        "counted_since": balance.counted_since,
        "came": [
            {
                **values_of(each.job),
                "came_at": each.at,
                "files": each.files,
                "bytes": each.size,
                "bytes_fetched": each.bytes_fetched,
            }
            for each in balance.came
        ],
        "failed": [
            {
                **values_of(each.job),
                "failed_at": each.at,
                "failed_exit_code": each.exit_code,
                "failed_reason": each.reason,
                "times": each.times,
            }
            for each in balance.troubles
        ],
        "waiting": [values_of(each) for each in balance.waiting],
        "hosts": [
            {
                "host": each.host,
                "mirrors": list(each.mirrors),
                "bytes": each.bytes,
                "active_s": each.active_s,
                "goodput_bytes_per_s": goodput(each),
            }
            for each in balance.hosts
        ],
        "totals": {
            "jobs": len(balance.came),
            "bytes": balance.placed,
            "bytes_fetched": balance.fetched,
            "bytes_wasted": balance.wasted,
            "bytes_received": balance.received,
            "bytes_elsewhere": balance.elsewhere,
        },
    }


def goodput(host: HostTraffic) -> float:
    """Bytes a second while something came from it."""
    return host.bytes / host.active_s if host.active_s > 0 else 0.0
