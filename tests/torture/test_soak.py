"""Many fetches in one process, some of them cancelled, one mirror a bad one: nothing grows."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.trials import FACTOR, say

PROGRAM = Path(__file__).with_name("soak.py")
FETCHES = 100 * FACTOR
# Pools, caches and the allocator's arenas fill up first.
WARM = 30
SIZE = 3 << 20
REPO = HubRepo("org/name", {"config.json": b"{}", "notes.txt": b"notes", "model.safetensors": SeededContent(36, SIZE)})
# One buffer kept of each fetch would be 70 MiB at the end; what more threads at work at a time take is 9 each.
GROWTH_BYTES = 24 << 20
COUNTED = ("descriptors", "threads", "tasks", "objects")


def test_a_process_that_fetches_all_day_stays_as_it_was(tmp_path):
    with ExitStack() as stack:
        faults = ((), (), ("flip-bits",))
        servers = [stack.enter_context(MirrorServer([REPO], faults=each).in_thread()) for each in faults]
        command = [sys.executable, PROGRAM, tmp_path, str(FETCHES), *(each.url for each in servers)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=270 * FACTOR, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lefts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lefts) == FETCHES
    early, late = lefts[WARM // 2 : WARM], lefts[-WARM:]

    def least(
        what, part
    ):  # after a cancelled fetch something may linger until the next; what leaks is never gone again
        return min(each[what] for each in part)

    assert {what: least(what, late) for what in COUNTED} == {what: least(what, early) for what in COUNTED}
    grown = least("resident_bytes", late) - least("resident_bytes", early)
    say(f"{FETCHES} fetches, {grown / 2**20:.1f} MiB more resident")
    assert grown < GROWTH_BYTES
