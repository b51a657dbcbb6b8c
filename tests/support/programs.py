"""Programs as child processes of a test: started, waited for, ended by their own id, never waited for without a bound.

A missing program is a failure, never a skip: ``scripts/install`` brings it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

# They answer within milliseconds of their start; a machine busy with other tests may take seconds.
LIMIT_S = 20.0
# Of whoever is listened to: an interpreter that starts and what it then does, on a machine busy with other tests.
HEARD_S = 60.0
_EACH_LOOK_S = 0.02
# Somebody else may take a port between the look and the start.
_TRIES = 3


def found(program: str) -> str:
    """The path of ``program``; Debian keeps servers out of users' PATH."""
    path = shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
    if path is None:
        raise AssertionError(f"{program} is not installed: run scripts/install")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def looks(look, limit_s: float = LIMIT_S):
    """What ``look`` sees, again and again, for whoever waits for a sight; an error once that takes too long."""
    until, never = time.monotonic() + limit_s, threading.Event()
    while time.monotonic() < until:
        yield look()
        never.wait(_EACH_LOOK_S)
    raise AssertionError(f"nothing within {limit_s:.0f} s: {look()}")


@contextmanager
def killed_after(process, limit_s: float = HEARD_S):
    """A block that waits for what ``process`` says: after the limit it is killed, and what is read is its end."""
    bound = threading.Timer(limit_s, process.kill)
    bound.start()
    try:
        yield process
    finally:
        bound.cancel()
        bound.join()


def line_of(process) -> str | bytes:
    """The next line that ``process`` writes on stdout, without its end; empty if it ends or takes too long."""
    with killed_after(process):
        return process.stdout.readline().strip()


@contextmanager
def serving(start, ports):
    """``start(*ports)`` gives a process that listens on every one of ``ports`` free ports; their numbers."""
    for left in reversed(range(_TRIES)):
        chosen = [free_port() for _ in range(ports)]
        process = start(*chosen)
        try:
            if _listens(process, chosen):
                yield chosen
                return
        finally:
            _end(process)
        assert left, f"{process.args[0]} does not listen: {process.args}"


def _listens(process, ports) -> bool:
    """False once the process has ended, or after the limit."""
    for port in ports:
        for _ in range(int(LIMIT_S / _EACH_LOOK_S)):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            try:
                process.wait(_EACH_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            return False
        else:
            return False
    return True


def _end(process) -> None:
    process.terminate()
    try:
        process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
