"""A real olah, the caching mirror that labs run, in front of one of our hubs."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from support.programs import serving


@contextmanager
def olah(upstream, folder):
    """The address of an olah that fetches from ``upstream`` (http) what it does not hold in ``folder``."""
    program = Path(sys.executable).with_name("olah-cli")
    assert program.exists(), "olah is not installed: run scripts/loaders"
    folder.mkdir(exist_ok=True)
    scheme, _, place = upstream.partition("://")

    def start(port):
        own = f"127.0.0.1:{port}"
        options = {
            "host": "127.0.0.1",
            "port": port,
            "hf-scheme": scheme,
            "hf-netloc": place,
            "hf-lfs-netloc": place,
            "mirror-scheme": "http",
            "mirror-netloc": own,
            "mirror-lfs-netloc": own,
            "repos-path": folder / "repos",
            "log-path": folder / "logs",
        }
        command = [program, *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
        # It imports a library that looks for git, and uses it for nothing that is asked of it here.
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_PYTHON_REFRESH": "quiet"}
        with (folder / "olah.log").open("ab") as log:
            return subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)

    with serving(start, 1) as (port,):
        yield f"http://127.0.0.1:{port}"
