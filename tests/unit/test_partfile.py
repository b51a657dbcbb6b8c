"""The part file: positions, threads, closing under way, and coming back after a deletion."""

import errno
import os
import threading

import pytest

from chunkdl.errors import DiskFull, StoreBroken, StoreDenied
from chunkdl.transfer import partfile
from chunkdl.transfer.partfile import PartFile

SIZE = 1 << 20


@pytest.fixture
def part(tmp_path):
    with PartFile.open(tmp_path / "p", SIZE) as part:
        yield part


def content(part, start=0, stop=SIZE):
    view = memoryview(bytearray(stop - start))
    return bytes(view[: part.read_at(view, start)])


def test_a_new_part_is_a_hole_of_the_right_size(part):
    found = part.path.stat()
    assert found.st_size == SIZE
    assert found.st_blocks == 0
    assert content(part) == bytes(SIZE)


@pytest.mark.parametrize("there", [0, 100, SIZE, 2 * SIZE])
def test_what_is_there_is_kept_and_the_size_made_right(tmp_path, there):
    (tmp_path / "p").write_bytes(b"a" * there)
    with PartFile.open(tmp_path / "p", SIZE) as part:
        assert content(part) == b"a" * min(there, SIZE) + bytes(SIZE - min(there, SIZE))


def test_bytes_land_where_they_belong(part):
    part.write_at(memoryview(b"tail"), SIZE - 4)
    part.write_at(b"head", 0)
    part.sync_data()
    part.sync()
    assert part.path.read_bytes() == b"head" + bytes(SIZE - 8) + b"tail"
    assert content(part, SIZE - 2, SIZE + 5) == b"il"


@pytest.mark.parametrize("offset", [-1, SIZE - 3, SIZE, 1 << 60])
def test_a_write_outside_of_the_file_is_a_mistake(part, offset):
    with pytest.raises(ValueError, match="write outside of p"):
        part.write_at(b"four", offset)
    assert part.path.stat().st_size == SIZE


def test_a_folder_in_the_way_is_a_store_error(tmp_path):
    (tmp_path / "p").mkdir()
    with pytest.raises(StoreBroken):
        PartFile.open(tmp_path / "p", SIZE)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreDenied, match="not a regular file"):
        PartFile.open(tmp_path / "pipe", SIZE)


def test_after_close_nothing_touches_the_descriptor(part):
    fd = part.fd
    part.close()
    part.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for call in (
        lambda: part.write_at(b"x", 0),
        part.sync,
        part.vanished,
        lambda: part.fd,
        lambda: part.rescue(part.path),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "closed" in repr(part)


class SlowDisk:
    """Stands in for ``os.pwrite``: says when a write has begun, and lets it go on when told."""

    def __init__(self, monkeypatch):
        self.begun, self.may_go_on, self.targets = threading.Event(), threading.Event(), []
        monkeypatch.setattr(partfile.disk, "write_all", self)

    def __call__(self, fd, view, offset):
        self.begun.set()
        assert self.may_go_on.wait(30)
        self.targets.append(os.fstat(fd).st_ino)
        os.pwrite(fd, view, offset)


def test_a_close_waits_for_the_write_under_way(part, monkeypatch, tmp_path):
    slow = SlowDisk(monkeypatch)
    inode = part.path.stat().st_ino
    writer = threading.Thread(target=part.write_at, args=(b"late", 0))
    writer.start()
    assert slow.begun.wait(30)
    part.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # would get the number of a closed descriptor
    slow.may_go_on.set()
    writer.join(30)
    assert slow.targets == [inode]
    assert os.fstat(other).st_size == 0
    assert part.path.read_bytes()[:4] == b"late"
    os.close(other)


def test_a_deleted_part_comes_back_with_its_bytes(part, tmp_path):
    part.write_at(b"kept", 5000)
    fd = part.fd
    assert part.vanished() is False
    part.path.unlink()
    assert part.vanished() is True
    part.rescue(tmp_path / "made" / "again" / "p")
    assert part.vanished() is False
    assert part.fd == fd
    assert os.get_inheritable(fd) is False
    part.write_at(b"more", 9000)
    assert part.path.read_bytes() == bytes(5000) + b"kept" + bytes(3996) + b"more" + bytes(SIZE - 9004)
    assert [each.name for each in part.path.parent.iterdir()] == ["p"]


def test_a_name_that_is_gone_counts_even_if_the_inode_has_another(part, tmp_path):
    """NFS renames an open file that is deleted."""
    part.path.rename(tmp_path / ".nfs0001")
    assert part.vanished() is True


def test_rescue_in_place_leaves_the_old_inode_to_whoever_has_it(part):
    part.write_at(b"ours", 0)
    late = os.open(part.path, os.O_RDWR)
    part.rescue(part.path)
    os.pwrite(late, b"evil", 0)
    os.close(late)
    assert part.path.read_bytes()[:4] == b"ours"


def test_rescue_takes_the_write_under_way_along(part, monkeypatch, tmp_path):
    slow = SlowDisk(monkeypatch)
    writer = threading.Thread(target=part.write_at, args=(b"late", 0))
    writer.start()
    assert slow.begun.wait(30)
    part.path.unlink()
    rescuer = threading.Thread(target=part.rescue, args=(tmp_path / "q",))
    rescuer.start()
    slow.may_go_on.set()
    writer.join(30)
    rescuer.join(30)
    assert (tmp_path / "q").read_bytes()[:4] == b"late"


def test_a_write_that_comes_during_a_rescue_waits_for_the_new_file(part, monkeypatch):
    def copy_while_somebody_writes(src, dst):
        copy(src, dst)
        writer.start()
        writer.join(0.05)  # long enough for a write that nothing holds back; one held back ends after the rescue

    copy = partfile.disk.clone_or_copy
    writer = threading.Thread(target=part.write_at, args=(b"next", 0))
    monkeypatch.setattr(partfile.disk, "clone_or_copy", copy_while_somebody_writes)
    part.rescue(part.path)
    writer.join(30)
    assert part.path.read_bytes()[:4] == b"next"


def test_a_close_during_a_rescue_takes_effect_after_it(part, monkeypatch):
    def copy_and_close(src, dst):
        copy(src, dst)
        part.close()
        os.fstat(fd)  # still open: its number must not name another file yet

    copy, fd = partfile.disk.clone_or_copy, part.fd
    part.write_at(b"kept", 0)
    monkeypatch.setattr(partfile.disk, "clone_or_copy", copy_and_close)
    part.rescue(part.path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert part.path.read_bytes()[:4] == b"kept"


def test_rescue_from_a_hanging_disk_ends_with_a_reason(part, monkeypatch):
    slow = SlowDisk(monkeypatch)
    monkeypatch.setattr(partfile, "_QUIET_LIMIT_S", 0.01)
    writer = threading.Thread(target=part.write_at, args=(b"late", 0))
    writer.start()
    assert slow.begun.wait(30)
    with pytest.raises(StoreBroken, match="storage hangs"):
        part.rescue(part.path)
    slow.may_go_on.set()
    writer.join(30)
    assert content(part, 0, 4) == b"late"


def test_a_close_that_finds_no_room_says_where_and_is_not_tried_again(part, monkeypatch):
    """Network file systems may report a full quota as late as this."""

    def full(fd):
        close(fd)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    close = os.close
    monkeypatch.setattr(partfile.os, "close", full)
    with pytest.raises(DiskFull, match=str(part.path)):
        part.close()
    part.close()


def test_rescue_that_fails_leaves_the_part_usable(part, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreBroken):
        part.rescue(tmp_path / "file" / "p")
    part.write_at(b"fine", 0)
    assert content(part, 0, 4) == b"fine"
