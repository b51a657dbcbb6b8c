"""``--local-dir`` killed at the first, second, third … change of the disk, over a folder that holds an older commit.

After each kill every file is whole, the old one or the new one; no record that may be believed names other bytes
than stand there; and the next run succeeds. Two at once bring the same, and the big file once.
"""

from __future__ import annotations

import hashlib
import shutil
import signal

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.journals import claimed_bytes
from tests.support.trials import FACTOR, copied, seeded

SIZE = 5 << 20
RATE = 8 << 20
TWIN = b"the same under two names"


def repo(version):
    weights = SeededContent(41 + version, SIZE)
    return HubRepo(
        "org/name",
        {
            "config.json": b'{"version": %d}' % version,
            "model.safetensors": weights.read(0, SIZE),
            "nested/notes.txt": TWIN + b"%d" % version,
            "nested/twin.txt": TWIN + b"%d" % version,
            "same.txt": b"in both",
        },
    )


OLD, NEW = repo(1), repo(2)


@pytest.fixture(scope="module")
def new():
    with MirrorServer([NEW], per_connection_bytes_per_s=RATE).in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def old():
    with MirrorServer([OLD]).in_thread() as server:
        yield server.url


def into(folder):
    return {"flags": ("--local-dir", str(folder / "local"))}


def true_name(data, etag):
    if len(etag) == 64:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def broken_rules(folder, *, finished=False):
    """One line for each thing that is wrong in ``folder / "local"``."""
    local = folder / "local"
    for path in NEW.files:
        data = (local / path).read_bytes()
        if data != NEW.files[path] and (finished or data != OLD.files[path]):
            yield f"{path} is neither the old file nor the new one"
        record = local / ".cache" / "huggingface" / "download" / f"{path}.metadata"
        if not record.exists():
            if finished:
                yield f"{path} has no record"
            continue
        commit, etag, timestamp = record.read_text().splitlines()
        believed = (local / path).stat().st_mtime - 1 <= float(timestamp)
        if believed and true_name(data, etag) != etag:
            yield f"{path} is believed to be {etag}"
        if finished and (not believed or commit != NEW.commit):
            yield f"the record of {path} is of {commit}"
    names = {each.relative_to(local).parts[0] for each in local.rglob("*")}
    yield from (f"foreign: {each}" for each in names - {".cache", "nested"} - set(NEW.files))
    if finished:
        yield from (f"left over: {each.name}" for each in local.rglob("*.chunkdl-*"))


def test_a_kill_at_the_nth_change_is_never_seen_afterwards(tmp_path, workers, old, new):
    before = tmp_path / "before"
    before.mkdir()
    assert workers.one(before, old, **into(before)).status == 0
    rehearsal = copied(before, tmp_path / "whole")
    changes = workers.one(rehearsal, new.url, **into(rehearsal)).calls
    assert len(changes) > 40

    def judge(server, number):
        folder = copied(before, tmp_path / str(number))
        killed = server.run(folder, new.url, kill_at=number, **into(folder))
        if killed.status != 0:
            assert killed.status == -signal.SIGKILL, killed
        else:
            assert number > len(killed.calls), killed
        assert list(broken_rules(folder)) == [], f"after a kill at {number}, {changes[number - 1]}"
        again = server.run(folder, new.url, **into(folder))
        assert again.status == 0, f"after a kill at {number}, {changes[number - 1]}: {again}"
        assert again.out == f"{(folder / 'local').resolve()}\n"
        assert list(broken_rules(folder, finished=True)) == [], f"after a kill at {number} and another run"
        shutil.rmtree(folder)

    step = max(1, 2 // FACTOR)
    workers.each(judge, range(1 + seeded() % step, len(changes) + 1, step))


def test_what_a_killed_run_stored_is_not_fetched_again(tmp_path, workers, new):
    slowly = (*into(tmp_path)["flags"], "--limit-rate", "2M")
    killed = workers.one(tmp_path, new.url, flags=slowly, kill_at_the=("append", 5))
    assert killed.status == -signal.SIGKILL, killed
    (journal,) = (tmp_path / "local").rglob("*.chunkdl-journal")
    assert journal.parent == tmp_path / "local" / ".cache" / "huggingface" / "download"
    stored = claimed_bytes(tmp_path / "local")
    assert stored > 0
    served = new.bytes_by_file["model.safetensors"]
    assert workers.one(tmp_path, new.url, **into(tmp_path)).status == 0
    assert new.bytes_by_file["model.safetensors"] - served <= SIZE - stored // 2  # half: for a doubled tail
    assert list(broken_rules(tmp_path, finished=True)) == []


def test_two_at_once_fetch_the_big_file_once_and_both_succeed(tmp_path, workers, new):
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        served = new.bytes_by_file["model.safetensors"]
        ended = workers.each(lambda server, _, folder=folder: server.run(folder, new.url, **into(folder)), range(2))
        assert [each.status for each in ended] == [0, 0], "\n".join(map(str, ended))
        assert new.bytes_by_file["model.safetensors"] - served < SIZE * 1.5
        assert list(broken_rules(folder, finished=True)) == []
