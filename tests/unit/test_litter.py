"""What killed processes leave half made: swept by a later run, and never from under a living one."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from chunkdl.assemble import staging
from chunkdl.disk import NEW_SUFFIX, new_name
from chunkdl.pipeline.state_litter import tidy_state
from chunkdl.process_identity import stamp, this_process
from chunkdl.transfer.owner_record import OwnerRecord, encode_owner

HOUR_S = 3600.0
DEAD = replace(this_process(), started=1)


def stamp_of_a_dead_process():
    where = stamp().partition("-")[0]
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    return f"{where}-{int(child.stdout)}-{this_process().started}"


def left(folder, name, age_s=0.0):
    path = folder / name
    path.write_bytes(b"half")
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def later(monkeypatch):
    """Two days pass, by the clock that stamps files: a change of name cannot be dated back."""
    real = staging.now_in
    monkeypatch.setattr(staging, "now_in", lambda folder: real(folder) + 48 * HOUR_S)


def test_what_a_dead_process_of_this_host_was_writing_goes_at_once(tmp_path):
    dead = stamp_of_a_dead_process()
    left(tmp_path, f"0123456789abcdef.{dead}{NEW_SUFFIX}")
    left(tmp_path, f"abc.chunkdl-owner.0123abcd.{dead}{NEW_SUFFIX}")
    left(tmp_path, f"0123.{dead}{NEW_SUFFIX}.4567.{dead}{NEW_SUFFIX}")
    kept = [left(tmp_path, name).name for name in ("abc", "abc.chunkdl-part", "abc.chunkdl-journal")]
    staging.sweep(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_what_a_living_process_is_at_stays_however_old_it_is(tmp_path, later):
    with staging.staging(tmp_path) as new:
        new.write_bytes(b"")
        beside = new_name(tmp_path / "x")
        beside.write_bytes(b"")
        staging.sweep(tmp_path)
        assert names(tmp_path) == sorted([new.name, beside.name])


FOREIGN = ["0123456789abcdef", "0123456789abcdef.deadbeef-1-2", "..", "x.-"]


@pytest.mark.parametrize("name", FOREIGN)
def test_what_another_host_or_version_was_writing_may_be_in_use(tmp_path, name):
    path = left(tmp_path, f"{name}{NEW_SUFFIX}", age_s=400 * HOUR_S)
    staging.sweep(tmp_path)
    assert path.exists(), "it was given its name just now, whatever its bytes are dated"


@pytest.mark.parametrize("name", FOREIGN)
def test_and_goes_when_it_is_days_old(tmp_path, later, name):
    left(tmp_path, f"{name}{NEW_SUFFIX}")
    staging.sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_right_to_replace_an_owner_goes_once_the_owner_has(tmp_path, later):
    right, owner = left(tmp_path, "abc.chunkdl-owner.2"), left(tmp_path, "abc.chunkdl-owner")
    staging.sweep(tmp_path)
    assert right.exists()
    owner.unlink()
    staging.sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_right_of_this_moment_stays(tmp_path):
    right = left(tmp_path, "abc.chunkdl-owner.2")
    os.utime(right)
    staging.sweep(tmp_path)
    assert right.exists()


def test_a_folder_that_cannot_be_read_or_is_none_is_no_error(tmp_path):
    staging.sweep(tmp_path / "nowhere")
    staging.sweep(left(tmp_path, "file"))


def owner_file(path, process, age_s):
    path.write_bytes(encode_owner(OwnerRecord(process, "n", 1)))
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def test_flights_that_nobody_went_on_with_are_forgotten_after_an_hour(tmp_path):
    flights = tmp_path / "origins" / "o"
    flights.mkdir(parents=True)
    owner_file(flights / "flight-a.owner", DEAD, 2 * HOUR_S)
    young = owner_file(flights / "flight-b.owner", DEAD, 60.0)
    alive = owner_file(flights / "flight-c.owner", this_process(), 2 * HOUR_S)
    left(tmp_path, f"mirrors.json.01.{stamp_of_a_dead_process()}{NEW_SUFFIX}")
    tidy_state(tmp_path, flights)
    assert names(flights) == [young.name, alive.name]
    assert names(tmp_path) == ["origins"]
    tidy_state(tmp_path / "nowhere", tmp_path / "nowhere")
