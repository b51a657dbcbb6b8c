"""Which of what is in the caches a person means: filters in words, and an order. Pure; the clock is an argument.

A word is ``size>1GB``, ``accessed>30d`` (last read longer ago), ``modified<2w``, ``type=model``, or a pattern of
names (``*`` crosses ``/``); all words must hold, of several patterns and types one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from chunkdl.caches.seen import DATASET, KERNEL, MODEL, PARTIAL, SPACE, TORCH
from chunkdl.core.bandwidth import parse_rate
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chunkdl.caches.seen import CachesSeen, CheckpointSeen, PartialSeen, RepoSeen

KINDS = (MODEL, DATASET, SPACE, KERNEL, TORCH, PARTIAL)
ORDERS = ("name", "size", "accessed", "modified")
_COMPARISON = re.compile(r"(size|accessed|modified)\s*(>=|<=|>|<)\s*(.+)")
_TYPE = re.compile(r"type\s*=\s*(.+)")
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdwy]?)")
_SECONDS = {"s": 1, "": 86_400, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that can be listed and removed: a repository, a checkpoint or a partial."""

    id: str
    kind: str
    name: str
    size: int
    accessed_at: float
    modified_at: float
    what: RepoSeen | CheckpointSeen | PartialSeen


def rows(seen: CachesSeen) -> tuple[Row, ...]:
    """Everything in the caches."""
    repos = (Row(r.id, r.kind, r.repo_id, r.size, r.accessed_at, r.modified_at, r) for r in seen.repos)
    checkpoints = (
        Row(c.id, TORCH, c.name, c.stored.size, c.stored.accessed_at, c.stored.modified_at, c) for c in seen.checkpoints
    )
    partials = (Row(p.id, PARTIAL, p.place, p.size, p.modified_at, p.modified_at, p) for p in seen.partials)
    return (*repos, *checkpoints, *partials)


def choose(found: Iterable[Row], words: Sequence[str], now: float) -> tuple[Row, ...]:
    """The rows that all words hold for.

    Raises:
        UsageError: a word that cannot mean anything.
    """
    tests, types, patterns = [], set(), []
    for word in words:
        if match := _COMPARISON.fullmatch(word.strip()):
            tests.append(_comparison(match, now))
        elif match := _TYPE.fullmatch(word.strip()):
            types.add(_kind(match[1]))
        elif set(word) & set("<>="):
            raise UsageError(f"{word!r} is no filter", hint="write size>1GB, accessed>30d, modified<7d, type=model")
        else:
            patterns.append(word)
    return tuple(
        row
        for row in found
        if all(test(row) for test in tests)
        and (not types or row.kind in types)
        and (not patterns or any(_matches(row, each) for each in patterns))
    )


def _matches(row: Row, pattern: str) -> bool:
    return any(fnmatchcase(each, pattern) for each in (row.id, row.name))


def _comparison(match: re.Match[str], now: float) -> Callable[[Row], bool]:
    field, sign, text = match.groups()
    compare = _COMPARE[sign]
    if field == "size":
        limit = parse_size(text)
        return lambda row: compare(row.size, limit)
    age_s = parse_age(text)
    if field == "accessed":
        return lambda row: compare(now - row.accessed_at, age_s)
    return lambda row: compare(now - row.modified_at, age_s)


def _kind(text: str) -> str:
    kind = text.strip().removesuffix("s")
    if kind not in KINDS:
        raise UsageError(f"type={text}: there is no such type", hint=f"one of {', '.join(KINDS)}")
    return kind


def parse_size(text: str) -> int:
    """Bytes from ``1GB`` (1000-based), ``1.5GiB``, ``200M`` (both 1024-based) or a plain number.

    Raises:
        UsageError: it is no size.
    """
    refusal = UsageError(f"not a size: {text!r}", hint="write 500M, 1GB or 1.5GiB")
    if "bit" in text.lower():
        raise refusal
    try:
        return int(parse_rate(text))
    except UsageError as error:
        raise refusal from error


def parse_age(text: str) -> float:
    """Seconds from ``30d``, ``2w``, ``12h``, ``45m``, ``1y``; a plain number is days.

    Raises:
        UsageError: it is no age.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"not an age: {text!r}", hint="write 30d, 2w, 12h, 45m or 1y")
    return float(match[1]) * _SECONDS[match[2]]


def in_order(found: Iterable[Row], order: str) -> list[Row]:
    """Sorted by ``size``, ``accessed``, ``modified`` (largest and newest first) or ``name``; ``:asc``, ``:desc`` turn.

    Raises:
        UsageError: there is no such order.
    """
    name, _, direction = order.partition(":")
    if name not in ORDERS or direction not in {"", "asc", "desc"}:
        raise UsageError(
            f"--sort {order}: there is no such order", hint=f"one of {', '.join(ORDERS)}, with :asc or :desc"
        )
    keys: dict[str, Callable[[Row], float]] = {
        "size": lambda row: row.size,
        "accessed": lambda row: row.accessed_at,
        "modified": lambda row: row.modified_at,
    }
    by_name = sorted(found, key=lambda row: (KINDS.index(row.kind), row.id), reverse=direction == "desc")
    return by_name if name == "name" else sorted(by_name, key=keys[name], reverse=direction != "asc")
