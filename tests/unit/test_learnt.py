import json
import os

import pytest

from chunkdl.identify.learnt import Learnt, Lesson, address_name
from chunkdl.model import Digest, DigestAlgorithm, Strength

URL = "https://host.example/model.pth?signature=secret"
SHA = Digest(DigestAlgorithm.SHA256, "a" * 64)
LESSON = Lesson(SHA, 5, '"tag"', Strength.PREFIX, 1234.5)


@pytest.fixture
def learnt(tmp_path):
    return Learnt(tmp_path / "state")


def files(tmp_path):
    return sorted((tmp_path / "state" / "files").iterdir())


def test_a_file_leads_back_to_its_address_after_it_was_written_to(learnt, tmp_path):
    url, path = "https://host.example/model.pth", tmp_path / "model.pth"
    path.write_bytes(b"hello")
    learnt.note(path, path.stat(), SHA, address_name(url))
    assert learnt.source(path) is None
    learnt.keep(url, LESSON)
    path.write_bytes(b"other")
    assert learnt.source(path) == (url, SHA)
    learnt.note(path, path.stat(), SHA, address_name(URL))
    learnt.keep(URL, LESSON)
    assert learnt.source(path) is None  # a query is not written down


@pytest.mark.parametrize("address", ["../../etc/passwd", "", "0" * 31, 7])
def test_a_note_that_was_meddled_with_leads_nowhere(address, learnt, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"hello")
    learnt.note(path, path.stat(), SHA, address_name(URL))
    (note,) = files(tmp_path)
    note.write_text(json.dumps(json.loads(note.read_text()) | {"address": address}))
    assert learnt.source(path) is None


def test_a_lesson_comes_back_and_its_address_is_not_written_down(learnt, tmp_path):
    assert learnt.lesson(URL) is None
    learnt.keep(URL, LESSON)
    assert Learnt(tmp_path / "state").lesson(URL) == LESSON
    (path,) = files(tmp_path)
    assert "secret" not in path.name + path.read_text()
    assert learnt.lesson(URL + "2") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"form": 1}', '{"form": 2, "digest": "x"}', '{"form": 1, "digest": 3}']
)
def test_what_does_not_read_back_is_absent(text, learnt, tmp_path):
    learnt.keep(URL, LESSON)
    files(tmp_path)[0].write_text(text)
    assert learnt.lesson(URL) is None


def test_a_hashed_file_is_known_until_it_is_written_to_and_a_rename_is_no_write(learnt, tmp_path):
    part, final = tmp_path / "part", tmp_path / "final.pth"
    part.write_bytes(b"hello")
    learnt.note(final, part.stat(), SHA, address_name(URL))
    assert learnt.hashed(final) is None
    part.rename(final)
    assert learnt.hashed(final).digest == SHA
    assert learnt.hashed(final).address == address_name(URL)
    final.write_bytes(b"hallo")
    os.utime(final, ns=(1, 1))
    assert learnt.hashed(final) is None


def test_a_folder_that_others_may_write_to_is_neither_believed_nor_used(learnt, tmp_path):
    learnt.keep(URL, LESSON)
    folder = tmp_path / "state" / "files"
    folder.chmod(0o777)
    assert learnt.lesson(URL) is None
    learnt.keep(URL + "2", LESSON)
    assert len(files(tmp_path)) == 1


def test_a_state_folder_that_cannot_be_used_costs_memory_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("in the way")
    learnt = Learnt(tmp_path / "file")
    learnt.keep(URL, LESSON)
    assert learnt.lesson(URL) is None


def test_only_what_was_hashed_can_be_noted(learnt, tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(ValueError, match="not the digest of a file"):
        learnt.note(tmp_path / "x", (tmp_path / "x").stat(), Digest(DigestAlgorithm.UNPROVEN, "a" * 64), "")


def test_the_folder_is_the_users_alone_and_nothing_half_made_is_left(learnt, tmp_path):
    learnt.keep(URL, LESSON)
    assert (tmp_path / "state" / "files").stat().st_mode & 0o777 == 0o700
    assert [json.loads(path.read_text())["form"] for path in files(tmp_path)] == [1]
