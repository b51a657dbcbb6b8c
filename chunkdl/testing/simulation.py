"""Runs simulated downloads by the thousand: seeds in, verdicts out. Front door of ``scripts/sim``.

A failing seed prints its parameters, its story and the command that replays it.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from dataclasses import dataclass
from multiprocessing import Pool, cpu_count
from statistics import median

from chunkdl.core.hedging import hedge_budget
from chunkdl.testing.simulated_network import HostModel, Weather, optimum_s
from chunkdl.testing.simulated_run import Outcome, Scenario, SimulatedRun
from chunkdl.testing.swarm import describe, sample

# Worst honest case allowed: a few seconds of start and of detection are dear in runs of ten seconds.
EFFICIENCY_LEAST = 0.40
EFFICIENCY_MEDIAN = 0.90
# A virtual run that takes longer than this was not bounded by anything.
_SECONDS_MAX = 7200.0
_STORY_LINES = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one seed showed. ``efficiency`` is optimum time over time taken, None outside that phase."""

    seed: int
    phase: str
    efficiency: float | None = None
    waste: float = 0.0
    failure: str = ""


def run_seed(seed: int) -> Verdict:
    """Simulate one seed; a failure is a value, so that a pool can collect it."""
    scenario = sample(seed)
    run = SimulatedRun(scenario)
    try:
        outcome = run.run()
        efficiency = judge(scenario, run, outcome)
    except Exception:  # noqa: BLE001  whatever it is, the seed that shows it is the finding
        return Verdict(seed, scenario.phase, failure=_report(scenario, run, traceback.format_exc(limit=8)))
    return Verdict(seed, scenario.phase, efficiency, outcome.wasted_bytes / max(1, outcome.bytes))


def judge(scenario: Scenario, run: SimulatedRun, outcome: Outcome) -> float | None:
    """Raise ``AssertionError`` if the outcome is not what the phase demands; returns the efficiency if measured."""
    assert outcome.seconds < _SECONDS_MAX, f"took {outcome.seconds:.0f} virtual seconds"
    if scenario.phase == "safety":
        return None
    assert not outcome.failed, f"failed although an honest source was there: {outcome.failed}"
    assert not outcome.dropped, f"dropped although an honest source was there: {outcome.dropped}"
    if scenario.phase == "liveness":
        return None
    assert run.scheduler.job.hedge_spent <= hedge_budget(run.scheduler.job), "hedges wasted more than their budget"
    best_s = optimum_s(outcome.bytes, _widths(scenario), Weather(scenario.seed), scenario.link)
    efficiency = best_s / outcome.seconds
    assert efficiency >= EFFICIENCY_LEAST, (
        f"efficiency {efficiency:.2f}: {outcome.seconds:.1f} s, optimum {best_s:.1f} s"
    )
    return efficiency


def _widths(scenario: Scenario) -> list[tuple[HostModel, int]]:
    return [(host, scenario.config.host_cap) for host in scenario.hosts]


def _report(scenario: Scenario, run: SimulatedRun, trace: str) -> str:
    stories = [line for file in run.scheduler.job.files for line in _story(run, file)]
    replay = f"replay: scripts/sim --seed {scenario.seed}"
    return "\n".join([describe(scenario), *stories[-200:], trace, replay])


def _story(run: SimulatedRun, file: int) -> list[str]:
    return [f"file {file}: {run.scheduler.job.files[file]!r}", *run.scheduler.story(file)[-_STORY_LINES:]]


def main(arguments: list[str] | None = None) -> int:
    """The program behind ``scripts/sim``; returns its exit code."""
    parser = argparse.ArgumentParser(prog="sim", description="Simulated downloads: safety, liveness, efficiency.")
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="replay one seed and tell its story")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="processes (default: all cores)")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _replay(options.seed)
    with Pool(options.jobs) as pool:
        seeds = range(options.first, options.first + options.seeds)
        verdicts = sorted(pool.imap_unordered(run_seed, seeds, chunksize=8), key=lambda each: each.seed)
    return summarise(verdicts)


def _replay(seed: int) -> int:
    scenario = sample(seed)
    _say(describe(scenario))
    run = SimulatedRun(scenario)
    try:
        outcome = run.run()
        efficiency = judge(scenario, run, outcome)
    finally:
        for file in run.scheduler.job.files:
            _say("\n".join(_story(run, file)))
        for host in run.scheduler.hosts():
            _say(str(host))
    _say(str(outcome))
    _say(f"efficiency {efficiency}")
    return 0


def summarise(verdicts: list[Verdict]) -> int:
    """Print what the seeds showed; returns the exit code: 1 if any failed or the median is too slow."""
    failures = [each for each in verdicts if each.failure]
    shares = sorted(each.efficiency for each in verdicts if each.efficiency is not None)
    for each in failures[:5]:
        _say(each.failure)
    _say(f"{len(verdicts)} seeds, {len(failures)} failed: {[each.seed for each in failures][:40]}")
    if not shares:
        return 1 if failures else 0
    wasted = max(each.waste for each in verdicts if each.efficiency is not None)
    _say(_distribution(shares) + f", largest waste {wasted:.3%}")
    slow = median(shares) < EFFICIENCY_MEDIAN
    if slow:
        _say(f"median efficiency is under {EFFICIENCY_MEDIAN}")
    return 1 if failures or slow else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _distribution(shares: list[float]) -> str:
    marks = {"least": 0.0, "1 %": 0.01, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75}
    values = [f"{name} {shares[int(at * (len(shares) - 1))]:.2f}" for name, at in marks.items()]
    return f"efficiency against the optimum over {len(shares)} seeds: " + ", ".join(values)


if __name__ == "__main__":
    sys.exit(main())
