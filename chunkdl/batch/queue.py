"""The queue of jobs: what is wished, how far it is, what came of each attempt.

Decides how a job moves between its states, each move one transaction, so that a kill at any moment leaves every
job in exactly one. Deliberately runs nothing and knows no windows. One thread at a time; the clock is an argument.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chunkdl.batch.database import open_database, told, transaction
from chunkdl.batch.job import Job, JobState, wish_of
from chunkdl.batch.outcomes import HostBytes, pause_s
from chunkdl.errors import ArtifactNotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from chunkdl.batch.job import Wish
    from chunkdl.batch.outcomes import Outcome

QUEUE_FILE = "batch.sqlite"
_COLUMNS = (
    "id, wish, state, added_at, not_before, failures, attempts, reason, hint, exit_code, path, total_bytes, "
    "done_bytes, ended_at, authenticated"
)
# What runs first: the user's order, then whatever is due first, then whoever came first.
_IN_ORDER = "ORDER BY priority DESC, deadline IS NULL, deadline, added_at, id"
# Traffic is kept by the quarter of an hour: fine enough for "since yesterday", 35,000 rows a host and year.
SLOT_S = 900
_ENDED = (JobState.DONE, JobState.PARKED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Added:
    """What adding a wish did: a new job, a change of an old one (``changed`` names what), or nothing."""

    job: Job
    new: bool
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a job was begun. ``ended_at`` is None while it runs, or if its runner was killed."""

    number: int
    job_id: str
    began_at: float
    ended_at: float | None
    exit_code: int | None
    reason: str
    bytes_fetched: int
    bytes_wasted: int
    hosts: tuple[HostBytes, ...] = ()


@dataclass(frozen=True, slots=True)
class HostTraffic:
    """What one final data host gave in some time, and during how many seconds of it something came."""

    host: str
    mirrors: tuple[str, ...]
    bytes: int
    active_s: float


class Queue:
    """The jobs in the file at ``path``; a context manager that closes it. Methods raise ``StoreError``."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it."""
        self.path = path
        self._database = open_database(path)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Give the file back; harmless twice."""
        self._database.close()

    # -- wishes ----------------------------------------------------------------------------------

    def add(self, wish: Wish, now: float, *, not_before: float = 0.0) -> Added:
        """Wish something; wishing it again updates urgency and circumstances, and revives what has ended badly.

        A job that is done stays done: fetching again is a wish of its own (``retry``).
        """
        job_id = wish.task.job_id
        with told(self.path), transaction(self._database):
            old = self._find(job_id)
            if old is None:
                self._write(
                    "INSERT INTO jobs (id, wish, priority, deadline, state, added_at, not_before) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (job_id, wish.as_json(), wish.priority, wish.deadline, JobState.WAITING, now, not_before),
                )
                return Added(self._get(job_id), new=True)
            changed = _differences(old.wish, wish)
            self._write(
                "UPDATE jobs SET wish = ?, priority = ?, deadline = ? WHERE id = ?",
                (wish.as_json(), wish.priority, wish.deadline, job_id),
            )
            if old.state in {JobState.PARKED, JobState.CANCELLED}:
                self._revive(job_id, not_before)
                changed = (*changed, f"no longer {old.state}")
            return Added(self._get(job_id), new=False, changed=changed)

    def retry(self, job_id: str, now: float) -> Job:
        """Let a job that has ended run again from ``now`` on, or one that backs off at once."""
        with told(self.path), transaction(self._database):
            self._revive(job_id, now)
            return self._get(job_id)

    def cancel(self, job_id: str, now: float) -> Job:
        """It does not run any more; what it fetched stays. Whoever runs it looks and stops."""
        with told(self.path), transaction(self._database):
            self._write(
                "UPDATE jobs SET state = ?, ended_at = ? WHERE id = ? AND state NOT IN ('done', 'cancelled')",
                (JobState.CANCELLED, now, job_id),
            )
            return self._get(job_id)

    # -- looking ---------------------------------------------------------------------------------

    def jobs(self, states: Collection[JobState] = tuple(JobState)) -> tuple[Job, ...]:
        """All jobs in any of ``states``, the most urgent first."""
        marks = ", ".join("?" * len(states))
        with told(self.path):
            rows = self._read(f"SELECT {_COLUMNS} FROM jobs WHERE state IN ({marks}) {_IN_ORDER}", tuple(states))
            return tuple(map(_job, rows))

    def find(self, name: str) -> Job:
        """The job whose id begins with ``name``, or whose reference it is.

        Raises:
            ArtifactNotFound: there is none.
            UsageError: there are several; the message lists them.
        """
        jobs = self.jobs()
        found = [each for each in jobs if each.id.startswith(name) or name in (each.wish.task.reference, each.name)]
        if not found:
            raise ArtifactNotFound(f"no job {name!r} in the queue", hint="chunkdl batch status lists them")
        if len(found) > 1:
            ids = ", ".join(f"{each.id} ({each.name})" for each in found[:8])
            raise UsageError(f"{name!r} may be {len(found)} jobs: {ids}", hint="give the id")
        return found[0]

    def runnable(self, now: float) -> tuple[Job, ...]:
        """Jobs that may begin now, the most urgent first."""
        return tuple(each for each in self.jobs((JobState.WAITING,)) if each.not_before <= now)

    def job(self, job_id: str) -> Job:
        """The one of that id; ``ArtifactNotFound`` if there is none."""
        with told(self.path):
            return self._get(job_id)

    def attempts(self, job_id: str | None = None, since: float = 0.0) -> tuple[Attempt, ...]:
        """Attempts that had not ended by ``since``, oldest first; of one job or of all."""
        where = "WHERE (ended_at IS NULL OR ended_at >= ?)" + (" AND job = ?" if job_id else "")
        values = (since, job_id) if job_id else (since,)
        names = "number, job, began_at, ended_at, exit_code, reason, bytes_fetched, bytes_wasted"
        with told(self.path):
            rows = self._read(f"SELECT {names} FROM attempts {where} ORDER BY number", values)
            return tuple(replace(Attempt(*row), hosts=tuple(self._hosts(row[0]))) for row in rows)

    def files(self, job_id: str) -> tuple[tuple[str, int, str, str], ...]:
        """Path, size, digest and source of everything that a job has placed."""
        with told(self.path):
            rows = self._read("SELECT path, size, digest, source FROM files WHERE job = ? ORDER BY path", (job_id,))
            return tuple(rows)

    # -- running ---------------------------------------------------------------------------------

    def recover(self, now: float) -> tuple[Job, ...]:
        """What a runner that was killed left behind waits again; only for whoever holds the runner's lock."""
        with told(self.path), transaction(self._database):
            left = tuple(map(_job, self._read(f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running'")))
            self._write("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")
            self._write(
                "UPDATE attempts SET ended_at = ?, reason = 'the runner was killed' WHERE ended_at IS NULL", (now,)
            )
            return left

    def set_times(self, times: Mapping[str, float]) -> None:
        """Let waiting jobs (by id) run from other times on."""
        with told(self.path), transaction(self._database):
            for job_id, not_before in times.items():
                self._write("UPDATE jobs SET not_before = ? WHERE id = ? AND state = 'waiting'", (not_before, job_id))

    def begin(self, job_id: str, now: float) -> int | None:
        """Mark it running; the attempt's number, or None if it was cancelled meanwhile."""
        with told(self.path), transaction(self._database):
            taken = self._write(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1 WHERE id = ? AND state = 'waiting'",
                (job_id,),
            )
            return (
                self._write("INSERT INTO attempts (job, began_at) VALUES (?, ?)", (job_id, now))[1]
                if taken[0]
                else None
            )

    def note_progress(self, job_id: str, done_bytes: int, total_bytes: int) -> bool:
        """Keep how far a running job is, once its size is known; False if it was cancelled and should stop."""
        runs = self.job(job_id).state is JobState.RUNNING
        if total_bytes:
            with told(self.path), transaction(self._database):
                self._write(
                    "UPDATE jobs SET done_bytes = ?, total_bytes = ? WHERE id = ?", (done_bytes, total_bytes, job_id)
                )
        return runs

    def finish(
        self, attempt: int, outcome: Outcome, now: float, *, jitter: float = 0.5, again_at: float | None = None
    ) -> Job:
        """Write down how an attempt ended, and where that leaves the job; once only.

        ``jitter`` in [0, 1) spreads the pause after a transient failure. ``again_at`` brings a job that is done, or
        parked, back at that time.
        """
        with told(self.path), transaction(self._database):
            (job_id,) = self._read("SELECT job FROM attempts WHERE number = ?", (attempt,))[0]
            ended = self._write(
                "UPDATE attempts SET ended_at = ?, exit_code = ?, reason = ?, bytes_fetched = ?, bytes_wasted = ? "
                "WHERE number = ? AND ended_at IS NULL",
                (now, outcome.exit_code, outcome.reason, outcome.bytes_fetched, outcome.bytes_wasted, attempt),
            )
            if ended[0]:
                self._keep_parts(job_id, attempt, outcome)
                self._settle(self._get(job_id), outcome, now, jitter, again_at)
            return self._get(job_id)

    # -- bytes a mirror ------------------------------------------------------------------------------

    def book(self, day: str, at: float, mirrors: Mapping[str, int], hosts: Sequence[HostTraffic]) -> None:
        """Book what came: by mirror for the budgets of ``day`` (as 2026-11-22), by host for reports, at ``at``."""
        slot = int(at // SLOT_S * SLOT_S)
        with told(self.path), transaction(self._database):
            for mirror, count in mirrors.items():
                self._write(
                    "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
                    (day, mirror, count),
                )
            for each in hosts:
                self._write(
                    "INSERT INTO traffic VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "bytes = bytes + excluded.bytes, active_s = active_s + excluded.active_s",
                    (slot, each.host, json.dumps(each.mirrors), each.bytes, each.active_s),
                )

    def spent(self, day: str) -> dict[str, int]:
        """Mirror → bytes that it gave on ``day``."""
        with told(self.path):
            return dict(self._read("SELECT mirror, bytes FROM spent WHERE day = ?", (day,)))

    def traffic(self, since: float = 0.0) -> tuple[HostTraffic, ...]:
        """What each host gave since ``since``, to a quarter of an hour; the most generous first."""
        sums = "host, max(mirrors), sum(bytes), sum(active_s)"
        with told(self.path):
            rows = self._read(
                f"SELECT {sums} FROM traffic WHERE slot >= ? GROUP BY host ORDER BY sum(bytes) DESC, host",
                (since // SLOT_S * SLOT_S,),
            )
            return tuple(HostTraffic(host, tuple(json.loads(mirrors)), *sums_) for host, mirrors, *sums_ in rows)

    # -- policy ------------------------------------------------------------------------------------

    def keep_policy(self, text: str) -> None:
        """Remember the policy that came with the last manifest, in whatever form its reader wrote it."""
        with told(self.path), transaction(self._database):
            self._write("INSERT OR REPLACE INTO policy VALUES ('manifest', ?)", (text,))

    def policy(self) -> str | None:
        """What ``keep_policy`` was given last."""
        with told(self.path):
            rows = self._read("SELECT value FROM policy WHERE name = 'manifest'")
            return str(rows[0][0]) if rows else None

    # -- within a transaction ----------------------------------------------------------------------

    def _revive(self, job_id: str, not_before: float) -> None:
        self._write(
            "UPDATE jobs SET state = 'waiting', not_before = ?, failures = 0, reason = '', hint = '', "
            "exit_code = NULL, ended_at = NULL WHERE id = ? AND state != 'running'",
            (not_before, job_id),
        )

    def _keep_parts(self, job_id: str, attempt: int, outcome: Outcome) -> None:
        for each in outcome.hosts:
            host = (attempt, each.host, json.dumps(each.mirrors), each.bytes, each.errors, each.state)
            self._write("INSERT INTO hosts VALUES (?, ?, ?, ?, ?, ?)", host)
        for file in outcome.files:
            placed = (job_id, file.path, file.size, file.digest, file.source, attempt)
            self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", placed)

    def _settle(self, job: Job, outcome: Outcome, now: float, jitter: float, again_at: float | None) -> None:
        if job.state is not JobState.RUNNING:
            return  # cancelled while it ran: that stands
        state, not_before, failures = JobState.WAITING, 0.0, 0
        if outcome.stopped:
            failures = job.failures
        elif outcome.transient:
            failures = job.failures + 1
            not_before = now + pause_s(failures, jitter)
        elif again_at is not None:
            not_before = again_at
        else:
            state = JobState.DONE if outcome.done else JobState.PARKED
        self._write(
            "UPDATE jobs SET state = ?, not_before = ?, failures = ?, reason = ?, hint = ?, exit_code = ?, "
            "path = coalesce(?, path), ended_at = ?, authenticated = coalesce(?, authenticated) WHERE id = ?",
            (
                state, not_before, failures, outcome.reason, outcome.hint, outcome.exit_code, outcome.path,
                now if state in _ENDED else None, outcome.authenticated, job.id,
            ),
        )  # fmt: skip

    def _find(self, job_id: str) -> Job | None:
        rows = self._read(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    def _get(self, job_id: str) -> Job:
        found = self._find(job_id)
        if found is None:
            raise ArtifactNotFound(f"no job {job_id!r} in the queue", hint="chunkdl batch status lists them")
        return found

    def _hosts(self, attempt: int) -> Iterator[HostBytes]:
        names = "host, mirrors, bytes, errors, state"
        for row in self._read(f"SELECT {names} FROM hosts WHERE attempt = ? ORDER BY host", (attempt,)):
            host, mirrors, *counts = row
            yield HostBytes(host, tuple(json.loads(mirrors)), *counts)

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    def _write(self, statement: str, values: Sequence[Any] = ()) -> tuple[int, int]:
        """Rows that it changed, and the number of the row that it added."""
        cursor = self._database.execute(statement, values)
        return cursor.rowcount, cursor.lastrowid or 0


def _job(row: Sequence[Any]) -> Job:
    job_id, wish, state, *rest, authenticated = row
    known = None if authenticated is None else bool(authenticated)  # SQLite has no truth of its own
    return replace(Job(job_id, wish_of(wish), JobState(state), *rest), authenticated=known)


def _differences(old: Wish, new: Wish) -> tuple[str, ...]:
    names = ("priority", "deadline", "every", "circumstances")
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))
