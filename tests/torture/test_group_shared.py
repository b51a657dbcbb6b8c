"""One cache, several users: a group's shared folder, somebody else's cache, somebody else's state folder.

Trials change their user, which takes root: elsewhere these tests are not collected (``conftest``).
"""

from __future__ import annotations

import os
import re
import signal
import stat
import tempfile
from pathlib import Path

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.cache_rules import broken_rules

SIZE = 5 << 20
RATE = 8 << 20
WEIGHTS = SeededContent(51, SIZE)
REPO = HubRepo(
    "org/name", {"config.json": b"{}", "nested/notes.txt": b"notes", "empty.txt": b"", "model.safetensors": WEIGHTS}
)
# Numbers that no machine gives to anybody.
ANNE, BERT, GROUP = 54_001, 54_002, 54_100
OPEN, USUAL, CLOSED = 0o002, 0o022, 0o077  # umasks


@pytest.fixture(scope="module")
def url():
    with MirrorServer([REPO], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server.url


@pytest.fixture
def place():
    """A folder that everybody may enter, as pytest's own is not; with the group's cache, and a home for each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for each in (ANNE, BERT):
            home = folder / str(each)
            home.mkdir(mode=0o700)
            os.chown(home, each, each)
        hub = folder / "hub"
        hub.mkdir()
        os.chown(hub, 0, GROUP)
        hub.chmod(0o2775)
        yield folder


def fetch(workers, place, url, user, umask, *, state=None, **more):
    home = place / str(user)
    environ = {"HOME": str(home), "CHUNKDL_STATE_DIR": str(state or home / "state"), "HF_HUB_CACHE": str(place / "hub")}
    return workers.one(place, url, who=(user, GROUP, umask), environ=environ, **more)


def half_fetched_by(workers, place, url, user, umask):
    killed = fetch(workers, place, url, user, umask, flags=("--limit-rate", "8M"), kill_at_the=("append", 5))
    assert killed.status == -signal.SIGKILL, killed
    assert list((place / "hub").glob("*/blobs/*.chunkdl-part")), killed


def modes(folder):
    return {path: path.lstat() for path in folder.rglob("*") if not path.is_symlink()}


def assert_refused(ending, place):
    """Exit 6, one line that names a path, one with what to do."""
    assert ending.status == 6, ending
    errors = re.findall(r"^error: (.+)$", ending.err, re.MULTILINE)
    assert len(errors) == 1, ending
    assert str(place / "hub") in errors[0], ending
    assert re.search(r"^hint: .{20,}$", ending.err, re.MULTILINE), ending


def test_what_one_of_a_group_began_another_ends_and_all_of_it_stays_the_group_s(workers, place, url):
    half_fetched_by(workers, place, url, ANNE, OPEN)
    ended = fetch(workers, place, url, BERT, OPEN)
    assert ended.status == 0, ended
    assert "were here already" in ended.err, ended
    assert broken_rules(place / "hub", REPO, finished=True) == []
    for path, found in modes(place / "hub").items():
        assert found.st_gid == GROUP, path
        if not path.name.endswith(".lock"):
            assert found.st_mode & stat.S_IWGRP, path
        assert not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_ISGID, path
    for user in (ANNE, BERT):
        again = fetch(workers, place, url, user, OPEN, flags=("--force",))
        assert again.status == 0, again
    assert broken_rules(place / "hub", REPO, finished=True) == []


def test_two_of_a_group_at_once_fetch_it_once(workers, place, url):
    ended = workers.each(
        lambda server, user: server.run(
            place,
            url,
            who=(user, GROUP, OPEN),
            environ={"HOME": str(place / str(user)), "CHUNKDL_STATE_DIR": str(place / str(user) / "state")},
        ),
        (ANNE, BERT),
    )
    assert [each.status for each in ended] == [0, 0], "\n".join(map(str, ended))
    assert broken_rules(place / "hub", REPO, finished=True) == []


def test_files_that_only_their_owner_may_write_are_taken_over_in_a_folder_that_is_the_group_s(workers, place, url):
    """The folders were made group-writable, the killed run's umask was the usual one: its part is not ours to write."""
    half_fetched_by(workers, place, url, ANNE, USUAL)
    for path, found in modes(place / "hub").items():
        if stat.S_ISDIR(found.st_mode):
            path.chmod(0o2775)
    ended = fetch(workers, place, url, BERT, OPEN)
    assert ended.status == 0, ended
    assert "were here already" in ended.err, ended
    assert broken_rules(place / "hub", REPO, finished=True) == []


def test_folders_that_only_their_owner_may_write_are_refused_by_name(workers, place, url):
    half_fetched_by(workers, place, url, ANNE, USUAL)
    assert_refused(fetch(workers, place, url, BERT, OPEN), place)
    assert fetch(workers, place, url, ANNE, OPEN).status == 0


def test_a_whole_cache_of_somebody_else_is_used_as_it_stands(workers, place, url):
    first = fetch(workers, place, url, ANNE, USUAL)
    assert first.status == 0, first
    before = modes(place / "hub")
    (place / "hub").chmod(0o755)
    second = fetch(workers, place, url, BERT, USUAL)
    assert (second.status, second.out) == (0, first.out), second
    assert {path: each.st_mtime_ns for path, each in modes(place / "hub").items()} == {
        path: each.st_mtime_ns for path, each in before.items()
    }


def test_a_cache_of_somebody_else_that_lacks_something_is_refused_by_name(workers, place, url):
    assert fetch(workers, place, url, ANNE, USUAL, flags=("--include", "config.json")).status == 0
    assert_refused(fetch(workers, place, url, BERT, USUAL), place)


def test_a_cache_that_may_not_even_be_read_is_refused_by_name(workers, place, url):
    assert fetch(workers, place, url, ANNE, CLOSED).status == 0
    assert_refused(fetch(workers, place, url, BERT, USUAL), place)


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_a_state_folder_of_somebody_else_costs_memory_and_no_fetch(workers, place, url, mode):
    state = place / "state"
    state.mkdir()
    os.chown(state, ANNE, ANNE)
    assert fetch(workers, place, url, ANNE, OPEN, state=state).status == 0
    for path, found in modes(state).items():
        path.chmod(mode if stat.S_ISDIR(found.st_mode) else mode & 0o666)
    state.chmod(mode)
    ended = fetch(workers, place, url, BERT, OPEN, state=state, flags=("--force",))
    assert ended.status == 0, ended
    assert "Traceback" not in ended.err
    assert broken_rules(place / "hub", REPO, finished=True) == []
