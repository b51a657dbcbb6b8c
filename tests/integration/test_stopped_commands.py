"""Commands that ask a hub which does not answer, stopped: one word or one object, and the exit code of the signal."""

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import jsonschema
import pytest
from support.outside import ROOT, Traveller

from chunkdl.testing import HubRepo, MirrorServer

REPO = HubRepo("org/name", {"config.json": "{}"})


@contextmanager
def asking_a_silent_hub(traveller, *argv):
    """A process that has connected to a hub, and waits for its answer."""
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.settimeout(60)
        where = ("--no-mirrors", "--origin", f"http://127.0.0.1:{hub.getsockname()[1]}")
        process = subprocess.Popen(
            [sys.executable, "-m", "chunkdl", *(each for word in argv for each in (where if word == "@" else (word,)))],
            cwd=traveller.home,
            env={**traveller.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        connection, _ = hub.accept()
        with connection:
            connection.recv(1)
            yield process
        process.wait(60)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("schema", "argv"),
    [
        ("lock", ("lock", "org/name", "@", "--json")),
        ("doctor", ("doctor", "org/name", "@", "--json")),
        ("mirrors-test", ("mirrors", "test", "org/name", "@", "--json")),
        ("report", ("fetch", "org/name", "@", "--json")),
        (None, ("run", "@", "--fetch", "org/name", "--", "echo", "started")),
    ],
)
def test_a_stopped_command_says_so_and_ends_with_the_signals_code(tmp_path, schema, argv, signum, code):
    with asking_a_silent_hub(Traveller(tmp_path), *argv) as process:
        process.send_signal(signum)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("error: interrupted") == 1
    assert "Traceback" not in err
    if schema is None:
        assert out == ""
        assert "hint: resume with: chunkdl run" in err
    else:
        told = json.loads(out)
        jsonschema.Draft202012Validator(json.loads((ROOT / "fixtures" / f"{schema}.schema.json").read_text())).validate(
            told
        )
        assert told["exit_code"] == code


@pytest.mark.parametrize("how", [("--offline",), ()])
def test_offline_what_is_to_be_there_first_is_looked_for(tmp_path, how):
    environ = {} if how else {"HF_HUB_OFFLINE": "1"}
    traveller = Traveller(tmp_path, **environ)
    argv = ("run", *how, "--fetch", "org/name", "--", "echo", "started")
    missing = traveller.run(*argv)
    assert (missing.code, missing.out) == (3, "")
    assert "org/name" in missing.err
    with MirrorServer([REPO]).in_thread() as hub:
        assert traveller.run("fetch", "--online", "org/name", "--no-mirrors", "--origin", hub.url).code == 0
        url = hub.url
    there = traveller.run(*argv, CHUNKDL_ORIGIN=url)
    assert (there.code, there.out) == (0, "started\n"), there.err
