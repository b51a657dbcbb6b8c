"""A real SOCKS server (microsocks) that alone can resolve the names of a test's hosts.

libnss_wrapper gives it a hosts file of its own: a client that resolved such a name itself would fail.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.programs import found, serving

USER, PASSWORD = "walker", "shoe-leather"


@dataclass(frozen=True)
class Socks:
    folder: Path
    port: int

    def url(self, scheme: str, credentials: str = f"{USER}:{PASSWORD}") -> str:
        return f"{scheme}://{f'{credentials}@' if credentials else ''}127.0.0.1:{self.port}"

    def reached(self) -> set[str]:
        """The ``name:port`` or ``address:port`` that clients asked for and got."""
        lines = (self.folder / "log").read_text().splitlines()
        return {line.rpartition("connected to ")[2].strip() for line in lines if "connected to " in line}


def wrapper() -> str:
    """The library that Debian's libnss-wrapper brings."""
    path = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None)
    assert path is not None, "libnss-wrapper is not installed: run scripts/install"
    return str(path)


@contextmanager
def microsocks(folder, names):
    """A running microsocks that wants a password and finds ``names`` on loopback."""
    program = found("microsocks")
    (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names))
    environ = {**os.environ, "LD_PRELOAD": wrapper(), "NSS_WRAPPER_HOSTS": str(folder / "hosts")}

    def start(port):
        with (folder / "log").open("wb") as log:
            command = [program, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD]
            return subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    with serving(start, 1) as (port,):
        yield Socks(folder, port)
