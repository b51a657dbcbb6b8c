"""The tables of ``chunkdl mirrors test``: the ranking with its reasons, and who has what.

Decides columns and words for people; programs get the same as JSON (``mirrors.figures``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.cli.answering import table
from chunkdl.identify.vouching import short
from chunkdl.mirrors.coverage import State
from chunkdl.mirrors.holding import lag_in_words
from chunkdl.spelling import printable, spell_rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.mirrors.coverage import Cell, Row
    from chunkdl.mirrors.holding import Holding
    from chunkdl.mirrors.ranking import Ranked

_INDENT = "    "
_HEADING = ("RANK", "MIRROR", "FINAL HOST", "TTFB", "P95", "1 CONN", "N CONN", "FAILED", "TLS", "RANGES", "COMMIT")


def ranking_lines(ranked: Sequence[Ranked], modified: str) -> Iterator[str]:
    """A row a mirror, best first; below it the reason, and how each repository there differs."""
    if not ranked:
        return
    heading, *rows = table([_HEADING, *map(_row, ranked)])
    yield heading
    for row, each in zip(rows, ranked, strict=True):
        yield row
        yield f"{_INDENT}{printable(each.reason)}"
        for index, held in enumerate(each.trial.holdings if each.trial.reachable else ()):
            if told := _held(held, modified if index == 0 else ""):
                yield f"{_INDENT}{printable(told)}"


def _row(ranked: Ranked) -> tuple[str, ...]:
    trial = ranked.trial
    middle, late = trial.ttfb_s
    ranges = {True: "yes", False: "no", None: "-"}[trial.ranges]
    first = trial.holdings[0] if trial.holdings else None
    return (
        str(ranked.rank),
        printable(trial.mirror.name),
        printable(trial.final_host) or "-",
        _milliseconds(middle),
        _milliseconds(late),
        _rate(trial.goodput(several=False)),
        _rate(trial.goodput(several=True)),
        f"{trial.failure_rate:.0%}",
        trial.tls or ("none" if trial.final_host else "-"),
        ranges,
        _commit(first),
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def _rate(bytes_per_s: float | None) -> str:
    return "-" if bytes_per_s is None else spell_rate(bytes_per_s)


def _commit(held: Holding | None) -> str:
    if held is None or held.commit is None:
        return "absent" if held is not None and held.has_repo is False else "-"
    return "same" if held.same_commit else short(held.commit)


def _held(held: Holding, modified: str) -> str:
    said = lag_in_words(held, modified) or held.note
    return f"{held.reference}: {said}" if said else ""


def coverage_lines(rows: Sequence[Row]) -> list[str]:
    """The matrix: a row a repository, a column a source, and how many each has at the origin's commit."""
    if not rows:
        return []
    names = list(rows[0].cells)
    heading = ("REPOSITORY", *(printable(name) for name in names))
    body = [(printable(row.reference), *(_cell(row.cells[name]) for name in names)) for row in rows]
    return table([heading, *body, ("same or there", *(_count(rows, name) for name in names))])


def _cell(cell: Cell) -> str:
    if cell.state is not State.OTHER:
        return cell.state.value
    when = printable(cell.modified.partition("T")[0])
    return f"other, {when}" if when else f"other, {short(cell.commit)}"


def _count(rows: Sequence[Row], name: str) -> str:
    good = {State.SAME, State.THERE, State.SAME_FILES}
    return f"{sum(row.cells[name].state in good for row in rows)} of {len(rows)}"
