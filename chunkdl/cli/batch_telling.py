"""``chunkdl batch log``, ``cancel`` and ``report``: what the queue remembers, told.

Decides words of the log; those of the report are ``batch.report_markdown``'s.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chunkdl.batch.instants import since as parse_since
from chunkdl.batch.instants import spell_instant
from chunkdl.batch.job import JobState
from chunkdl.batch.report_markdown import markdown
from chunkdl.batch.reporting import balance_of, report_values
from chunkdl.batch.status import Situation, progress, values_of, why
from chunkdl.cli.answering import Answer, answer
from chunkdl.cli.batch_sight import looking
from chunkdl.observe import Notice
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.batch.job import Job
    from chunkdl.batch.queue import Attempt
    from chunkdl.cli.batch_sight import Sight
    from chunkdl.cli.surroundings import Surroundings

_Files = tuple[tuple[str, int, str, str], ...]


def log(around: Surroundings, name: str, *, as_json: bool) -> int:
    """Print everything about one job; the exit code."""
    return answer(around, lambda: _log(around, name), as_json=as_json, empty={"job": None, "attempts": [], "files": []})


def _log(around: Surroundings, name: str) -> Answer:
    with looking(around) as sight:
        queue = sight.asked()
        job = queue.find(name)
        attempts, files = queue.attempts(job.id), queue.files(job.id)
    values = {
        "job": values_of(job),
        "attempts": [asdict(each) for each in attempts],
        "files": [dict(zip(("path", "size", "digest", "source"), each, strict=True)) for each in files],
    }
    situation = Situation(sight.now, sight.standing.policy)
    lines = [*_of_job(job, situation), *_of_attempts(attempts, situation), *_of_files(files)]
    return Answer(values, [printable(each) for each in lines], sight.standing.notices)


def _of_job(job: Job, situation: Situation) -> Iterator[str]:
    yield f"{job.name}  {job.id}"
    comes = why(job, situation)
    yield f"  {job.state}, priority {job.wish.priority}{f': {comes}' if comes else ''}"
    if job.hint and job.state is not JobState.DONE:
        yield f"  hint: {job.hint}"
    said = {key: value for key, value in asdict(job.wish.task).items() if value and key not in {"reference", "kind"}}
    if job.wish.task.format == "auto":
        del said["format"]
    for key, value in said.items():
        yield f"  {key.replace('_', '-')}: {' '.join(value) if isinstance(value, tuple) else value}"
    if job.wish.every:
        yield f"  every: {job.wish.every}"
    if job.total_bytes:
        yield f"  progress: {progress(job)}"
    yield f"  queued: {spell_instant(job.added_at, situation.policy.zone)}"


def _of_attempts(attempts: tuple[Attempt, ...], situation: Situation) -> Iterator[str]:
    for number, each in enumerate(attempts, start=1):
        began = spell_instant(each.began_at, situation.policy.zone)
        took = "" if each.ended_at is None else f", {spell_duration(max(0.0, each.ended_at - each.began_at))}"
        yield f"attempt {number}: {began}{took}: {_how_it_ended(each)}"
        for host in each.hosts:
            by = f" ({', '.join(host.mirrors)})" if host.mirrors else ""
            errors = f", {spell_count(host.errors, 'error')}" if host.errors else ""
            yield f"  {host.host}{by}: {spell_bytes(host.bytes)}{errors}, {host.state}"


def _how_it_ended(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return "under way"
    fetched = f"{spell_bytes(attempt.bytes_fetched)} fetched"
    wasted = f", {spell_bytes(attempt.bytes_wasted)} in vain" if attempt.bytes_wasted else ""
    code = "stopped" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
    how = "done" if attempt.exit_code == 0 else f"{code}: {attempt.reason}" if attempt.reason else code
    return f"{how}; {fetched}{wasted}"


def _of_files(files: _Files) -> Iterator[str]:
    if files:
        yield f"placed: {spell_count(len(files), 'file')}, {spell_bytes(sum(size for _, size, _, _ in files))}"
    for path, size, digest, source in files:
        yield f"  {path}  {spell_bytes(size)}  {digest}  from the {source}"


def cancel(around: Surroundings, names: tuple[str, ...], *, as_json: bool) -> int:
    """Cancel every job that is named, or none of them if one of the names is none; the exit code."""
    return answer(around, lambda: _cancel(around, names), as_json=as_json, empty={"cancelled": []})


def _cancel(around: Surroundings, names: tuple[str, ...]) -> Answer:
    with looking(around) as sight:
        queue = sight.asked()
        found = {each.id: each for each in map(queue.find, names)}
        over = [each for each in found.values() if each.state in {JobState.DONE, JobState.CANCELLED}]
        cancelled = [queue.cancel(each.id, sight.now) for each in found.values() if each not in over]
    notices = [Notice("over", f"{printable(each.name)} ({each.id}) is {each.state} already") for each in over]
    ran = [each for each in cancelled if found[each.id].state is JobState.RUNNING]
    notices += [Notice("stops", f"{printable(each.name)} runs: it stops within seconds") for each in ran]
    lines = [f"{each.id}\t{printable(each.name)}\tcancelled" for each in cancelled]
    notes = ["what they fetched stays; chunkdl batch add REF queues one again"] if cancelled else []
    return Answer({"cancelled": [values_of(each) for each in cancelled]}, lines, notices, notes=notes)


def report(around: Surroundings, when: str, *, as_json: bool) -> int:
    """Print the report; the exit code."""
    empty: dict[str, Any] = {"since": None, "until": None, "came": [], "failed": [], "waiting": [], "hosts": []}
    return answer(around, lambda: _report(around, when), as_json=as_json, empty={**empty, "totals": None})


def _report(around: Surroundings, when: str) -> Answer:
    with looking(around) as sight:
        begin = parse_since(when, sight.now, sight.standing.policy.zone)
        balance = balance_of((begin, sight.now), *_remembered(sight, begin))
    situation = Situation(sight.now, sight.standing.policy)
    return Answer(report_values(balance), markdown(balance, situation), sight.standing.notices)


def _remembered(sight: Sight, begin: float) -> tuple[Any, ...]:
    if sight.queue is None:
        return (), (), (), {}
    attempts = sight.queue.attempts(since=begin)
    files = {each: sight.queue.files(each) for each in dict.fromkeys(one.job_id for one in attempts)}
    return sight.queue.jobs(), attempts, sight.queue.traffic(begin), files
