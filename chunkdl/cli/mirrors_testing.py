"""``chunkdl mirrors test``: says what it may cost, measures, ranks, remembers, and prints.

Decides the order of output and what a run without references means. Every way it can end is one answer, so that
``--json`` prints exactly one object whatever happened.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.cli.answering import Answer, answer_stoppably
from chunkdl.cli.display import open_display
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.cli.mirrors_tables import coverage_lines, ranking_lines
from chunkdl.cli.running import run_or_raise
from chunkdl.core.bandwidth import parse_rate
from chunkdl.errors import OfflineMiss, UsageError
from chunkdl.http.client import HttpClient
from chunkdl.http.proxies import proxy_of
from chunkdl.identify.known import Known
from chunkdl.identify.references import parse_repository
from chunkdl.mirrors.coverage import Row, State, cover
from chunkdl.mirrors.evaluation import Bounds, Circumstances, Evaluation, evaluate
from chunkdl.mirrors.figures import figures, lessons
from chunkdl.mirrors.memory import Memory, load_memory
from chunkdl.mirrors.plot import check_plot, draw
from chunkdl.mirrors.ranking import Ranked, rank
from chunkdl.settings import Flags, Settings, load_settings, mirror_at
from chunkdl.settings.registry import KNOWN_MIRRORS, OTHER_HUBS, is_public_hub
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.cli.stopping import Stopping
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.model import Reference
    from chunkdl.observe import Notice
    from chunkdl.progress_lines import Display

# What everybody has and everybody knows: small files, and 440 MB in one.
DEFAULT_REFERENCE = "bert-base-uncased"
_MAX_COVERED = 1000  # repositories in one matrix: a question a mirror each
_MAX_LIST_BYTES = 1 << 20
_SUCCESS, _NONE_DELIVERS = 0, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TestWishes:
    """What was typed; names are those of the options."""

    references: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    add_mirrors: tuple[str, ...] = ()
    everyone: bool = False
    no_mirrors: bool = False
    origin: str | None = None
    online: bool = False
    rounds: int = 3
    max_bytes: str = "64M"
    max_time_s: float = 120.0
    connections: int = 4
    coverage: str | None = None
    plot: str | None = None
    as_json: bool = False
    quiet: bool = False


def measure_and_tell(wishes: TestWishes, around: Surroundings) -> int:
    """Run the test; the exit code."""
    display = open_display("plain", around, quiet=wishes.quiet)
    return answer_stoppably(
        around,
        _Testing(wishes, around, display).run,
        as_json=wishes.as_json,
        quiet=wishes.quiet,
        empty=EMPTY["mirrors test"],
        interrupted="interrupted; what was measured is lost: --max-time bounds it beforehand",
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is about to be done, and what it may cost."""

    settings: Settings
    references: tuple[Reference, ...]
    covered: tuple[Reference, ...]
    bounds: Bounds
    picture: Path | None

    def in_words(self) -> str:
        """The whole cost, before anything is spent."""
        sources = spell_count(len(self.settings.sources), "source")
        limit = spell_duration(self.bounds.max_time_s)
        names = ", ".join(printable(each.text) for each in self.references)
        parts = []
        if names:
            cost = f"{spell_count(self.bounds.rounds, 'round')}, at most {spell_bytes(self.bounds.max_bytes)}"
            parts.append(f"testing {sources} with {names}: {cost}")
        if self.covered:
            parts.append(f"asking {sources} about {len(self.covered)} repositories")
        return f"{', '.join(parts)}, at most {limit} in all"


class _Testing:
    """One test: what was asked for, and where it is told."""

    def __init__(self, wishes: TestWishes, around: Surroundings, display: Display) -> None:
        self._wishes = wishes
        self._around = around
        self._display = display
        self._step = ""

    def run(self, stopping: Stopping) -> Answer:
        """Measure, remember and spell."""
        plan = self._plan()
        self._display.say("start", plan.in_words())
        found = run_or_raise(lambda: self._measured(plan), stopping, self._display.tick)
        return self._spelled(plan, *found)

    def _spelled(self, plan: _Plan, evaluation: Evaluation, rows: Sequence[Row]) -> Answer:
        memory = self._remember(plan.settings, evaluation)
        if plan.picture is not None:
            draw(evaluation.trials, plan.picture)
        return self._answer(plan, evaluation, rows, (*plan.settings.notices, *evaluation.notices, *memory.notices))

    def _plan(self) -> _Plan:
        wishes = self._wishes
        settings = self._settings()
        if settings.offline:
            hint = "--online ignores it for this command"
            raise OfflineMiss(f"a test asks mirrors, and {settings.offline_because} forbids it", hint=hint)
        covered = _listed(Path(wishes.coverage)) if wishes.coverage else ()
        asked = wishes.references or (() if covered else (DEFAULT_REFERENCE,))
        picture = Path(wishes.plot) if wishes.plot else None
        if picture is not None:
            check_plot(picture)
        bounds = Bounds(wishes.rounds, _size(wishes.max_bytes), wishes.max_time_s, wishes.connections)
        return _Plan(settings, tuple(parse_repository(each) for each in asked), covered, bounds, picture)

    def _settings(self) -> Settings:
        wishes = self._wishes
        flags = Flags(
            origin=wishes.origin,
            mirrors=wishes.mirrors,
            add_mirrors=wishes.add_mirrors,
            no_mirrors=wishes.no_mirrors,
            offline=False if wishes.online else None,
        )
        settings = load_settings(self._around.environ, None, flags, self._around.folder)
        if not wishes.everyone or not is_public_hub(settings.origin.url):
            return settings
        used = {each.url for each in settings.mirrors}
        rest = tuple(
            replace(mirror_at(each.url), kind=each.kind, max_connections=each.max_connections)
            for each in (*KNOWN_MIRRORS, *OTHER_HUBS)
            if each.url not in used
        )
        return replace(settings, mirrors=(*settings.mirrors, *rest))

    async def _measured(self, plan: _Plan) -> tuple[Evaluation, tuple[Row, ...]]:
        settings, began = plan.settings, time.monotonic()
        async with HttpClient(connect_s=min(settings.connect_s, plan.bounds.max_time_s)) as client:
            rows: tuple[Row, ...] = ()
            if plan.covered:
                # With both asked for, names get half of the time and bytes the rest.
                share_s = plan.bounds.max_time_s / (2 if plan.references else 1)
                rows = await cover(plan.covered, settings=settings, client=client, limit_s=share_s)
            if not plan.references:
                return Evaluation((), wall_s=time.monotonic() - began), rows
            left_s = plan.bounds.max_time_s - (time.monotonic() - began)
            about = Circumstances(
                settings,
                client,
                Known.of(settings),
                replace(plan.bounds, max_time_s=left_s),
                time.monotonic,
                time.time(),
                random.random,
                self._say_step,
            )
            return await evaluate(plan.references, about), rows

    def _say_step(self, step: str) -> None:
        """A line where a new round or phase begins; every single sample would be too many."""
        phase = step.partition(":")[0]
        if phase != self._step:
            self._step = phase
            self._display.say("progress", phase)

    def _remember(self, settings: Settings, evaluation: Evaluation) -> Memory:
        memory = load_memory(settings.state_dir)
        memory.learn(lessons(evaluation.trials, lambda mirror: proxy_of(mirror, self._around.environ)), time.time())
        return memory

    def _answer(self, plan: _Plan, evaluation: Evaluation, rows: Sequence[Row], notices: Sequence[Notice]) -> Answer:
        ranked = rank(evaluation.trials)
        delivers = any(each.trial.best_goodput for each in ranked) or (not ranked and _any_known(rows))
        lines = [*ranking_lines(ranked, evaluation.modified), *coverage_lines(rows)]
        note = f"{spell_bytes(evaluation.bytes)} in {spell_duration(evaluation.wall_s)}"
        return Answer(
            _values(plan, evaluation, ranked, rows),
            lines,
            notices,
            _SUCCESS if delivers else _NONE_DELIVERS,
            (f"{note}; picture: {plan.picture}" if plan.picture else note,),
        )


def _values(plan: _Plan, evaluation: Evaluation, ranked: Sequence[Ranked], rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "refs": [each.text for each in plan.references],
        "authority": evaluation.authority or None,
        "bounds": asdict(plan.bounds),
        "spent": {"bytes": evaluation.bytes, "wall_s": round(evaluation.wall_s, 3)},
        "mirrors": [figures(each, evaluation.modified) for each in ranked],
        "coverage": [
            {"ref": row.reference, "mirrors": {name: asdict(cell) for name, cell in row.cells.items()}} for row in rows
        ],
    }


def _any_known(rows: Sequence[Row]) -> bool:
    return any(cell.state is not State.SILENT for row in rows for cell in row.cells.values())


def _listed(path: Path) -> tuple[Reference, ...]:
    """The references of a file, one a line; what follows ``#`` is a comment."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_LIST_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--coverage {path}: cannot be read: {error}") from error
    named = [text for line in lines if (text := line.partition("#")[0].strip())]
    if not 1 <= len(named) <= _MAX_COVERED:
        raise UsageError(f"--coverage {path}: 1 to {_MAX_COVERED} repositories, one a line, not {len(named)}")
    return tuple(parse_repository(each) for each in named)


def _size(text: str) -> int:
    """Bytes, spelt as rates are: ``64M`` is 64 MiB."""
    try:
        size = int(parse_rate(text))
    except UsageError as error:
        raise UsageError(f"--max-bytes {text}: no size", hint="such as 64M or 1G") from error
    if size < 1:
        raise UsageError(f"--max-bytes {text}: nothing can be measured with no bytes", hint="such as 64M or 1G")
    return size
