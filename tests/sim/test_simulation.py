"""A few hundred simulated downloads on every run of the tests; thousands by ``scripts/sim``."""

from dataclasses import replace

import pytest

from chunkdl.core.state import Job
from chunkdl.model import MIB, ByteRange
from chunkdl.testing import simulation
from chunkdl.testing.simulated_network import HostModel, MirrorModel
from chunkdl.testing.simulated_run import FileModel, Scenario, SimulatedRun
from chunkdl.testing.swarm import describe, sample

SAMPLED = 150

# Seeds that once failed, and why: what they showed must not come back.
REGRESSIONS = {
    28: "a stream on its way to what was missing counted as silent",
    106: "a connection that fell silent under our own limit was never found out",
    657: "a stream was granted to a liar and cancelled on its answer, for ever",
    2927: "bytes lost with a connection were charged to the hedge budget",
    12322: "a distrusted host, a liar and a source without ranges all waited for each other",
    12391: "a host distrusted in its bad minute was never asked again while a worse one crept on",
}


def clean(bandwidth=10e6, **faults):
    return HostModel("h", bandwidth=bandwidth, per_connection=bandwidth / 4, latency_s=0.05, **faults)


def scenario(*hosts, size=100 * MIB, phase="efficiency"):
    config = sample(0).config
    mirrors = tuple(MirrorModel(f"m{n}", each.name, each.name, each.name) for n, each in enumerate(hosts))
    names = tuple(each.name for each in mirrors)
    files = (FileModel(size, (ByteRange(0, size),), names, 8 * MIB),)
    return Scenario(1, phase, replace(config), hosts, mirrors, files)


@pytest.mark.parametrize("block", range(0, SAMPLED, 10))
def test_sampled_downloads_are_safe_live_and_efficient(block):
    verdicts = [simulation.run_seed(seed) for seed in range(block, block + 10)]
    assert [each.failure for each in verdicts if each.failure] == []


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_once_failed_does_not_come_back(seed):
    assert simulation.run_seed(seed).failure == ""


def test_every_phase_is_sampled():
    assert {sample(seed).phase for seed in range(9)} == {"safety", "liveness", "efficiency"}


def test_the_same_seed_tells_the_same_story():
    stories = []
    for _ in range(2):
        run = SimulatedRun(sample(7))
        run.run()
        stories.append([run.scheduler.story(file) for file in run.scheduler.job.files])
    assert stories[0] == stories[1]


def test_a_scheduler_that_loses_bytes_is_caught_with_everything_needed_to_replay(monkeypatch):
    monkeypatch.setattr(Job, "release", lambda *_: None)
    failures = [verdict.failure for verdict in map(simulation.run_seed, range(12)) if verdict.failure]
    assert failures
    assert all("replay: scripts/sim --seed" in each and "HostModel" in each for each in failures)


def test_one_steady_host_is_used_to_the_full():
    outcome = SimulatedRun(scenario(clean())).run()
    assert outcome.seconds < 1.15 * 100 * MIB / 10e6


def test_three_unequal_hosts_add_up():
    hosts = [replace(clean(each * 1e6), name=f"h{each}") for each in (16, 6, 2)]
    outcome = SimulatedRun(scenario(*hosts, size=400 * MIB)).run()
    assert outcome.seconds < 1.15 * 400 * MIB / 24e6
    assert outcome.wasted_bytes < 0.01 * 400 * MIB


def test_a_host_that_goes_silent_costs_seconds_not_minutes():
    silent = replace(clean(), name="silent", stalls_per_s=1.0, stall_s=float("inf"))
    outcome = SimulatedRun(scenario(clean(), silent, size=300 * MIB)).run()
    assert outcome.seconds < 1.4 * 300 * MIB / 10e6


def test_a_fast_host_that_collapses_is_left_behind():
    fades = replace(clean(30e6), name="fades", dribbles=((3.0, float("inf"), 0.01),))
    outcome = SimulatedRun(scenario(clean(), fades, size=300 * MIB)).run()
    best_s = 3.0 + (300 * MIB - 3.0 * 40e6) / 10e6
    assert outcome.seconds < 1.25 * best_s


def test_a_liar_beside_an_honest_host_costs_its_bytes_and_no_more():
    liar = replace(clean(), name="liar", lies=1.0)
    outcome = SimulatedRun(scenario(clean(), liar, phase="liveness")).run()
    assert outcome.proven == [0]


def test_a_description_names_every_part():
    text = describe(sample(3))
    assert all(word in text for word in ("seed 3", "HostModel", "MirrorModel", "FileModel", "SchedulerConfig"))


def test_the_program_replays_one_seed(capsys):
    assert simulation.main(["--seed", "5"]) == 0
    assert "efficiency" in capsys.readouterr().out


def test_the_program_says_when_seeds_fail(capsys):
    bad = simulation.Verdict(3, "safety", failure="seed 3\nreplay: scripts/sim --seed 3")
    assert simulation.summarise([bad]) == 1
    assert "1 failed: [3]" in capsys.readouterr().out


def test_a_slow_median_fails_the_run(capsys):
    slow = [simulation.Verdict(seed, "efficiency", efficiency=0.5) for seed in range(10)]
    assert simulation.summarise(slow) == 1
    assert "median" in capsys.readouterr().out
