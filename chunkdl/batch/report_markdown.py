"""A report as Markdown, for a mail or a log book.

Decides layout and words. Names and reasons come from strangers' servers: nothing in them may break a table, be a link
or be markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from chunkdl.batch.instants import spell_instant
from chunkdl.batch.job import JobState
from chunkdl.batch.reporting import by_mirror, goodput
from chunkdl.batch.status import progress, why, zone_name
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.batch.job import Job
    from chunkdl.batch.reporting import Balance
    from chunkdl.batch.status import Situation

_MARKUP = re.compile(r"([\\`*_\[\]<>|~&])")
_SEVERAL = 2


def markdown(balance: Balance, situation: Situation) -> list[str]:
    """The lines of it."""
    zone = situation.policy.zone
    period = f"{spell_instant(balance.since, zone)} to {spell_instant(balance.until, zone)}"
    return [
        f"# chunkdl batch, {period} ({_plain(zone_name(situation.policy))})",
        "",
        _summary(balance),
        *_came(balance, situation),
        *_hosts(balance, situation),
        *_failed(balance, situation),
        *_waits(balance, situation),
    ]


def _summary(balance: Balance) -> str:
    said = [f"{spell_count(len(balance.came), 'job')} came, {spell_bytes(balance.placed)} in place"]
    said.append(f"{spell_bytes(balance.received)} received")
    said += [f"{spell_bytes(balance.wasted)} of it in vain"] if balance.wasted else []
    said += [f"{len(balance.troubles)} failed"] if balance.troubles else []
    said.append(f"{len(balance.waiting)} to come" if balance.waiting else "nothing waits")
    return f"{'; '.join(said)}."


def _came(balance: Balance, situation: Situation) -> Iterator[str]:
    if not balance.came:
        return
    rows = [
        (
            spell_instant(each.at, situation.policy.zone),
            _plain(each.job.name) + (", not authenticated" if each.job.authenticated is False else ""),
            str(each.files),
            spell_bytes(each.size),
            spell_bytes(each.bytes_fetched),
            _code(each.job.path or ""),
        )
        for each in balance.came
    ]
    files, fetched = sum(each.files for each in balance.came), sum(each.bytes_fetched for each in balance.came)
    total = ("", "**together**", str(files), spell_bytes(balance.placed), spell_bytes(fetched), "")
    heads = ("when", "what", "files:", "size:", "fetched:", "where")
    yield from _section("What came", heads, rows, total)


def _hosts(balance: Balance, situation: Situation) -> Iterator[str]:
    if not balance.hosts:
        return
    rows = [
        (_plain(each.host), _plain(", ".join(each.mirrors)), spell_bytes(each.bytes), spell_rate(goodput(each)))
        for each in balance.hosts
    ]
    total = ("**together**", "", spell_bytes(balance.received), "")
    yield from _section("Who gave it", ("host", "by way of", "bytes:", "goodput:"), rows, total)
    ways = by_mirror(balance.hosts)
    if len(balance.hosts) > len(ways) >= _SEVERAL:
        yield ""
        yield f"By mirror: {'; '.join(f'{_plain(name)} {spell_bytes(count)}' for name, count in ways)}."
    yield ""
    yield _difference(balance, situation)


def _difference(balance: Balance, situation: Situation) -> str:
    """How bytes by host and bytes by attempt hang together."""
    began = spell_instant(balance.counted_since, situation.policy.zone)
    said = f"Counted from {began} on; goodput while something came. "
    said += f"Attempts that ended account for {spell_bytes(balance.fetched)}"
    if balance.elsewhere > 0:
        return f"{said}, killed ones and those under way for {spell_bytes(balance.elsewhere)}."
    if balance.elsewhere < 0:
        return f"{said}, {spell_bytes(-balance.elsewhere)} of it from before."
    return f"{said}, all of it."


def _failed(balance: Balance, situation: Situation) -> Iterator[str]:
    if not balance.troubles:
        return
    rows = [
        (
            spell_instant(each.at, situation.policy.zone),
            _plain(each.job.name),
            str(each.times),
            _plain(each.reason or f"exit code {each.exit_code}"),
            _next_step(each.job, situation),
        )
        for each in balance.troubles
    ]
    yield from _section("What failed", ("when", "what", "times:", "why", "next"), rows)


def _next_step(job: Job, situation: Situation) -> str:
    if job.state is JobState.PARKED:
        return f"{_plain(job.hint) or 'parked: see why'}; then `chunkdl batch add {job.id} --again`"
    comes = _plain(why(job, situation))
    return f"{job.state}: {comes}" if comes else str(job.state)


def _waits(balance: Balance, situation: Situation) -> Iterator[str]:
    if not balance.waiting:
        return
    rows = [(_plain(each.name), each.state, progress(each), _plain(why(each, situation))) for each in balance.waiting]
    yield from _section("What waits", ("what", "state", "so far", "why"), rows)


def _section(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] = ()
) -> Iterator[str]:
    """A table; a heading that ends in a colon stands over numbers."""
    yield from ("", f"## {title}", "")
    yield _line([each.rstrip(":") for each in heads])
    yield _line(["---:" if each.endswith(":") else "---" for each in heads])
    yield from map(_line, rows)
    if total:
        yield _line(total)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """``text`` as it is, whatever it holds; a bare address stays one, which is what readers make links of."""
    return _MARKUP.sub(r"\\\1", printable(text))


def _code(path: str) -> str:
    """A path, to be copied; one with a backtick or a bar in it is escaped instead."""
    shown = printable(path)
    return f"`{shown}`" if shown and not set("`|") & set(shown) else _plain(shown)
