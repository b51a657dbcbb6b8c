"""What the status page shows of a moment, spelt: plain values, so that the page itself decides nothing but places.

Decides words, order and how much is shown. Pure. Every text may hold what strangers wrote: the page shows texts as
texts and never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkdl.batch.job import JobState
from chunkdl.batch.page.day import day_of
from chunkdl.batch.status import Situation, counts_line, in_order, why, window_words
from chunkdl.spelling import percent, printable, spell_bytes, spell_count, spell_duration, spell_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.moment import JobMoment, Moment
    from chunkdl.observe import HostStatus

# Nobody reads more in a browser, and a message a second stays below some 60 KB.
JOBS_SHOWN = 200
_HOSTS_SHOWN = 32
_NOTICES_SHOWN = 30
_TEXT_CHARACTERS = 300
# A forecast beyond some days is none.
_LONGEST_ETA_S = 7 * 86_400


def view_of(moment: Moment) -> dict[str, Any]:
    """Everything that the page shows at once."""
    situation = Situation(moment.at, moment.policy)
    jobs = [each.job for each in moment.jobs]
    shown = _in_order(moment.jobs)[:JOBS_SHOWN]
    return {
        "at": moment.at,
        "open": moment.open,
        "running": sum(each.state is JobState.RUNNING for each in jobs),
        "window": window_words(situation),
        "limit": _limit(moment),
        "goodput": spell_rate(moment.goodput_bytes_per_s),
        "limit_bytes_per_s": moment.limit_bytes_per_s,
        "counts": counts_line(jobs),
        "total": _total(moment.jobs),
        "day": day_of(moment),
        "jobs": [_job(each, situation) for each in shown],
        "more": len(jobs) - len(shown),
        "hosts": [_host(each) for each in _busiest(moment.hosts)],
        "budgets": [_budget(name, used, moment.policy.budgets.get(name, 0)) for name, used in moment.spent],
        "caps": [_text(f"{name}: at most {spell_rate(cap)}") for name, cap in sorted(moment.policy.caps.items())],
        "notices": [_text(each.message) for each in reversed(moment.notices[-_NOTICES_SHOWN:])],
    }


def sample_of(moment: Moment) -> dict[str, int]:
    """Host → bytes a second, for the plot; hosts that give nothing are left out."""
    return {
        _text(each.host): int(each.rate_bytes_per_s) for each in _busiest(moment.hosts) if each.rate_bytes_per_s > 0
    }


def _text(text: str) -> str:
    return printable(text)[:_TEXT_CHARACTERS]


def _in_order(jobs: Sequence[JobMoment]) -> list[JobMoment]:
    rank = {each.id: at for at, each in enumerate(in_order(each.job for each in jobs))}
    return sorted(jobs, key=lambda each: rank[each.job.id])


def _busiest(hosts: Sequence[HostStatus]) -> list[HostStatus]:
    return sorted(hosts, key=lambda each: (-each.bytes, each.host))[:_HOSTS_SHOWN]


def _limit(moment: Moment) -> str:
    if not moment.limit_bytes_per_s:
        return "none"
    change = moment.policy.rates.next_change(moment.at)
    until = "" if change is None else f" until {Situation(moment.at, moment.policy).near(change)}"
    return f"{spell_rate(moment.limit_bytes_per_s)}{until}"


def _total(jobs: Sequence[JobMoment]) -> dict[str, Any]:
    """Of what is known by size and not given up: jobs without a plan yet would make it jump."""
    counted = [each for each in jobs if each.total_bytes and each.job.state is not JobState.CANCELLED]
    done = sum(_done_bytes(each) for each in counted)
    total = sum(each.total_bytes for each in counted)
    text = f"{spell_bytes(done)} of {spell_bytes(total)}" if total else "no size is known yet"
    return {"percent": percent(done, total) if total else 0, "text": text}


def _done_bytes(each: JobMoment) -> int:
    return each.total_bytes if each.job.state is JobState.DONE else min(each.done_bytes, each.total_bytes)


def _job(each: JobMoment, situation: Situation) -> dict[str, Any]:
    job = each.job
    done = _done_bytes(each)
    share = percent(done, each.total_bytes) if each.total_bytes else 100 if job.state is JobState.DONE else 0
    return {
        "id": job.id,
        "name": _text(job.name),
        "state": job.state.value,
        "percent": share,
        "size": _size(each, done, share),
        "rate": spell_rate(each.rate_bytes_per_s) if job.state is JobState.RUNNING else "",
        "eta": _eta(each, done),
        "why": _why(job, situation),
        "urgency": _urgency(job),
    }


def _why(job: Job, situation: Situation) -> str:
    said = [why(job, situation)]
    if job.state is JobState.PARKED:
        said += [job.hint, f"then: chunkdl batch add {job.id} --again"]
    return "; ".join(_text(each) for each in said if each)


def _size(each: JobMoment, done: int, share: int) -> str:
    if not each.total_bytes:
        return "being planned" if each.job.state is JobState.RUNNING else ""
    if each.job.state is JobState.DONE:
        return spell_bytes(each.total_bytes)
    return f"{spell_bytes(done)} of {spell_bytes(each.total_bytes)}, {share}%"


def _eta(each: JobMoment, done: int) -> str:
    if each.job.state is not JobState.RUNNING or each.rate_bytes_per_s <= 0 or not each.total_bytes:
        return ""
    left_s = (each.total_bytes - done) / each.rate_bytes_per_s
    return f"{spell_duration(left_s)} left" if left_s < _LONGEST_ETA_S else "more than a week left"


def _urgency(job: Job) -> str:
    said = [f"priority {job.wish.priority}"] if job.wish.priority else []
    said += [f"every {job.wish.every}"] if job.wish.every else []
    return ", ".join(said)


def _host(host: HostStatus) -> dict[str, Any]:
    return {
        "host": _text(host.host),
        "mirrors": _text(", ".join(host.mirrors)),
        "rate": spell_rate(host.rate_bytes_per_s),
        "bytes": spell_bytes(host.bytes),
        "connections": host.connections,
        "errors": spell_count(host.errors, "error") if host.errors else "",
        "state": host.state,
    }


def _budget(name: str, used: int, budget: int) -> dict[str, Any]:
    text = f"{spell_bytes(used)} of {spell_bytes(budget)} today"
    return {"name": _text(name), "percent": percent(used, budget), "text": text, "spent": used >= budget}
