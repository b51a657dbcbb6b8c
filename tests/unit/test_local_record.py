import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cache_world import COMMIT, CONTENT, files_named

from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.local_record import FileRecord, look, read_record, write_record

[WEIGHTS] = files_named("model.safetensors")
[CONFIG] = files_named("config.json")


@pytest.fixture
def folder(tmp_path):
    found = LocalFolder(tmp_path)
    found.downloads.mkdir(parents=True)
    return found


def put(folder, file=WEIGHTS, *, data=None, written_at=1000.0, recorded_at=1000.0, etag=None):
    path = folder.file(file.path)
    path.write_bytes(CONTENT[file.path] if data is None else data)
    os.utime(path, (written_at, written_at))
    write_record(
        folder.metadata(file.path), FileRecord(COMMIT, etag or file.digest.hex, recorded_at), stage_in=folder.downloads
    )
    return look(folder, file.path)


def test_the_form_is_the_hubs():
    record = FileRecord(COMMIT, WEIGHTS.digest.hex, 1712656091.123)
    assert record.encode() == f"{COMMIT}\n{WEIGHTS.digest.hex}\n1712656091.123\n".encode()


@given(st.floats(0, 2**40), st.sampled_from([WEIGHTS.digest.hex, CONFIG.digest.hex]))
def test_what_is_written_is_read_back(timestamp, etag):
    record = FileRecord(COMMIT, etag, timestamp)
    assert FileRecord.decode(record.encode()) == record


@given(st.binary(max_size=200))
def test_garbage_is_no_record_and_no_fault(data):
    record = FileRecord.decode(data)
    assert record is None or record.commit == COMMIT


@pytest.mark.parametrize(
    "text", ["", "\n\n\n", f"{COMMIT}\nx\n", "main\nx\n1.0\n", f"{COMMIT}\nx\nnan\n", f"{COMMIT}\nx\ninf\n"]
)
def test_what_the_hub_would_not_have_written_is_no_record(text):
    assert FileRecord.decode(text.encode()) is None


@pytest.mark.parametrize(("late_s", "believed"), [(-5, True), (0, True), (1, True), (1.01, False), (60, False)])
def test_a_record_is_believed_unless_the_file_was_written_to_more_than_a_second_later(folder, late_s, believed):
    seen = put(folder, written_at=1000.0 + late_s)
    assert (seen.record is not None) is believed
    assert seen.is_known_as(WEIGHTS) is believed
    assert seen.may_be(WEIGHTS)


def test_another_size_is_another_file_whatever_the_record_says(folder):
    seen = put(folder, data=b"short")
    assert not seen.is_known_as(WEIGHTS)
    assert not seen.may_be(WEIGHTS)


def test_a_believed_record_of_another_content_spares_the_hashing(folder):
    assert not put(folder, etag="a" * 64).may_be(WEIGHTS)


def test_a_believed_record_of_the_other_kind_of_digest_rules_nothing_out(folder):
    seen = put(folder, etag="a" * 40)
    assert seen.may_be(WEIGHTS)
    assert not seen.is_known_as(WEIGHTS)


def test_a_link_is_never_looked_through(folder, tmp_path):
    put(folder, CONFIG)
    folder.file("link").symlink_to(folder.file("config.json"))
    assert look(folder, "link").status is None
    folder.metadata("config.json").rename(tmp_path / "record")
    folder.metadata("config.json").symlink_to(tmp_path / "record")
    assert look(folder, "config.json").record is None


def test_a_fifo_in_place_of_a_record_does_not_hold_us_up(folder):
    os.mkfifo(folder.metadata("x"))
    assert read_record(folder.metadata("x")) is None
