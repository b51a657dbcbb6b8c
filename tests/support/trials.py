"""Trials of the whole command: many, quick, each killed, failed or recorded somewhere else."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chunkdl.core.journal_codec import decode
from tests.support.programs import HEARD_S, killed_after
from tests.support.trial_server import HANGS  # noqa: F401  for those who judge

PROGRAM = Path(__file__).with_name("trial_server.py")
SEED = int(os.environ.get("CHUNKDL_SEED", "20261122"))
# The long form does everything so many times more often (scripts/torture --minutes).
FACTOR = int(os.environ.get("CHUNKDL_TORTURE", "1"))
LIMIT_S = 40.0


def seeded() -> int:
    """The seed of this run, said so that a failure can be replayed."""
    say(f"seed {SEED}: CHUNKDL_SEED={SEED} replays")
    return SEED


def say(text: str) -> None:
    """Something to be seen if the test fails, or with ``-rP``."""
    sys.stdout.write(f"{text}\n")


@dataclass(frozen=True)
class Ending:
    """How a trial ended: exit code, minus a signal, or HANGS."""

    status: int
    out: str
    err: str
    calls: list[str]
    took_s: float

    def __str__(self) -> str:
        return f"status {self.status} after {self.took_s:.1f} s\n{self.out}\n{self.err}"


class TrialServer:
    """One process that forks trials, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *urls: str, ref="org/name", flags=(), environ=(), **more) -> Ending:
        """``chunkdl fetch`` of ``ref`` with its cache and state below ``folder``."""
        mirrors = [argument for url in urls[1:] for argument in ("--mirror", url)] or ["--no-mirrors"]
        argv = ["fetch", ref, "--origin", urls[0], *mirrors, "--progress", "none", *flags]
        places = {"HF_HUB_CACHE": str(folder / "hub"), "CHUNKDL_STATE_DIR": str(folder / "state")}
        trial = {"argv": argv, "environ": {**places, **dict(environ)}, "limit_s": LIMIT_S, **more}
        self._process.stdin.write(json.dumps(trial) + "\n")
        self._process.stdin.flush()
        with killed_after(self._process, trial["limit_s"] + HEARD_S):
            return Ending(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate(timeout=20)


class Trials:
    """A few servers, and work for them that mostly waits for a network."""

    def __init__(self, servers) -> None:
        self._free = queue.SimpleQueue()
        self._count = len(servers)
        for each in servers:
            self._free.put(each)

    def each(self, judge, cases) -> list:
        """``judge(server, case)`` for every case, several at a time; raises what the first failing one raised."""
        with ThreadPoolExecutor(self._count) as pool:
            return list(pool.map(lambda case: self._judge(judge, case), cases))

    def one(self, folder: Path, *urls: str, **more) -> Ending:
        """One trial by itself."""
        with self._borrowed() as server:
            return server.run(folder, *urls, **more)

    def _judge(self, judge, case):
        with self._borrowed() as server:
            return judge(server, case)

    @contextmanager
    def _borrowed(self):
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)


@contextmanager
def trials(count: int = 4):
    """Servers while the block runs."""
    with ExitStack() as stack:
        servers = [TrialServer() for _ in range(count)]
        for each in servers:
            stack.callback(each.close)
        yield Trials(servers)


def copied(before: Path, to: Path) -> Path:
    """A cache to torture, as another one is."""
    return Path(shutil.copytree(before, to, symlinks=True))


def half_fetched(trials: Trials, folder: Path, *urls: str) -> None:
    """A part file and its journal with records, as a killed run leaves them.

    The first two appends are state files, the third begins the journal.
    """
    slowly = ("--limit-rate", "8M")
    assert trials.one(folder, *urls, flags=slowly, kill_at_the=("append", 5)).status == -signal.SIGKILL
    (journal,) = folder.glob("hub/*/blobs/*.chunkdl-journal")
    assert decode(journal.read_bytes()).records
