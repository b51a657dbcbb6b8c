"""Converting in a process of its own: how much memory it takes, and what a signal or a kill leaves."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.support.safetensors_files import spelt

MIB = 1 << 20
# The program, its libraries and its buffers; what a large tensor may add to that is a few buffers.
ADDED_KIB_MAX = 24 << 10
# VmHWM belongs to this program alone; getrusage would count what its parent was before the exec.
MEASURED = (
    "import re, sys; from pathlib import Path; from chunkdl.cli.main import main; code = main(sys.argv[1:]);"
    "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1], file=sys.stderr); sys.exit(code)"
)


def model_of(folder, tensor_bytes):
    """One tensor of zeros, which take no room on the disk."""
    folder.mkdir(parents=True)
    path = folder / "model.safetensors"
    entry = {"dtype": "F32", "shape": [tensor_bytes // 4], "data_offsets": [0, tensor_bytes]}
    path.write_bytes(spelt({"w": entry}))
    os.truncate(path, path.stat().st_size + tensor_bytes)
    return folder


def environment(folder):
    return {**os.environ, "HF_HOME": str(folder / "hf"), "CHUNKDL_STATE_DIR": str(folder / "state")}


def peak_kib(folder, source):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "convert", source, "--dtype", "bf16", "-q"],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return int(done.stderr.split()[-1])


def test_memory_does_not_grow_with_the_model(tmp_path):
    small = peak_kib(tmp_path, model_of(tmp_path / "small", 1 * MIB))
    large = peak_kib(tmp_path, model_of(tmp_path / "large", 192 * MIB))
    assert large - small < ADDED_KIB_MAX


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_conversion_that_is_ended_leaves_nothing_at_the_new_name(tmp_path, signum, code):
    source = model_of(tmp_path / "work" / "model", 2048 * MIB)  # seconds of work
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkdl", "convert", source, "--dtype", "bf16", "--progress", "json"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killer = threading.Timer(60, process.kill)
    killer.start()
    with process:
        try:
            assert any('"progress"' in line for line in process.stderr), "it is at work"
            process.send_signal(signum)
            out, err = process.communicate()
        finally:
            process.kill()
            killer.cancel()
    assert (process.returncode, out) == (code, "")
    names = [each.name for each in source.parent.iterdir()]
    if signum == signal.SIGKILL:
        assert not (source.parent / "model-bf16").exists()
        (left,) = set(names) - {"model"}
        again = subprocess.run(
            [sys.executable, "-m", "chunkdl", "convert", source, "--dtype", "bf16", "--dry-run"],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert f"{left} is left of a conversion that was killed" in again.stderr
    else:
        assert names == ["model"]
        assert "nothing stands at the new name" in err
