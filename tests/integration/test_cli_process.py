"""The command as a process, as scripts meet it: pipes, signals, exit codes, against a mirror on loopback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from support.programs import killed_after

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

REPO_ROOT = Path(__file__).resolve().parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((REPO_ROOT / "fixtures" / "report.schema.json").read_text()))
WEIGHTS = SeededContent(7, 24 << 20)
REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": WEIGHTS})


@pytest.fixture
def environ(tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "CHUNKDL_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "COLUMNS": "120"}


@pytest.fixture
def mirror():
    with MirrorServer([REPO]).in_thread() as mirror:
        yield mirror


def start(environ, *argv):
    return subprocess.Popen(
        [sys.executable, "-m", "chunkdl", *argv],
        cwd=REPO_ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(environ, *argv):
    process = start(environ, *argv)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def sources(mirror):
    return ("--origin", mirror.url, "--no-mirrors")


def test_a_fetch_prints_the_folder_and_a_second_one_asks_for_no_content(environ, mirror, tmp_path):
    code, out, err = run(environ, "fetch", "org/name", *sources(mirror))
    assert code == 0, err
    folder = Path(out.removesuffix("\n"))
    assert folder.parent == tmp_path / ".cache/huggingface/hub/models--org--name/snapshots"
    assert (folder / "config.json").read_text() == "{}"
    assert WEIGHTS.first_difference((folder / "model.safetensors").read_bytes(), 0) is None
    served = mirror.bytes_served
    code, again, err = run(environ, "fetch", "-q", "org/name", *sources(mirror))
    assert (code, again, err) == (0, out, "")
    assert mirror.bytes_served == served


def test_json_and_ndjson_at_once(environ, mirror):
    code, out, err = run(environ, "fetch", "org/name", "org/nope", "--json", "--progress", "json", *sources(mirror))
    assert code == 3
    report = json.loads(out)
    SCHEMA.validate(report)
    assert [each["ok"] for each in report["results"]] == [True, False]
    assert report["totals"]["bytes_fetched"] == WEIGHTS.size + 2
    events = [json.loads(line) for line in err.splitlines()]
    assert {"start", "planned", "progress", "placed", "error"} <= {each["event"] for each in events}


def test_a_dry_run_prints_the_plan_and_leaves_the_disk_alone(environ, mirror, tmp_path):
    code, out, _ = run(environ, "fetch", "org/name", "--dry-run", *sources(mirror))
    assert code == 0
    assert out.splitlines()[2].split() == ["config.json", "2", "B", "fetch", mirror.url.removeprefix("http://")]
    assert not (tmp_path / ".cache/huggingface/hub/models--org--name").exists()
    assert mirror.bytes_served == 0


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_came_and_the_same_command_resumes(environ, mirror, signum, code):
    mirror.rate_bytes_per_s = 4 << 20
    argv = ("fetch", "org/name", "--progress", "json", *sources(mirror))
    process = start(environ, *argv)
    with killed_after(process):
        assert any(json.loads(line).get("done_bytes", 0) > 4 << 20 for line in process.stderr)
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    last = [json.loads(line) for line in err.splitlines()[-2:]]  # what went before was cut where we stopped to read
    assert [each["event"] for each in last] == ["error", "hint"]
    assert last[1]["message"] == f"resume with: chunkdl {' '.join(argv)}"
    mirror.rate_bytes_per_s = None
    result, out, err = run(environ, "fetch", "org/name", "--json", *sources(mirror))
    report = json.loads(out)
    assert result == 0, err
    assert report["totals"]["bytes_reused"] > 2 << 20
    weights = Path(report["results"][0]["path"], "model.safetensors")
    assert WEIGHTS.first_difference(weights.read_bytes(), 0) is None


def test_the_demo_catches_the_liar_and_touches_nothing_else(environ, tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    code, out, err = run({**environ, "HOME": str(home), "TMPDIR": str(temporary)}, "demo", "--keep")
    assert code == 0, err
    assert "from lying were wrong; fetched again elsewhere" in err
    assert "proof: the weights hashed once more, here: right" in err
    assert Path(out.removesuffix("\n")).is_relative_to(temporary)
    assert list(home.iterdir()) == []
