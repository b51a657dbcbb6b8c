import errno
import os
import threading
from pathlib import Path

import pytest

from chunkdl.errors import StoreError
from chunkdl.identify import known_locks as module
from chunkdl.identify.known_locks import known_locks, remember_lock


def lock_at(folder):
    folder.mkdir(exist_ok=True)
    path = folder / "chunkdl.lock"
    path.write_text("")
    return path


def test_one_that_is_out_of_sight_is_not_forgotten(tmp_path):
    state, first, second = tmp_path / "state", lock_at(tmp_path / "disk"), lock_at(tmp_path / "b")
    remember_lock(state, first)
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    assert known_locks(state) == ()
    remember_lock(state, second)
    (tmp_path / "unmounted").rename(tmp_path / "disk")
    assert set(known_locks(state)) == {first, second}


def test_one_that_cannot_be_looked_for_stops_whoever_asks(tmp_path, monkeypatch):
    remember_lock(tmp_path / "state", lock_at(tmp_path / "a"))

    def broken(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))

    monkeypatch.setattr(Path, "exists", broken)
    with pytest.raises(StoreError, match=r"chunkdl\.lock"):
        known_locks(tmp_path / "state")


def test_of_two_that_are_written_at_once_both_are_kept(tmp_path, monkeypatch):
    state, first, second = tmp_path / "state", lock_at(tmp_path / "a"), lock_at(tmp_path / "b")
    other = threading.Thread(target=remember_lock, args=(state, second))
    write = module.write_atomically

    def slowly(path, data):
        if other.ident is None:
            other.start()
            other.join(0.5)  # it has its turn after us, or would have had it between our reading and our writing
        write(path, data)

    monkeypatch.setattr(module, "write_atomically", slowly)
    remember_lock(state, first)
    other.join()
    assert set(known_locks(state)) == {first, second}
