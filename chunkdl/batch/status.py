"""What stands in the queue, in words and as plain values: how far each job is, and why it does not go on.

Decides order and wording; reads nothing. Integers are bytes, floats seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkdl.batch.instants import spell_near
from chunkdl.batch.job import JobState
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_duration, spell_rate, spell_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.policy import Policy

HEADING = ("ID", "NAME", "STATE", "PROGRESS", "WHY")
NAMES = (
    "id", "name", "state", "done_bytes", "total_bytes", "priority", "deadline", "not_before", "attempts", "path",
    "reason",
)  # fmt: skip
# What a person looks for first: what runs, what is next, what needs them, what is over.
_ORDER = (JobState.RUNNING, JobState.WAITING, JobState.PARKED, JobState.DONE, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a job's row depends on besides the job: the time, the policy in force, whether a runner is at work."""

    now: float
    policy: Policy
    runner_lives: bool = True

    @property
    def is_open(self) -> bool:
        """True while bytes may flow."""
        return self.policy.windows.at(self.now)

    def near(self, instant: float) -> str:
        """A time by the batch's clock, short."""
        return spell_near(instant, self.now, self.policy.zone)


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """By state, within a state as given: the most urgent first."""
    return sorted(jobs, key=lambda each: _ORDER.index(each.state))


def row(job: Job, situation: Situation) -> tuple[str, ...]:
    """One line of the table."""
    return job.id, printable(job.name), job.state, progress(job), printable(why(job, situation))


def fields(job: Job) -> tuple[str, ...]:
    """One line for programs, in the order of ``NAMES``; empty where there is nothing."""
    values = values_of(job)
    return tuple("" if values[name] is None else printable(str(values[name])) for name in NAMES)


def progress(job: Job) -> str:
    """``3.1 GiB of 6.2 GiB (50%)``, as far as it is known."""
    if not job.total_bytes:
        return "-"
    if job.state is JobState.DONE:
        return spell_bytes(job.total_bytes)
    share = spell_share(job.done_bytes, job.total_bytes)
    return f"{spell_bytes(job.done_bytes)} of {spell_bytes(job.total_bytes)} ({share})"


def why(job: Job, situation: Situation) -> str:
    """Why it is where it is, and what comes next."""
    match job.state:
        case JobState.WAITING:
            return _why_waiting(job, situation)
        case JobState.PARKED:
            return job.reason or "it waits for a person"
        case JobState.DONE:
            return _ended(job, situation, job.path or "")
        case JobState.CANCELLED:
            return _ended(job, situation, "")
        case _ if not situation.runner_lives:
            return "its runner was killed: the next chunkdl batch run goes on"
        case _:
            return _due(job, situation)


def _why_waiting(job: Job, situation: Situation) -> str:
    said = []
    if job.not_before > situation.now and job.failures:
        said.append(f"again at {situation.near(job.not_before)}, failed {spell_count(job.failures, 'time')}")
        said += [job.reason] if job.reason else []
    elif job.not_before > situation.now:
        said.append(f"due at {situation.near(job.not_before)}")
        said += [f"failed: {job.reason or f'exit code {job.exit_code}'}"] if job.failed else []
    elif not situation.is_open:
        opens = situation.policy.windows.next_change(situation.now)
        said.append("the window is closed" if opens is None else f"from {situation.near(opens)} on")
    due = _due(job, situation)
    return "; ".join([*said, due] if due else said)


def _due(job: Job, situation: Situation) -> str:
    if job.wish.deadline is None:
        return ""
    over = "deadline missed" if job.wish.deadline < situation.now else "deadline"
    return f"{over}: {situation.near(job.wish.deadline)}"


def _ended(job: Job, situation: Situation, what: str) -> str:
    when = f"at {situation.near(job.ended_at)}" if job.ended_at is not None else ""
    return ": ".join(each for each in (when, what) if each)


def window_words(situation: Situation) -> str:
    """Whether bytes may flow, and until when."""
    policy, now = situation.policy, situation.now
    change = policy.windows.next_change(now)
    if change is None:
        return "bytes may flow at any time" if situation.is_open else "the window never opens"
    then, in_s = situation.near(change), spell_duration(change - now)
    return (
        f"the window is open until {then}, {in_s} more"
        if situation.is_open
        else f"the window opens at {then}, in {in_s}"
    )


def window_line(situation: Situation) -> str:
    """The same, how fast, and by whose clock."""
    rate = situation.policy.rates.at(situation.now)
    limit = f"limit {spell_rate(rate)}" if rate else "no limit"
    return f"{window_words(situation)}; {limit} ({zone_name(situation.policy)})"


def zone_name(policy: Policy) -> str:
    """What people call the clock of the policy."""
    return policy.text.time_zone or str(policy.zone)


def counts_line(jobs: Sequence[Job]) -> str:
    """``2 running, 5 waiting, 1 parked``; what nobody is in is left out."""
    counts = {state: sum(each.state is state for each in jobs) for state in _ORDER}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "the queue is empty"


def values_of(job: Job) -> dict[str, Any]:
    """One job for programs."""
    task = job.wish.task
    return {
        "id": job.id,
        "name": job.name,
        "kind": task.kind.value,
        "ref": task.reference,
        "revision": task.revision,
        "state": job.state.value,
        "priority": job.wish.priority,
        "deadline": job.wish.deadline,
        "every": job.wish.every,
        "added_at": job.added_at,
        "not_before": job.not_before or None,
        "ended_at": job.ended_at,
        "attempts": job.attempts,
        "failures": job.failures,
        "exit_code": job.exit_code,
        "reason": job.reason,
        "hint": job.hint,
        "path": job.path,
        "done_bytes": job.done_bytes,
        "total_bytes": job.total_bytes,
        "authenticated": job.authenticated,
    }


def policy_values(situation: Situation) -> dict[str, Any]:
    """The policy in force for programs."""
    policy = situation.policy
    return {
        "open": situation.is_open,
        "changes_at": policy.windows.next_change(situation.now),
        "time_zone": zone_name(policy),
        "windows": list(policy.text.windows or ()),
        "bwlimit": policy.text.bwlimit,
        "limit_bytes_per_s": policy.rates.at(situation.now),
        "budgets": dict(policy.budgets),
        "caps_bytes_per_s": dict(policy.caps),
    }
