"""The README's Python runs as it stands there."""

import subprocess
import sys
import textwrap
from pathlib import Path

from conftest import LIMIT_S

README = Path(__file__).parents[2] / "README.md"


def test_the_code_from_python_runs(hub):
    section = README.read_text(encoding="utf-8").partition("## From Python")[2]
    lines = section.partition("\n\n")[2].partition("\n\nEvery option")[0]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(lines)],
        env=hub.environment(HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.server.url, CHUNKDL_MIRRORS="none"),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stdout
    assert "ReferencePlaced" in done.stdout
