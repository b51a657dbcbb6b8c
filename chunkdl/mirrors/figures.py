"""The figures of an evaluation as the JSON that scripts rely on, and as what is worth remembering. Pure.

Decides spelling: bytes a second, milliseconds, shares from 0 to 1; keys are only ever added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkdl.mirrors.holding import days_between, lag_in_words
from chunkdl.mirrors.remembered import Seen, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chunkdl.mirrors.holding import Holding
    from chunkdl.mirrors.measures import Trial
    from chunkdl.mirrors.ranking import Ranked
    from chunkdl.model import Mirror


def figures(ranked: Ranked, modified: str) -> dict[str, Any]:
    """One element of ``mirrors[]``; ``commit`` and ``lag`` are those of the first reference, ``repos`` has all."""
    trial = ranked.trial
    first = trial.holdings[0] if trial.holdings else None
    middle, late = trial.ttfb_s
    return {
        "rank": ranked.rank,
        "url": trial.mirror.url,
        "final_host": trial.final_host or None,
        "reachable": trial.reachable,
        "ttfb_ms": {"median": _ms(middle), "p95": _ms(late)},
        "goodput_1": _rate(trial.goodput(several=False)),
        "goodput_n": _rate(trial.goodput(several=True)),
        "failure_rate": round(trial.failure_rate, 4),
        "commit": first.commit if first else None,
        "lag": lag_in_words(first, modified) if first else None,
        "reason": ranked.reason,
        "name": trial.mirror.name,
        "kind": trial.mirror.kind.value,
        "is_origin": trial.mirror.is_origin,
        "tls": trial.tls or None,
        "ranges": trial.ranges,
        "connections": max((each.connections for each in trial.samples), default=0),
        "bytes": sum(each.bytes for each in trial.samples),
        "wrong_ranges": trial.wrong_bytes,
        "errors": [{"message": message, "count": count} for message, count in trial.errors],
        "repos": [_repo(each, modified if index == 0 else "") for index, each in enumerate(trial.holdings)],
        "rounds": _rounds(trial),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _rate(bytes_per_s: float | None) -> float | None:
    return None if bytes_per_s is None else round(bytes_per_s, 1)


def _repo(held: Holding, modified: str) -> dict[str, Any]:
    days = days_between(held.last_modified, modified) if modified and held.last_modified else None
    return {
        "ref": held.reference,
        "has_repo": held.has_repo,
        "commit": held.commit,
        "same_commit": held.same_commit,
        "has_commit": held.has_commit,
        "last_modified": held.last_modified or None,
        "lag_days": None if days is None else round(days, 2),
        "lag": lag_in_words(held, modified),
        "files": {"identical": held.identical, "different": held.different, "absent": held.absent},
        "share": round(held.share, 4),
        "note": held.note or None,
    }


def _rounds(trial: Trial) -> list[dict[str, Any]]:
    numbers = sorted({each.round for each in trial.samples})
    return [
        {"round": number + 1, "goodputs": [_rate(each.goodput) for each in trial.samples if each.round == number]}
        for number in numbers
    ]


def lessons(trials: Iterable[Trial], proxy_of: Callable[[Mirror], str]) -> list[Seen]:
    """What to remember: the rate of one connection to the host that really served, failures, wrong bytes."""
    return [
        Seen(
            Way(each.mirror.url, each.final_host, proxy_of(each.mirror)),
            each.goodput(several=False) or 0.0,
            sum(bool(exchange.error) for exchange in each.exchanges),
            each.wrong_bytes,
        )
        for each in trials
        if each.final_host
    ]
