"""What a batch job is: something to fetch or mirrors to test, with how urgent it is.

Decides when two wishes are the same job: same reference, revision, selection and destination. Deliberately knows
neither the queue's file nor who carries a job out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class JobKind(StrEnum):
    """What is done: a fetch, or an evaluation of mirrors, so that they are looked at regularly."""

    FETCH = "fetch"
    MIRRORS_TEST = "mirrors-test"


class JobState(StrEnum):
    """Where a job stands. ``PARKED`` waits for a person: the same would fail again."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    PARKED = "parked"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: the identity of a job.

    Args:
        reference: as on the command line; for a mirror test the reference that is tried, empty for its own choice.
        kind: fetch or mirror test.
        revision: branch, tag or commit for a reference that names none.
        include, exclude, format, variant, quant: selection, as ``FetchOptions``.
        cache_dir: absolute folder instead of the configured hub cache, None for that.
        local_dir: absolute folder that gets real files instead.
    """

    reference: str
    kind: JobKind = JobKind.FETCH
    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: str = "auto"
    variant: str | None = None
    quant: str | None = None
    cache_dir: str | None = None
    local_dir: str | None = None

    @property
    def job_id(self) -> str:
        """Twelve hex digits of what is to be done; short enough to type, and 48 bits tell any queue's jobs apart."""
        return hashlib.sha256(_canonical(asdict(self)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """From whom, where a job says so itself; None is what the run is told.

    Args:
        origin: hub whose listing is believed.
        mirrors: instead of the configured ones; an empty tuple leaves the origin alone.
        trust: ``auto`` or ``strict``.
    """

    origin: str | None = None
    mirrors: tuple[str, ...] | None = None
    trust: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """A task and how urgent it is.

    Args:
        task: what.
        priority: higher goes first.
        deadline: seconds since the epoch by which it should be done, None if it does not matter.
        every: cron expression in the batch's time zone; the job comes back at each of its times. None: once.
        circumstances: from whom.
    """

    task: Task
    priority: int = 0
    deadline: float | None = None
    every: str | None = None
    circumstances: Circumstances = field(default_factory=Circumstances)

    def as_json(self) -> str:
        """Stable text for the queue; ``wish_of`` reads it."""
        return _canonical(asdict(self))


def wish_of(text: str) -> Wish:
    """Read what ``as_json`` wrote.

    Raises:
        ValueError, TypeError, KeyError: it is no such text.
    """
    values: dict[str, Any] = json.loads(text)
    task, around = values.pop("task"), values.pop("circumstances")
    task |= {"kind": JobKind(task["kind"]), "include": tuple(task["include"]), "exclude": tuple(task["exclude"])}
    around |= {"mirrors": None if around["mirrors"] is None else tuple(around["mirrors"])}
    return Wish(Task(**task), circumstances=Circumstances(**around), **values)


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Job:
    """A wish in the queue. Times in seconds since the epoch.

    Args:
        id: of its task.
        wish: what, how urgent, from whom.
        state: where it stands.
        added_at: when it was first wished.
        not_before: it does not run earlier: back-off after a transient failure, or the next time of ``every``.
        failures: transient failures in a row.
        attempts: how often it was begun.
        reason: why it failed last, one line, empty if it did not.
        hint: the next step for a person, empty if there is none.
        exit_code: of the last attempt that ended, None before.
        path: where the result is, None before.
        total_bytes, done_bytes: of the plan, as far as is known.
        ended_at: when it was done, parked or cancelled.
        authenticated: of what is at ``path``: False if only mirrors vouch for it, None if nobody said.
    """

    id: str
    wish: Wish
    state: JobState
    added_at: float
    not_before: float = 0.0
    failures: int = 0
    attempts: int = 0
    reason: str = ""
    hint: str = ""
    exit_code: int | None = None
    path: str | None = None
    total_bytes: int = 0
    done_bytes: int = 0
    ended_at: float | None = None
    authenticated: bool | None = None

    @property
    def came(self) -> bool:
        """True if its last attempt that ended brought what was wished."""
        return self.exit_code == 0 and self.state is not JobState.CANCELLED

    @property
    def failed(self) -> bool:
        """True if its last attempt that ended did not."""
        return self.exit_code not in (0, None)

    @property
    def name(self) -> str:
        """What a person calls it."""
        task = self.wish.task
        at = f"@{task.revision}" if task.revision else ""
        return f"mirrors test {task.reference}".rstrip() if task.kind is JobKind.MIRRORS_TEST else task.reference + at
