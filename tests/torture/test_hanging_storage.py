"""Storage that never answers again, as a mount whose server is gone: who is stopped is gone within a second.

And says where it hung, as far as Python can know.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

PROGRAM = Path(__file__).with_name("hanging_storage.py")
REPO = HubRepo("org/name", {"config.json": b"{}", "model.safetensors": SeededContent(41, 3 << 20)})
# One second is the promise, from the first signal on; this machine may be busy with other tests.
AT_ONCE_S = 5.0
# Where it hangs → what the message names.
NAMED = {
    "owner": r"flight-[0-9a-f]+\.owner",
    "write": r"flight-[0-9a-f]+\.owner",
    "small": r"models--org--name/blobs/[0-9a-f]{40}",
    "rename": r"models--org--name/blobs/[0-9a-f]{40}",
}


def stopped(folder, url, where, signum):
    """How the command ended that was sent ``signum`` once it hung, what it said, and how long it took."""
    environ = {"HF_HUB_CACHE": folder / "hub", "CHUNKDL_STATE_DIR": folder / "state", "HOME": folder}
    command = [sys.executable, PROGRAM, where, "fetch", "org/name", "--origin", url, "--no-mirrors", "--quiet"]
    with subprocess.Popen(
        command,
        env={**os.environ, **{key: str(value) for key, value in environ.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for line in process.stderr:
                if line == "hangs\n":
                    break
            process.send_signal(signum)
            began = time.monotonic()
            _, err = process.communicate(timeout=AT_ONCE_S)
        finally:
            process.kill()
    return process.returncode, err, time.monotonic() - began


@pytest.mark.parametrize("where", NAMED)
def test_who_is_stopped_is_gone_and_says_which_path_does_not_answer(tmp_path, where):
    with MirrorServer([REPO]).in_thread() as origin:
        status, err, took_s = stopped(tmp_path, origin.url, where, signal.SIGINT)
    assert status == 130, err
    assert took_s < AT_ONCE_S
    assert re.search(rf"^note: storage has been at work on {tmp_path}/.*{NAMED[where]}.* for ", err, re.MULTILINE), err
    assert err.count("error:") == 1


# A thread whose result nobody needs holds up the interpreter's end alone; the main thread even our handlers.
@pytest.mark.parametrize("where", ["listing", "main"])
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_neither_a_forsaken_thread_nor_the_main_thread_keeps_us(tmp_path, where, signum, status):
    with MirrorServer([REPO]).in_thread() as origin:
        found, err, took_s = stopped(tmp_path, origin.url, where, signum)
    assert found == status, err
    assert took_s < AT_ONCE_S
    assert "hint: resume with" in err
