"""Which mirror is better, and why, in words. Pure: trials in, an order with reasons out.

Decides by what a fetch gets: bytes a second of *this* content, failures subtracted. A fast mirror of another commit
brings nothing; one without ranges comes last among those that serve; wrong bytes put a mirror behind all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.spelling import spell_count, spell_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.mirrors.measures import Trial

# A mirror with less than this of the bytes holds another commit's files, a licence and a README aside.
_LEAST_SHARE = 0.01
# Two rates this close are one rate: single runs on one link differ by some percent.
_SAME_RATE = 0.05
# Slower than this against the best is worth a number of its own.
_MUCH_SLOWER = 1.25
_WORST_SHOWN = 2  # kinds of failure that a reason names


@dataclass(frozen=True, slots=True)
class Ranked:
    """A trial with its place (1 is best) and the reason for it."""

    rank: int
    trial: Trial
    reason: str


def effective_rate(trial: Trial) -> float:
    """Bytes a second of the wanted content that a fetch would get from this mirror, failures subtracted."""
    return trial.best_goodput * (1 - trial.failure_rate) * share_of(trial)


def share_of(trial: Trial) -> float:
    """The mean share of the wanted bytes that it holds."""
    held = [each.share for each in trial.holdings]
    return sum(held) / len(held) if held else 0.0


def rank(trials: Sequence[Trial]) -> tuple[Ranked, ...]:
    """Best first; equals stay in the order given."""
    ordered = sorted(trials, key=lambda each: (_class(each), -effective_rate(each), -each.best_goodput))
    best = ordered[0] if ordered and _class(ordered[0]) == 0 else None
    return tuple(Ranked(place, each, _reason(each, best, ordered)) for place, each in enumerate(ordered, start=1))


def _class(trial: Trial) -> int:
    if not trial.reachable:
        return 5
    if trial.wrong_bytes:
        return 4
    if not trial.best_goodput:
        return 3
    if share_of(trial) < _LEAST_SHARE:
        return 2
    return 0 if trial.ranges else 1


def _reason(trial: Trial, best: Trial | None, everyone: Sequence[Trial]) -> str:
    if not trial.reachable:
        return f"unreachable: {_first_note(trial) or 'no answer'}"
    parts = [_speed(trial, best), *_flaws(trial), *_neighbours(trial, everyone)]
    return "; ".join(filter(None, parts))


def _speed(trial: Trial, best: Trial | None) -> str:
    if not trial.best_goodput:
        return f"delivered nothing: {_first_note(trial) or 'no bytes in time'}"
    width = max((each.connections for each in trial.samples if each.goodput), default=1)
    said = f"{spell_rate(trial.best_goodput)} over up to {spell_count(width, 'connection')}"
    if best is None or trial is best:
        return f"fastest: {said}" if trial is best else said
    mine, theirs = effective_rate(trial), effective_rate(best)
    if share_of(trial) < _LEAST_SHARE:
        return said
    if abs(theirs - mine) <= _SAME_RATE * theirs:
        return f"{said}, as fast as {best.mirror.name}"
    if theirs < mine:  # a class behind although faster: the flaws say why
        return said
    times = theirs / mine
    return f"{said}, {times:.1f} times slower than {best.mirror.name}" if times >= _MUCH_SLOWER else said


def _flaws(trial: Trial) -> list[str]:
    flaws = []
    if trial.wrong_bytes:
        flaws.append(f"gave wrong bytes in {spell_count(trial.wrong_bytes, 'range')}")
    if trial.ranges is False:
        flaws.append("does not honour ranges: one stream at most")
    if trial.failure_rate and trial.exchanges:
        failed = sum(bool(each.error) for each in trial.exchanges)
        shown = ", ".join(error for error, _ in trial.errors[:_WORST_SHOWN])
        flaws.append(f"{failed} of {spell_count(len(trial.exchanges), 'request')} failed ({shown})")
    share = share_of(trial)
    if trial.best_goodput and share < 1:
        flaws.append(
            "holds next to nothing of this commit"
            if share < _LEAST_SHARE
            else f"holds {int(share * 100)}% of the bytes"
        )
    return flaws


def _neighbours(trial: Trial, everyone: Sequence[Trial]) -> list[str]:
    if not trial.final_host:
        return []
    others = [each.mirror.name for each in everyone if each is not trial and each.final_host == trial.final_host]
    return [f"its bytes come from the same host as those of {', '.join(others)}: they count once"] if others else []


def _first_note(trial: Trial) -> str:
    notes = [each.note for each in trial.holdings if each.note] + [error for error, _ in trial.errors]
    return notes[0] if notes else ""
