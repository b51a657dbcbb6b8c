"""A manifest of five repositories over three mirrors, two windows with a step of bandwidth between them, and kills.

A second of the test is a minute on the runner's wall clock. Every job must end exactly once, every byte be right, no
more come twice than each kill may cost, nothing flow while the window is shut, and the books say what the servers say.
"""

import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC
from pathlib import Path

import pytest

from chunkdl.batch.job import Circumstances, JobState, Task, Wish
from chunkdl.batch.manifest import read_manifest
from chunkdl.batch.policy_record import policy_record
from chunkdl.batch.queue import Queue
from chunkdl.batch.runner_lock import runner_lives
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.programs import line_of
from tests.support.trials import FACTOR, seeded
from tests.torture.batch_process import NOON

MIB = 1 << 20
SIZE = 10 * MIB
REPOS = [
    HubRepo(f"org/r{number}", {"config.json": f"[{number}]", "model.safetensors": SeededContent(number, SIZE)})
    for number in range(5)
]
WANTED = sum(file.size for repo in REPOS for file in repo.entries.values())
SPEED = 60.0
# Shut from the 9th to the 13th second; 3 MiB/s in the first window, 6 in the second.
WINDOWS = '["12:00-12:09", "12:13-12:59"]'
SHUT_S, OPEN_S = 9.0, 13.0
# DESIGN's promise for a killed process: 0.5 s or 16 MiB of each content in flight; three jobs run at once, and at the
# slow rate half a second is less.
LOST_BY_A_KILL = 3 * MIB
# What waits in sockets' buffers when a reader is killed or a window closes was served and is never read.
IN_FLIGHT = 4 * MIB


def manifest(folder, origin, mirrors):
    models = "".join(f'[[model]]\nref = "{repo.repo_id}"\npriority = {at}\n' for at, repo in enumerate(REPOS))
    around = f'origin = "{origin}"\nmirrors = [{", ".join(map(repr, mirrors))}]\n'
    path = folder / "night.toml"
    path.write_text(
        f'[batch]\nwindows = {WINDOWS}\ntime_zone = "UTC"\nbwlimit = "00:00,3M 12:10,6M"\n{around}\n{models}'.replace(
            "'", '"'
        )
    )
    return read_manifest(path, UTC)


def start(folder, began):
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "CHUNKDL_", "XDG_"))}
    environ |= {"HOME": str(folder), "CHUNKDL_STATE_DIR": str(folder / "state")}
    script = Path(__file__).with_name("batch_process.py")
    return subprocess.Popen(
        [sys.executable, script, folder, str(began), str(SPEED)], env=environ, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize("turn", range(FACTOR))
def test_killed_runners_end_every_job_once(tmp_path, turn):
    rng = random.Random(seeded() + turn)
    with ExitStack() as stack:
        slow = {"rate_bytes_per_s": 3 * MIB, "send_buffer_bytes": 32 << 10}
        servers = [stack.enter_context(MirrorServer(REPOS, **slow).in_thread()) for _ in range(3)]
        made = manifest(tmp_path, servers[0].url, [each.url for each in servers[1:]])
        with Queue(tmp_path / "state" / "batch.sqlite") as queue:
            queue.keep_policy(policy_record(made))
            for wish in made.wishes:
                queue.add(wish, NOON)
        began = time.time()
        kills, served_at = 0, {}

        def run_for(seconds):
            process = start(tmp_path, began)
            until = time.time() + seconds
            while process.poll() is None and time.time() < until:
                # The counters first: what they say was so at the time that the clock says next, or before.
                served, now = sum(each.bytes_served for each in servers), time.time() - began
                if now >= SHUT_S + 1.5:
                    served_at.setdefault("shut", served)
                if now < OPEN_S:
                    served_at["opens"] = served
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
            if process.poll() is None:
                process.kill()
            process.communicate()
            return process.returncode

        # two kills in the first window, one while it is shut, two in the second
        for until in (
            rng.uniform(2, 4),
            rng.uniform(5, 8),
            11.0,
            OPEN_S + rng.uniform(1, 2),
            OPEN_S + rng.uniform(3, 5),
        ):
            code = run_for(until - (time.time() - began))
            kills += code != 0
        assert run_for(60.0) == 0
        served = sum(each.bytes_served for each in servers)
    assert kills >= 4
    assert served_at["opens"] - served_at["shut"] < MIB, "bytes flowed while the window was shut"
    assert served_at["shut"] <= 3 * MIB * (SHUT_S + 1) + kills * IN_FLIGHT
    assert served - WANTED <= kills * (LOST_BY_A_KILL + IN_FLIGHT)
    check(tmp_path, served, kills)


def check(folder, served, kills):
    with Queue(folder / "state" / "batch.sqlite") as queue:
        jobs, attempts = queue.jobs(), queue.attempts()
        booked = sum(each.bytes for each in queue.traffic())
        spent = queue.spent("2026-09-21")
    assert {each.state for each in jobs} == {JobState.DONE}
    for job in jobs:
        ends = [each.exit_code for each in attempts if each.job_id == job.id]
        assert ends.count(0) == 1, "a job is done once"
        assert ends[-1] == 0
        content = next(repo for repo in REPOS if repo.repo_id == job.wish.task.reference).files["model.safetensors"]
        assert content.first_difference((Path(job.path) / "model.safetensors").read_bytes()) is None
    # what a kill keeps from the books: two seconds of both limits, and what was in flight
    assert served - booked <= kills * (2 * 6 * MIB + IN_FLIGHT)
    assert booked <= served
    assert sum(spent.values()) == booked


def test_status_tells_a_killed_runner_from_a_living_one(tmp_path):
    with MirrorServer(REPOS, rate_bytes_per_s=MIB).in_thread() as server, ExitStack() as stack:
        with Queue(tmp_path / "state" / "batch.sqlite") as queue:
            around = Circumstances(origin=server.url, mirrors=())
            queue.add(Wish(Task("org/r0"), circumstances=around), NOON)
            process = start(tmp_path, time.time())
            stack.callback(process.communicate)
            stack.callback(process.kill)
            until = time.time() + 30
            while not server.bytes_served and time.time() < until:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        assert runner_lives(tmp_path / "state")
        assert "killed" not in status(tmp_path)
        process.kill()
        process.wait()
        assert not runner_lives(tmp_path / "state")
        assert "its runner was killed: the next chunkdl batch run goes on" in status(tmp_path)


def status(folder):
    """As a person sees it, on a terminal."""
    command = f"{sys.executable} -m chunkdl batch status"
    environ = {**os.environ, "HOME": str(folder), "CHUNKDL_STATE_DIR": str(folder / "state"), "COLUMNS": "200"}
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_a_second_runner_is_told_who_works(tmp_path):
    began = time.time()
    with Queue(tmp_path / "state" / "batch.sqlite"):
        first = start(tmp_path, began)
        try:
            assert line_of(first) == b"ready"
            second = subprocess.run(
                [sys.executable, "-m", "chunkdl", "batch", "run"],
                env={**os.environ, "HOME": str(tmp_path), "CHUNKDL_STATE_DIR": str(tmp_path / "state")},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            first.kill()
            first.communicate()
    assert second.returncode == 6
    assert "another batch runner is at work" in second.stderr
