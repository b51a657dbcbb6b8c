"""``batch status --watch`` as a process: it shows a change by itself, and Ctrl-C is how it ends."""

import os
import signal
import subprocess
import sys

import pytest
from support.programs import killed_after

from chunkdl.batch.job import Task, Wish
from chunkdl.batch.queue import QUEUE_FILE, Queue


@pytest.fixture
def watching(tmp_path):
    environ = {
        **os.environ,
        "HOME": str(tmp_path),
        "CHUNKDL_STATE_DIR": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TZ": "UTC",
    }
    command = [sys.executable, "-m", "chunkdl", "batch", "status", "--watch"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def line_with(process, word):
    with killed_after(process):
        return next(line for line in process.stdout if word in line)


def test_a_change_is_shown_and_ctrl_c_ends_it_well(tmp_path, watching):
    assert "the queue is empty" in line_with(watching, "queue")
    with Queue(tmp_path / "state" / QUEUE_FILE) as queue:
        queue.add(Wish(Task("org/new")), 5.0)
        assert "waiting" in line_with(watching, "org/new")
        queue.begin(Task("org/new").job_id, 6.0)
        assert "running" in line_with(watching, "org/new")
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=30) == 0
