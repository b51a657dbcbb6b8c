"""Folders that nobody else may write to: made so under any umask, and told from others."""

import os

import pytest

from chunkdl.batch.database import open_database
from chunkdl.identify.known import Known
from chunkdl.mirrors.memory import load_memory
from chunkdl.mirrors.remembered import Seen, Way
from chunkdl.own_folder import check_own, is_own, make_own


@pytest.fixture
def open_handed():
    """The umask of Debian's users, whose groups have one member, and of those who share a cache."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def modes(folder, upto):
    above = [folder, *folder.parents]
    return [each.stat().st_mode & 0o777 for each in above[: above.index(upto)]]


def test_what_is_made_is_ones_own_up_to_what_was_there(tmp_path, open_handed):
    folder = tmp_path / "state" / "origins" / "x"
    make_own(folder)
    make_own(folder)
    assert modes(folder, tmp_path) == [0o700] * 3


@pytest.mark.parametrize(("mode", "own"), [(0o700, True), (0o755, True), (0o775, False), (0o757, False)])
def test_who_may_write_decides(tmp_path, mode, own):
    tmp_path.chmod(mode)
    assert is_own(tmp_path) is own
    if not own:
        with pytest.raises(PermissionError, match="others may write"):
            check_own(tmp_path)


def test_one_of_another_user_is_not_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert not is_own(tmp_path)


async def test_the_state_folder_is_believed_whoever_makes_it_first(tmp_path, open_handed):
    """Its parts are made by different hands, each of which may be the first."""
    await Known(tmp_path / "state", "https://origin.example").note_silence(1.0)
    memory = load_memory(tmp_path / "state")
    memory.learn([Seen(Way("https://m.example", "m:443"), 1.0)], 1.0)
    assert memory.notices == []
    assert load_memory(tmp_path / "state").book
    open_database(tmp_path / "other" / "queue.sqlite").close()
    assert is_own(tmp_path / "other")
