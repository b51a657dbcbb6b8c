"""Time that jumps: a process that was stopped, a machine that slept, a clock that was set.

Nobody is punished for good for what our own clock did, nothing hangs, and the bytes are right.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules
from tests.support.trials import FACTOR, seeded

SIZE = 15 << 20
RATE = 4 << 20  # bytes a second of each of three mirrors: 1.3 seconds
REPO = HubRepo("org/name", {"config.json": b"{}", "model.safetensors": SeededContent(35, SIZE)})
# Long enough that what stood in socket buffers during a stop, and was taken at once, is little of it.
LONG = 40 << 20
LONG_REPO = HubRepo("org/long", {"config.json": b"{}", "model.safetensors": SeededContent(36, LONG)})
HOUR_S, YEAR_S = 3600.0, 365.25 * 86_400
FROM_THE_BEGINNING = float("-inf")
# Without a jump it takes 1.4 s; after one, retries wait by a clock that goes on as before.
PATIENCE_S = 15.0

# Counted from the first byte that is written, so that a slow machine is in mid transfer too.
JUMPS = {
    "wall forward": {"wall": [(0.6, HOUR_S)]},
    "wall backward": {"wall": [(0.6, -HOUR_S)]},
    "wall a year forward and two back": {"wall": [(0.4, YEAR_S), (0.8, -2 * YEAR_S)]},
    "asleep for three hours": {"wall": [(0.6, 3 * HOUR_S)], "monotonic": [(0.6, 3 * HOUR_S)]},
    "dozing off again and again": {"monotonic": [(0.3 * number, 60.0) for number in range(1, 5)]},
    "asleep after a year in the past": {
        "wall": [(FROM_THE_BEGINNING, -YEAR_S), (0.6, YEAR_S)],
        "monotonic": [(0.6, 9 * HOUR_S)],
    },
}


@pytest.fixture
def mirrors():
    with ExitStack() as stack:
        repos = [REPO, LONG_REPO]
        yield [stack.enter_context(MirrorServer(repos, rate_bytes_per_s=RATE).in_thread()) for _ in range(3)]


def assert_nobody_is_punished(report, size=SIZE):
    assert report["ok"]
    assert len(report["hosts"]) == 3
    for host in report["hosts"]:
        assert host["state"] not in {"excluded", "cooling"}, json.dumps(host)
        assert host["bytes"] > size / 10, f"of three that are alike one gave far less: {report['hosts']}"


@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_a_clock_that_jumps_in_mid_transfer_harms_nobody(tmp_path, workers, mirrors, jumps):
    urls = [each.url for each in mirrors]
    ending = workers.one(tmp_path, *urls, flags=("--json",), jumps={**jumps, "from_first": "pwrite"})
    assert ending.status == 0, ending
    assert ending.took_s < PATIENCE_S, ending
    assert_nobody_is_punished(json.loads(ending.out))
    assert broken_rules(tmp_path / "hub", REPO, finished=True) == []
    again = workers.one(tmp_path, *urls, flags=("--json", "--force"))
    assert again.status == 0, again
    assert_nobody_is_punished(json.loads(again.out))


def test_a_machine_that_sleeps_during_the_first_requests_ends_well_or_says_what_to_do(tmp_path, workers, mirrors):
    """All requests time out together: that may look like a silent hub, and must not last."""
    urls = [each.url for each in mirrors]
    for number in range(6 * FACTOR):
        folder = tmp_path / str(number)
        moment = 0.01 * (number % 6)
        asleep = {"wall": [(moment, 3 * HOUR_S)], "monotonic": [(moment, 3 * HOUR_S)]}
        ending = workers.one(folder, *urls, flags=("--dry-run",), jumps=asleep)
        assert ending.status in {0, 4}, ending
        assert ending.status == 0 or "\nhint: " in ending.err, ending
        again = workers.one(folder, *urls, flags=("--dry-run",), jumps={"wall": [(0.0, 3 * HOUR_S)]})
        assert again.status == 0, again


def test_a_process_stopped_in_mid_transfer_goes_on(tmp_path, mirrors):
    rng = random.Random(seeded())
    environ = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "CHUNKDL_STATE_DIR": str(tmp_path / "state")}
    more = [argument for each in mirrors[1:] for argument in ("--mirror", each.url)]
    command = [sys.executable, "-m", "chunkdl", "fetch", "org/long", "--origin", mirrors[0].url, *more, "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for stop in range(2 + FACTOR):
            assert_still_runs_after(process, rng.uniform(0.2, 0.4) + (0.4 if stop == 0 else 0.0))
            process.send_signal(signal.SIGSTOP)
            # One that the clock must see as such; longer than every limit of a first byte or a stall, in the long form.
            brief = rng.uniform(2.2, 2.6) if stop == 1 else rng.uniform(0.2, 0.6)
            assert_still_runs_after(process, brief if FACTOR == 1 else rng.uniform(10, 40))
            process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_nobody_is_punished(json.loads(out), LONG)
    assert broken_rules(tmp_path / "hub") == []


def assert_still_runs_after(process, seconds):
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
