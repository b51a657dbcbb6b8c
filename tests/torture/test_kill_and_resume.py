"""kill -9 at random moments of whole commands, with another mixture of mirrors each time.

What a kill costs is bounded, nothing wrong appears, and whenever a command lives to its end everything is there: then
all begins anew, so that kills meet first requests, transfers and placements alike. A life is counted from the first
request on, so that a slow machine dies where a fast one does; every fifth from the start of the interpreter.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from chunkdl.core.journal_codec import claims, decode
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules
from tests.support.trials import FACTOR, say, seeded

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 50 * FACTOR
RATE = 32 << 20  # bytes a second of all mirrors of a mixture together
SIZE = 12 << 20
FILES = 3
LIVES_S = 0.7  # at most, after the first request
STILLBORN = 5  # every so many-th is killed within that time of its start, mostly before it asks for anything
# A kill may lose what half a second brought, and what lay in socket buffers or on its way to the disk.
FLUSH_S = 0.5
IN_FLIGHT_BYTES = 4 << 20
LIMIT_S = 60.0


def fetch(folder: Path, urls) -> subprocess.Popen:
    environ = {**os.environ, "HF_HUB_CACHE": str(folder / "hub"), "CHUNKDL_STATE_DIR": str(folder / "state")}
    mirrors = [argument for url in urls[1:] for argument in ("--mirror", url)] or ["--no-mirrors"]
    command = [sys.executable, "-m", "chunkdl", "fetch", "org/name", "--origin", urls[0], *mirrors, "--quiet"]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept_bytes(hub: Path) -> int:
    """What is placed, and what journals claim of the rest."""
    placed = sum(path.stat().st_size for path in hub.glob("*/blobs/*") if len(path.name) == 64)
    journals = [path for path in hub.glob("*/blobs/*.chunkdl-journal") if not path.with_suffix("").exists()]
    return placed + sum(len(each.range) for path in journals for each in claims(decode(path.read_bytes()).records))


def until_it_asks(process: subprocess.Popen, servers) -> None:
    """Returns once a request has come, or nothing will come any more."""
    before, until = asked(servers), time.monotonic() + LIMIT_S
    while asked(servers) == before and time.monotonic() < until:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
            return


def asked(servers) -> int:
    return sum(each.requests for each in servers)


def killed(process: subprocess.Popen, after_s: float) -> bool:
    """True if it was killed; else it ended by itself, and well."""
    try:
        _, err = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0, err
    return False


def test_fifty_kills_lose_half_a_second_each_and_never_place_a_wrong_byte(tmp_path):
    seed = seeded()
    rng = random.Random(seed)
    weights = {f"model-{part}.safetensors": SeededContent(seed + part, SIZE) for part in range(FILES)}
    repo = HubRepo("org/name", {"config.json": b"{}", "nested/empty.txt": b"", **weights})
    hub = tmp_path / "hub"
    lost, survived = [], 0
    with ExitStack() as stack:
        # Small buffers: what was served and never read is what a kill is not to blame for.
        servers = [stack.enter_context(MirrorServer([repo], send_buffer_bytes=64 << 10).in_thread()) for _ in range(3)]
        while len(lost) < KILLS:
            mixture = rng.sample(servers, rng.randint(1, 3))
            for each in mixture:
                each.rate_bytes_per_s = RATE / len(mixture)
            served_before, kept_before = sum(each.bytes_served for each in servers), kept_bytes(hub)
            process = fetch(tmp_path, [each.url for each in mixture])
            if len(lost) % STILLBORN:
                until_it_asks(process, servers)
            if killed(process, rng.uniform(0, LIVES_S)):
                served = sum(each.bytes_served for each in servers) - served_before
                lost.append((served - kept_bytes(hub) + kept_before) / (RATE * FLUSH_S + IN_FLIGHT_BYTES))
                assert broken_rules(hub, repo) == [], f"after kill {len(lost)}"
            else:
                assert broken_rules(hub, repo, finished=True) == [], f"after kill {len(lost)}"
                shutil.rmtree(hub)
                survived += 1
    say(f"{survived} commands lived; a kill lost {sum(lost) / KILLS:.2f} of what it may, {max(lost):.2f} at most")
    assert max(lost) <= 1.0
    assert survived, "no command lived to its end: the kills come too early"
