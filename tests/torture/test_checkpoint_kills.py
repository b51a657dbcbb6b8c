"""A checkpoint among torch's, killed at the first, second, third … change of the disk, over an older file of its name.

After each kill the name stands for the old file or for the new one, whole; nothing else is to be seen by torch, which
looks at names alone; and the next run succeeds and leaves nothing behind.
"""

from __future__ import annotations

import shutil
import signal

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.journals import claimed_bytes
from tests.support.trials import FACTOR, copied, seeded

SIZE = 5 << 20
RATE = 8 << 20
NEW = SeededContent(51, SIZE)
OLD = b"what an older publication left"
NAME = f"tiny-{NEW.sha256[:8]}.pth"


@pytest.fixture(scope="module")
def host():
    with MirrorServer([HubRepo("org/name", {NAME: NEW})], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server


def checkpoints(folder):
    return folder / "torch" / "hub" / "checkpoints"


def of(host, folder):
    return {"ref": f"{host.url}/org/name/resolve/main/{NAME}", "environ": {"TORCH_HOME": str(folder / "torch")}}


def nothing(folder):
    folder.mkdir()


def older(folder):
    checkpoints(folder).mkdir(parents=True)
    (checkpoints(folder) / NAME).write_bytes(OLD)


def shown(folder):
    """What torch can see: names that do not begin with a dot."""
    found = checkpoints(folder)
    return {each.name: each.read_bytes() for each in found.iterdir() if each.name[0] != "."} if found.exists() else {}


@pytest.mark.parametrize(("state", "step"), [(nothing, 4), (older, 3)])
def test_a_kill_at_the_nth_change_is_never_seen_afterwards(tmp_path, workers, host, state, step):
    before = tmp_path / "before"
    state(before)
    whole, right = copied(before, tmp_path / "whole"), {NAME: NEW.read(0, SIZE)}
    changes = workers.one(whole, host.url, **of(host, whole)).calls
    assert len(changes) > 20

    def judge(server, number):
        folder = copied(before, tmp_path / str(number))
        killed = server.run(folder, host.url, kill_at=number, **of(host, folder))
        if killed.status != 0:
            assert killed.status == -signal.SIGKILL, killed
        else:
            assert number > len(killed.calls), killed
        assert shown(folder) in (shown(before), right), f"after a kill at {number}, {changes[number - 1]}"
        again = server.run(folder, host.url, **of(host, folder))
        assert again.status == 0, f"after a kill at {number}, {changes[number - 1]}: {again}"
        assert again.out == f"{checkpoints(folder) / NAME}\n"
        assert shown(folder) == right
        assert [each.name for each in checkpoints(folder).iterdir()] == [NAME], f"after a kill at {number} and a run"
        shutil.rmtree(folder)

    step = max(1, step // FACTOR)
    workers.each(judge, range(1 + seeded() % step, len(changes) + 1, step))


def test_what_a_killed_run_stored_is_not_fetched_again(tmp_path, workers, host):
    slowly = ("--limit-rate", "2M")
    killed = workers.one(tmp_path, host.url, flags=slowly, kill_at_the=("append", 4), **of(host, tmp_path))
    assert killed.status == -signal.SIGKILL, killed
    stored = claimed_bytes(checkpoints(tmp_path))
    assert stored > 0
    served = host.bytes_by_file[NAME]
    assert workers.one(tmp_path, host.url, **of(host, tmp_path)).status == 0
    assert host.bytes_by_file[NAME] - served <= SIZE - stored // 2  # half: for a doubled tail
    assert NEW.first_difference((checkpoints(tmp_path) / NAME).read_bytes()) is None
