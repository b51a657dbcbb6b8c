"""``chunkdl run`` with programs that need no library: endings, signals, and who is answered."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import line_of
from support.share import ask

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

LIMIT_S = 60
FILES = {"config.json": b"{}", "weights.bin": SeededContent(3, 9 << 20)}
REPO = HubRepo("org/name", FILES)

# A program that asks as the stock client does: HEAD with its counter, then the listing.
CLIENT = """
import json, os, urllib.request
base = os.environ["HF_ENDPOINT"]
def ask(path, method="GET", **headers):
    request = urllib.request.Request(base + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=50) as answer:
        return answer.headers, answer.read()
commit = json.loads(ask("/api/models/org/name/revision/main")[1])["sha"]
listing = json.loads(ask(f"/api/models/org/name/tree/{commit}?recursive=true")[1])
path = f"/org/name/resolve/{commit}/weights.bin"
known, _ = ask(path, "HEAD")
blob = os.path.join(os.environ["HF_HUB_CACHE"], "models--org--name/blobs", known["X-Linked-Etag"].strip('"'))
before = os.path.exists(blob)
ask(path, "HEAD", **{"X-HF-Download-Counter": "1"})
after = os.path.exists(blob)
ranged, piece = ask(path, Range="bytes=100-199")
print(json.dumps({"files": [each["path"] for each in listing], "size": known["Content-Length"], "commit": commit,
    "before": before, "after": after, "piece": piece.hex(), "range": ranged["Content-Range"], "base": base}))
"""


@pytest.fixture
def hub():
    with MirrorServer([REPO]).in_thread() as server:
        yield server


def environment(tmp_path, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "CHUNKDL_"))}
    return kept | {"HF_HOME": str(tmp_path), "CHUNKDL_STATE_DIR": str(tmp_path / "state"), "NO_COLOR": "1"} | more


def command(hub, *program, flags=()):
    return [sys.executable, "-m", "chunkdl", "run", "--origin", hub.url, "--no-mirrors", *flags, "--", *program]


def run(hub, tmp_path, *program, flags=(), **more):
    return subprocess.run(
        command(hub, *program, flags=flags),
        env=environment(tmp_path, **more),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_file_is_in_the_cache_before_its_reader_hears_of_it(hub, tmp_path):
    done = run(hub, tmp_path, sys.executable, "-c", CLIENT)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["commit"], said["files"]) == (REPO.commit, sorted(FILES))
    assert (said["before"], said["after"]) == (False, True)
    assert (said["size"], said["range"]) == (str(9 << 20), f"bytes 100-199/{9 << 20}")
    assert bytes.fromhex(said["piece"]) == bytes(FILES["weights.bin"].read(100, 200))
    assert hub.bytes_served == 9 << 20
    listings = [each for each in hub.log if "/tree/" in each.subject]
    assert len(listings) == 1


@pytest.mark.parametrize(
    ("code", "program", "told"),
    [
        (0, ["-c", "pass"], ""),
        (7, ["-c", "import sys; sys.exit(7)"], ""),
        (128 + signal.SIGKILL, ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], ""),
    ],
)
def test_the_exit_code_is_the_programs(hub, tmp_path, code, program, told):
    done = run(hub, tmp_path, sys.executable, *program)
    assert (done.returncode, done.stderr) == (code, told)


def test_a_program_that_is_not_there_is_a_line(hub, tmp_path):
    done = run(hub, tmp_path, "no-such-program-anywhere")
    assert done.returncode == 2
    assert "error: cannot run no-such-program-anywhere: no such file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_program_and_its_ending_is_ours(hub, tmp_path, signum):
    program = (
        "import os, signal, sys\n"  # os.write: a handler may interrupt print, which is not to be entered twice
        "def told(signum, frame):\n    os.write(1, b'told %d\\n' % signum); sys.exit(40)\n"
        f"signal.signal({int(signum)}, told)\n"
        "os.write(1, b'ready\\n')\n"
        "while True:\n    signal.pause()"
    )
    process = subprocess.Popen(
        command(hub, sys.executable, "-c", program),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no terminal of ours has told the program already
    )
    try:
        assert line_of(process) == "ready"
        process.send_signal(signum)
        said, complaint = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert (process.returncode, said) == (40, f"told {int(signum)}\n"), complaint


def test_nobody_else_is_answered(hub, tmp_path):
    """Neither a path without the secret nor a name that a web page may have chosen."""
    program = "import os, sys; print(os.environ['HF_ENDPOINT'], flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        command(hub, sys.executable, "-c", program),
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        base, _, secret = line_of(process).rpartition("/")
        path = "/api/models/org/name"
        assert len(secret) >= 22
        assert ask(base, f"/{secret}{path}")[0] == 200
        assert ask(base, path)[0] == 404
        assert ask(base, f"/{secret[:-1]}x{path}")[0] == 404
        assert ask(base, f"/{secret}{path}", Host="evil.example")[0] == 421
        assert ask(base, f"/{secret}{path}", method="POST")[0] == 404
        assert ask(base, f"/{secret}/org/name/resolve/main/..%2f..%2fetc")[0] == 404
        asked = hub.requests
        assert ask(base, f"/{secret}/api/whoami-v2")[0] == 404
        assert hub.requests == asked
    finally:
        process.communicate("", timeout=LIMIT_S)
    assert process.returncode == 0


def test_failures_are_told_beside_the_program(hub, tmp_path):
    hub.faults = ["flip-bits"]
    path = "/org/name/resolve/main/weights.bin"
    program = (
        "import os, urllib.request, urllib.error\n"
        f"try:\n    urllib.request.urlopen(os.environ['HF_ENDPOINT'] + '{path}')\n"
        "except urllib.error.HTTPError as error:\n    print(error.code, error.headers['X-Error-Message'])"
    )
    done = run(hub, tmp_path, sys.executable, "-c", program)
    assert done.stdout.startswith("424 chunkdl: ")
    assert "weights.bin" in done.stdout
    assert "note: " in done.stderr
    assert not list(Path(tmp_path).rglob("snapshots/*/weights.bin"))


def test_a_chunkdl_inside_goes_to_the_true_origin(hub, tmp_path):
    inner = [sys.executable, "-m", "chunkdl", "fetch", "org/name", "-q", "--no-mirrors"]
    done = run(hub, tmp_path, *inner)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip(), "weights.bin").stat().st_size == 9 << 20


def test_help_shows_how(hub):
    said = subprocess.run(
        [sys.executable, "-m", "chunkdl", "run", "--help"], capture_output=True, text=True, timeout=LIMIT_S, check=True
    ).stdout
    assert "chunkdl run -- python train.py" in said
    assert "Where from" in said
