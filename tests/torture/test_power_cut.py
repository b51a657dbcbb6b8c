"""A power cut at any moment: what was not synced is there, or not, or in part; afterwards no wrong byte is ever placed.

A run is recorded, change by change; from the record many disks are made that a cut may leave, and on each the command
runs again. Disks that keep the order of names (one journal, as ext4, XFS and btrfs have) must also be sound before
that: what stands under a final name is whole, a ref leads to all files.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules
from tests.support.power import after_cut
from tests.support.trials import FACTOR, half_fetched, seeded

SIZE = 5 << 20
RATE = 8 << 20
WEIGHTS = SeededContent(33, SIZE)
REPO = HubRepo(
    "org/name", {"config.json": b"{}", "nested/notes.txt": b"notes", "empty.txt": b"", "model.safetensors": WEIGHTS}
)
CUTS = 48 * FACTOR  # disks for each beginning
# No machine is up again sooner: what was being written when the power went is no living process's work.
REBOOT_S = 12.0
KEPT = (0.0, 0.3, 0.7, 1.0)  # the chance that something unsynced arrived nevertheless


@pytest.fixture(scope="module")
def url():
    with MirrorServer([REPO], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server.url


def recorded(workers, folder, url, record, **more):
    """The changes of a run in ``folder``, that succeeds."""
    ending = workers.one(folder, url, record=str(record), root=str(folder), **more)
    assert ending.status == 0, ending
    return pickle.loads(record.read_bytes())


def nothing(_workers, folder, _url):
    folder.mkdir()


def half(workers, folder, url):
    """A part file and its journal, as a killed run leaves them, on the disk since long ago."""
    folder.mkdir()
    half_fetched(workers, folder, url)


@pytest.mark.parametrize("ordered", [True, False], ids=["names-in-order", "names-in-any-order"])
@pytest.mark.parametrize("state", [nothing, half])
def test_whatever_a_power_cut_leaves_no_wrong_byte_is_placed(tmp_path, workers, url, state, ordered):
    start = tmp_path / "start"
    state(workers, start, url)
    found = sum(1 for _ in start.rglob("*"))
    changes = recorded(workers, start, url, tmp_path / "record")
    rng = random.Random(seeded())

    def judge(server, case):
        moment, kept, seed = case
        folder = tmp_path / f"{moment}-{kept}-{seed}"
        folder.mkdir()
        after_cut(changes, moment, folder, random.Random(seed), ordered=ordered, kept=kept)
        for path in folder.rglob("*.chunkdl-owner*"):
            then = path.stat().st_mtime - REBOOT_S
            os.utime(path, (then, then))
        what = f"a cut after {moment} of {len(changes)} changes, kept {kept}, seed {seed}"
        wrong = broken_rules(folder / "hub", REPO)
        assert [each for each in wrong if ordered or "WRONG" in each] == [], what
        again = server.run(folder, url)
        assert again.status == 0, f"after {what}: {again}"
        assert broken_rules(folder / "hub", REPO, finished=True) == [], f"after {what} and another run"
        shutil.rmtree(folder)

    first = min(3 * found, len(changes) // 2)  # what stood there before was synced before
    moments = [rng.randint(first, len(changes)) for _ in range(CUTS // 2)]
    workers.each(judge, [(moment, rng.choice(KEPT), rng.randrange(1 << 30)) for moment in moments])


def test_what_a_finished_run_has_placed_survives_the_cut_that_follows_at_once(tmp_path, workers, url):
    start = tmp_path / "start"
    start.mkdir()
    changes = recorded(workers, start, url, tmp_path / "record")
    folder = tmp_path / "after"
    folder.mkdir()
    after_cut(changes, len(changes), folder, random.Random(1), ordered=True, kept=0.0)
    assert broken_rules(folder / "hub", REPO) == []
    snapshot = folder / "hub" / "models--org--name" / "snapshots" / REPO.commit
    assert WEIGHTS.first_difference((snapshot / "model.safetensors").read_bytes()) is None
    assert (folder / "hub" / "models--org--name" / "refs" / "main").read_text() == REPO.commit
