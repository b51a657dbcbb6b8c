"""SIGKILL at the first, second, third … change of the disk: half a write, and nothing after it.

Counted are writes, journal appends, creations, links, renames, removals, folders and syncs. After each kill nothing
wrong is under a final name, the layout is one that the hub's scanner accepts, and the next run succeeds.
"""

from __future__ import annotations

import shutil
import signal

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules, half_made
from tests.support.trials import FACTOR, copied, half_fetched, seeded

SIZE = 5 << 20  # two segments, a journal, and 0.4 s at the rate below: two flushes
RATE = 8 << 20
WEIGHTS = SeededContent(31, SIZE)
REPO = HubRepo(
    "org/name", {"config.json": b"{}", "nested/notes.txt": b"notes", "empty.txt": b"", "model.safetensors": WEIGHTS}
)
OTHER = HubRepo("org/other", {"model.safetensors": WEIGHTS})


@pytest.fixture(scope="module")
def url():
    with MirrorServer([REPO, OTHER], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server.url


def nothing(_workers, folder, _url):
    folder.mkdir()


def half(workers, folder, url):
    """A part file and its journal, as a killed run leaves them."""
    folder.mkdir()
    half_fetched(workers, folder, url)


def neighbour(workers, folder, url):
    """The same content in another repository: linked, not fetched."""
    folder.mkdir()
    assert workers.one(folder, url).status == 0
    (folder / "hub" / "models--org--name").rename(folder / "hub" / "models--org--other")


# How often every change is killed at: each one, or every second or third.
STATES = [(nothing, 1), (half, 3), (neighbour, 3)]


@pytest.mark.parametrize(("state", "step"), STATES, ids=lambda each: getattr(each, "__name__", f"every {each}"))
def test_a_kill_at_the_nth_change_is_never_seen_afterwards(tmp_path, workers, url, state, step):
    before = tmp_path / "before"
    state(workers, before, url)
    changes = workers.one(copied(before, tmp_path / "whole"), url).calls
    assert len(changes) > 40

    def judge(server, number):
        folder = copied(before, tmp_path / str(number))
        killed = server.run(folder, url, kill_at=number)
        if killed.status != 0:  # a run differs a little from the rehearsal: the number may come too late
            assert killed.status == -signal.SIGKILL, killed
        else:
            assert number > len(killed.calls), killed
        assert broken_rules(folder / "hub", REPO) == [], f"after a kill at {number}, {changes[number - 1]}"
        again = server.run(folder, url)
        assert again.status == 0, f"after a kill at {number}, {changes[number - 1]}: {again}"
        assert broken_rules(folder / "hub", REPO, finished=True) == [], f"after a kill at {number} and another run"
        assert half_made(folder / "state") == [], f"after a kill at {number} and another run"
        shutil.rmtree(folder)

    step = max(1, step // FACTOR)
    workers.each(judge, range(1 + seeded() % step, len(changes) + 1, step))
