"""Nothing goes around the engine: a program in a network that ends at loopback loads its model all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import LIMIT_S

PROGRAM = Path(__file__).with_name("netns_program.py")


def test_from_pretrained_in_a_network_without_a_way_out(model_folder, expected, tmp_path):
    # Who is not root needs a user namespace of his own before he may have a network of his own.
    alone = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    done = subprocess.run(
        [*alone, sys.executable, str(PROGRAM), str(model_folder), str(tmp_path / "home")],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["interfaces"] == ["lo"]
    assert said.get("way_out") == "Network is unreachable", said
    assert abs(said["sum"] - float(expected.sum())) < 1e-4
    assert said["agents"] == ["chunkdl"]
    assert said["endpoint"].startswith("http://127.0.0.1:")
    assert not any(said["endpoint"].startswith(each) for each in said["hubs"])
