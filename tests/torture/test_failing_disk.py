"""A disk that refuses: full, over quota, broken or read-only, from the n-th change on or that once.

The command ends well, or with 6 and one line that names the place and one that names the next step; what was stored
is kept, nothing wrong is under a final name, and once the disk is well again the next run succeeds.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules
from tests.support.trials import FACTOR, copied, say, seeded

SIZE = 5 << 20
RATE = 8 << 20
REPO = HubRepo(
    "org/name",
    {
        "config.json": b"{}",
        "nested/notes.txt": b"notes",
        "empty.txt": b"",
        "model.safetensors": SeededContent(32, SIZE),
    },
)
STORAGE_EXIT_CODE = 6


@pytest.fixture(scope="module")
def url():
    with MirrorServer([REPO], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server.url


def assert_told(ending, folder):
    """One line with the place, one with what to do, and no sign of a bug."""
    assert ending.status == STORAGE_EXIT_CODE, ending
    errors = re.findall(r"^error: (.+)$", ending.err, re.MULTILINE)
    assert len(errors) == 1, ending
    assert str(folder / "hub") in errors[0], ending
    assert re.search(r"^hint: .{20,}$", ending.err, re.MULTILINE), ending
    assert "Traceback" not in ending.err, ending


@pytest.mark.parametrize("once", [False, True], ids=["from-then-on", "once"])
@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_a_refusal_at_the_nth_change_ends_in_6_or_does_no_harm(tmp_path, workers, url, name, once):
    (tmp_path / "before").mkdir()
    refuse_at_each(tmp_path, workers, url, {"errno": name, "once": once})


@pytest.mark.parametrize("once", [False, True], ids=["from-then-on", "once"])
def test_a_refusal_while_everything_is_fetched_again_leaves_what_stood(tmp_path, workers, url, once):
    assert workers.one(tmp_path / "before", url).status == 0
    refuse_at_each(tmp_path, workers, url, {"errno": "EIO", "once": once}, flags=("--force",))


def refuse_at_each(tmp_path, workers, url, failure, flags=()):
    before = tmp_path / "before"
    changes = workers.one(copied(before, tmp_path / "whole"), url, flags=flags).calls
    seed, step = seeded(), max(1, 8 // FACTOR)

    def judge(server, number):
        folder = copied(before, tmp_path / str(number))
        met = f"{failure} at {number}, {changes[number - 1]}"
        ending = server.run(folder, url, flags=flags, fail_at={"n": number, **failure})
        if ending.status:
            assert_told(ending, folder)
        assert broken_rules(folder / "hub", REPO) == [], f"{met}: {ending}"
        again = server.run(folder, url)
        assert again.status == 0, f"after {met}: {again}"
        assert broken_rules(folder / "hub", REPO, finished=True) == [], f"after {met} and another run"
        shutil.rmtree(folder)
        return ending.status

    endings = workers.each(judge, range(1 + seed % step, len(changes) + 1, step))
    say(f"{failure}: how many ended how: {Counter(endings)}")
    assert STORAGE_EXIT_CODE in endings
