"""What is written for systemd, judged by systemd itself."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.openings import openings
from chunkdl.batch.timers import SERVICE, TIMER, Starting, calendar, service_unit, timer_unit
from chunkdl.core.windows import parse_windows

RUN = Starting((sys.executable, "-P", "-m", "chunkdl", "batch", "run"))


@pytest.fixture
def verify(tmp_path):
    def judged(service, timer):
        units = tmp_path / "units"
        units.mkdir(exist_ok=True)
        (units / SERVICE).write_text(service)
        (units / TIMER).write_text(timer)
        runtime = tmp_path / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path), "LC_ALL": "C"}
        command = ["systemd-analyze", "--user", "verify", str(units / TIMER), str(units / SERVICE)]
        run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout + run.stderr

    return judged


@pytest.mark.parametrize(
    ("texts", "zone"),
    [
        (["Mon-Fri 22:30-07:00", "Sat,Sun 00:00-24:00"], "Asia/Shanghai"),
        (["01:00-06:00", "Sun 13:00-18:00"], None),
        (["Sun 00:00-24:00"], "America/New_York"),
        ([], "Asia/Shanghai"),
    ],
)
def test_systemd_has_nothing_to_say_against_it(verify, texts, zone):
    found = openings(parse_windows(texts, UTC))
    assert verify(service_unit(RUN), timer_unit(found, zone)) == (0, "")


@pytest.mark.parametrize("name", ['a "fine" tool', "it's", "a 100% $tool", "back\\slash", "plain"])
def test_systemd_reads_names_that_need_quotes(verify, tmp_path, name):
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    start = Starting((str(program), "50%", "$HOME"), {"HF_HOME": str(tmp_path / 'my "models" 50%')})
    assert verify(service_unit(start), timer_unit((), None)) == (0, "")


def test_systemd_would_say_what_is_wrong(verify):
    code, said = verify(service_unit(Starting(("/no/such/program",))), timer_unit((), "Nowhere/Atall"))
    assert "/no/such/program" in said
    assert code != 0


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "UTC"])
@pytest.mark.parametrize("texts", [["Mon-Fri 22:30-07:00"], ["01:00-06:00", "Sun 13:00-18:00"]])
def test_systemd_starts_it_when_the_window_opens(texts, zone):
    windows = parse_windows(texts, ZoneInfo(zone))
    expressions = calendar(openings(windows), zone)
    at = datetime(2026, 10, 30, 12, tzinfo=UTC).timestamp()  # over the change of the clock in New York
    starts = sorted(each for expression in expressions for each in elapses(expression, at, 20))[:20]
    opened = []
    while len(opened) < len(starts):
        at = windows.next_change(at)
        opened += [at] if windows.at(at) else []
    assert starts == opened


def elapses(expression, after, count):
    base = datetime.fromtimestamp(after, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = ["systemd-analyze", "calendar", f"--base-time={base}", f"--iterations={count}", expression]
    run = subprocess.run(
        command, env={**os.environ, "TZ": "UTC", "LC_ALL": "C"}, capture_output=True, text=True, timeout=60, check=True
    )
    found = re.findall(
        r"(?:Next elapse|Iter\. #\d+|Iteration #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", run.stdout
    )
    assert len(found) == count, run.stdout
    return [datetime.fromisoformat(f"{each}+00:00").timestamp() for each in found]
