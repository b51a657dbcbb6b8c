"""``chunkdl batch`` as a person types it, from a manifest to a report, against mirrors on loopback."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.bookkeeping import Books
from chunkdl.cli.batch_running import _Command, _instant
from chunkdl.cli.display import open_display
from chunkdl.cli.surroundings import Surroundings
from chunkdl.errors import UsageError
from chunkdl.testing import HubRepo, MirrorServer, SeededContent

MIB = 1 << 20
WEIGHTS = SeededContent(3, 6 * MIB)
REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": WEIGHTS})


@pytest.fixture
def environ(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "CHUNKDL_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "TZ": "UTC"}


@pytest.fixture
def mirror():
    with MirrorServer([REPO], rate_bytes_per_s=6 * MIB).in_thread() as mirror:
        yield mirror


def start(environ, *argv):
    return subprocess.Popen(
        [sys.executable, "-m", "chunkdl", "batch", *argv],
        env=environ,
        cwd=environ["HOME"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environ, *argv):
    process = start(environ, *argv)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def manifest(folder, mirror, more=""):
    path = Path(folder) / "night.toml"
    path.write_text(f'[batch]\norigin = "{mirror.url}"\nmirrors = []\n{more}\n[[model]]\nref = "org/name"\n')
    return str(path)


def test_a_manifest_is_queued_carried_out_and_reported(environ, mirror, tmp_path):
    path = manifest(tmp_path, mirror, '\n[[model]]\nref = "org/absent"\n')
    assert run(environ, "add", path)[0] == 0
    code, out, err = run(environ, "run", "--once")
    assert code == 20, err
    assert WEIGHTS.first_difference((Path(out.strip()) / "model.safetensors").read_bytes()) is None
    assert "org/name: done" in err
    assert "org/absent: parked" in err
    code, out, err = run(environ, "report", "--json")
    report = json.loads(out)
    assert [each["ref"] for each in report["came"]] == ["org/name"]
    again = run(environ, "run", "--once", "--json")
    assert (again[0], json.loads(again[1])["jobs"]) == (20, [])


def test_outside_the_window_once_ends_at_once_with_21(environ, mirror, tmp_path):
    later = datetime.now(UTC) + timedelta(hours=5)
    window = f"{later:%H}:00-{later:%H}:30"
    run(environ, "add", manifest(tmp_path, mirror, f'windows = ["{window}"]'))
    code, out, _ = run(environ, "run", "--once", "--json")
    assert code == 21
    values = json.loads(out)
    assert (values["exit_code"], values["left"], values["jobs"]) == (21, 1, [])
    assert mirror.requests == 0
    assert run(environ, "run", "--once", "--window", "00:00-24:00")[0] == 0  # a flag goes before the manifest


def test_a_signal_stops_it_within_a_second_and_the_next_run_goes_on(environ, mirror, tmp_path):
    mirror.rate_bytes_per_s = MIB
    run(environ, "add", manifest(tmp_path, mirror))
    process = start(environ, "run")
    until = time.monotonic() + 30
    while mirror.bytes_served < MIB and time.monotonic() < until:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 5.0  # the contract is a second; a busy machine may take longer to end a process
    assert "goes on" in err
    mirror.rate_bytes_per_s = 6 * MIB
    code, _, err = run(environ, "run", "--once")
    assert code == 0, err
    assert mirror.bytes_by_file["model.safetensors"] < 6 * MIB + 4 * MIB


def test_hooks_of_the_users_own_settings_hear_of_jobs_and_windows(environ, mirror, tmp_path):
    told = tmp_path / "told"
    hook = json.dumps(["sh", "-c", f"cat >> {told}; echo >> {told}"])
    config = tmp_path / ".config" / "chunkdl" / "chunkdl.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"[batch]\non_job_done = {hook}\non_window_closed = {hook}\n")
    run(environ, "add", manifest(tmp_path, mirror))
    assert run(environ, "run", "--once")[0] == 0
    first, second = map(json.loads, told.read_text().split("\n")[:2])
    assert (first["event"], first["job"]["ref"], first["job"]["state"]) == ("job-done", "org/name", "done")
    assert second == {"event": "window-closed"}


def test_mirrors_are_tested_as_a_job(environ, mirror, tmp_path):
    path = tmp_path / "night.toml"
    path.write_text(
        f'[[mirrors_test]]\nref = "org/name"\nevery = "30 2 * * Sun"\norigin = "{mirror.url}"\nmirrors = []\n'
    )
    assert run(environ, "add", str(path))[0] == 0
    code, out, err = run(environ, "run", "--once", "--json")
    assert code == 0, err
    (job,) = json.loads(out)["jobs"]
    assert (job["state"], job["exit_code"]) == ("waiting", 0), "it recurs"
    assert "1 job done" in err
    assert mirror.url in job["reason"], "the ranking, in one line"
    assert (tmp_path / ".local/state/chunkdl/mirrors.json").exists()


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (("--once", "--watch"), "exclude each other"),
        (("--window", "sometimes"), "not a window"),
        (("--bwlimit", "fast"), "not a rate"),
        (("--time-zone", "Asia/Shanghay"), "no time zone"),
        (("--until", "25:00"), "no time of the day"),
        (("--until", "tomorrow"), "no time"),
    ],
)
def test_a_mistake_is_one_line_and_2(environ, argv, what):
    code, out, err = run(environ, "run", *argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert what in err.splitlines()[0]


def test_until_is_the_next_time_that_a_clock_shows_it():
    now = datetime.now(UTC)
    at = datetime.fromtimestamp(_instant("07:00", UTC), UTC)
    assert (at.hour, at.minute) == (7, 0)
    assert timedelta() < at - now <= timedelta(days=1)
    assert _instant("2026-11-25 07:00", UTC) == datetime(2026, 11, 25, 7, tzinfo=UTC).timestamp()
    with pytest.raises(UsageError):
        _instant("2026-13-25 07:00", UTC)


async def test_until_is_by_the_clock_of_the_batch(tmp_path):
    config = tmp_path / "chunkdl.toml"
    config.write_text('[batch]\ntime_zone = "Asia/Shanghai"\n')
    environ = {"HOME": str(tmp_path), "TZ": "UTC", "CHUNKDL_CONFIG": str(config)}
    around = Surroundings((), environ, io.BytesIO(), io.StringIO())
    said = {"until": "07:00", "windows": (), "time_zone": None, "bwlimit": None}
    async with Books(tmp_path / "batch.sqlite") as books:
        at = await _Command(around, said, open_display("none", around, quiet=True))._until(books)
    assert datetime.fromtimestamp(at, ZoneInfo("Asia/Shanghai")).hour == 7
