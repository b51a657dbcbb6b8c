"""What every system's primitives must do together with ours: native ones and the fallbacks of macOS and Windows."""

import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from chunkdl import disk
from chunkdl.disk import Means, store_errors
from chunkdl.errors import DiskFull, StoreBroken, StoreDenied
from chunkdl.second_name import copy_file, link_or_copy
from chunkdl.still_wanted import NotWanted, while_wanted


def one_byte_writes(fd, view, offset):
    return os.pwrite(fd, view[:1], offset)


def three_byte_reads(fd, view, offset):
    return os.preadv(fd, [view[:3]], offset)


def names(folder):
    return sorted(each.name for each in folder.iterdir())


WRITES = {"pwrite": os.pwrite, "seek": disk.seek_and_write, "short": one_byte_writes}
READS = {"preadv": disk._pread_into, "seek": disk.seek_and_read, "short": three_byte_reads}


@pytest.fixture
def fd(tmp_path):
    descriptor = disk.create_new(tmp_path / "file")
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=WRITES)
def write_at(request):
    return WRITES[request.param]


@pytest.fixture(params=READS)
def read_at(request):
    return READS[request.param]


def test_what_is_written_at_an_offset_is_read_there(fd, write_at, read_at):
    disk.write_all(fd, memoryview(b"tail"), 100, write_at=write_at)
    disk.write_all(fd, b"head", 0, write_at=write_at)
    found = bytearray(200)
    assert disk.read_into(fd, memoryview(found), 0, read_at=read_at) == 104
    assert found == b"head" + bytes(96) + b"tail" + bytes(96)
    assert disk.read_into(fd, memoryview(found), 104, read_at=read_at) == 0


def test_threads_share_one_descriptor(fd, write_at, read_at):
    def fill(number):
        for block in range(number, 64, 4):
            disk.write_all(fd, bytes([block]) * 50, block * 50, write_at=write_at)
            mine = memoryview(bytearray(50))
            assert disk.read_into(fd, mine, block * 50, read_at=read_at) == 50
            seen.append(bytes(mine) == bytes([block]) * 50)

    seen = []
    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 64


def test_a_write_without_progress_is_an_error_not_a_loop(fd):
    with pytest.raises(OSError, match="no progress"):
        disk.write_all(fd, b"x", 0, write_at=lambda *_: 0)


def test_syncs_work_with_and_without_fdatasync(fd, tmp_path):
    synced = []
    disk.sync_data(fd)
    disk.sync_data(fd, fdatasync=synced.append)
    disk.fsync_file(fd)
    disk.fsync_folder(tmp_path)
    assert synced == [fd]


@pytest.mark.parametrize(("command", "falls_back"), [(fcntl.F_GETFD, False), (9999, True), (None, True)])
def test_a_full_sync_that_is_refused_or_unknown_is_a_plain_one(fd, monkeypatch, command, falls_back):
    plain = []
    monkeypatch.setattr(os, "fsync", plain.append)
    disk.fsync_file(fd, full=command)
    assert bool(plain) is falls_back


def _sharing_violation(winerror):
    error = PermissionError(errno.EACCES, "in use")
    error.winerror = winerror
    return error


def test_rename_waits_for_a_scanner_and_then_succeeds(tmp_path):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    answers = [_sharing_violation(32), _sharing_violation(5)]
    waits = []

    def rename(src, dst):
        if answers:
            raise answers.pop()
        src.replace(dst)

    disk.replace(tmp_path / "new", tmp_path / "old", rename=rename, sleep=waits.append)
    assert (tmp_path / "old").read_bytes() == b"new"
    assert waits == sorted(waits)
    assert len(waits) == 2


def test_rename_gives_up_after_some_seconds_and_at_once_for_other_errors(tmp_path):
    def refuse(winerror):
        def rename(src, dst):
            calls.append(src)
            raise _sharing_violation(winerror)

        return rename

    calls, waits = [], []
    with pytest.raises(PermissionError):
        disk.replace(tmp_path / "a", tmp_path / "b", rename=refuse(32), sleep=waits.append)
    assert 1 < sum(waits) < 5
    assert len(calls) == len(waits) + 1
    calls.clear()
    with pytest.raises(PermissionError):
        disk.replace(tmp_path / "a", tmp_path / "b", rename=refuse(1314), sleep=waits.append)
    assert len(calls) == 1


def _refuse(number):
    def call(*_):
        raise OSError(number, os.strerror(number))

    return call


def _pretend_to_clone(src_fd, dst_fd):
    os.pwrite(dst_fd, os.pread(src_fd, 1 << 20, 0), 0)


@pytest.mark.parametrize(
    ("how", "means"),
    [
        ({}, Means.LINKED),
        ({"link": _refuse(errno.EXDEV), "clone": _pretend_to_clone}, Means.REFLINKED),
        ({"link": _refuse(errno.EPERM), "clone": _refuse(errno.ENOTTY)}, Means.COPIED),
    ],
)
def test_a_second_name_by_link_reflink_or_copy(tmp_path, how, means):
    (tmp_path / "store").write_bytes(b"payload")
    (tmp_path / "src").symlink_to("store")
    assert link_or_copy(tmp_path / "src", tmp_path / "dst", **how) is means
    assert (tmp_path / "dst").read_bytes() == b"payload"
    assert not (tmp_path / "dst").is_symlink()
    assert ((tmp_path / "dst").samefile(tmp_path / "store")) == (means is Means.LINKED)
    (tmp_path / "store").write_bytes(b"another")
    with pytest.raises(FileExistsError):
        link_or_copy(tmp_path / "store", tmp_path / "dst", **how)
    assert (tmp_path / "dst").read_bytes() == (b"another" if means is Means.LINKED else b"payload")
    assert names(tmp_path) == ["dst", "src", "store"]


def test_a_copy_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(OSError, match="directory"):
        link_or_copy(tmp_path / "src", tmp_path / "dst")
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "absent", tmp_path / "dst")
    assert names(tmp_path) == ["src"]


@pytest.fixture(params=["native", "by hand"])
def copying(request, monkeypatch):
    """Copies of sparse files with the kernel's help, and without it, as on macOS and Windows."""
    if request.param == "by hand":
        for name in ("copy_file_range", "SEEK_DATA", "SEEK_HOLE"):
            monkeypatch.delattr(os, name)
    return request.param


def test_a_sparse_file_is_copied_with_its_holes(tmp_path, copying):
    size = 64 << 20
    source, copy = disk.create_new(tmp_path / "src"), disk.create_new(tmp_path / "dst")
    os.ftruncate(source, size)
    os.pwrite(source, b"front", 0)
    os.pwrite(source, b"middle" * 1000, 30 << 20)
    (tmp_path / "src").unlink()  # as after hf cache rm: only the descriptor is left
    assert disk.clone_or_copy(source, copy, clone=_refuse(errno.EOPNOTSUPP)) is Means.COPIED
    found = (tmp_path / "dst").stat()
    assert found.st_size == size
    assert os.pread(copy, 5, 0) == b"front"
    assert os.pread(copy, 6002, (30 << 20) - 1) == b"\x00" + b"middle" * 1000 + b"\x00"
    if copying == "native":
        assert found.st_blocks * 512 < size // 8
    os.close(source)
    os.close(copy)


def test_a_copy_that_nobody_wants_any_more_ends_between_two_pieces(tmp_path, copying, monkeypatch):
    monkeypatch.setattr(disk, "_COPY_STEP_BYTES", 1 << 20)
    (tmp_path / "src").write_bytes(b"x" * (4 << 20))
    answers = [False, True, True]
    with while_wanted(answers.pop), pytest.raises(NotWanted):
        copy_file(tmp_path / "src", tmp_path / "dst", clone=_refuse(errno.EOPNOTSUPP))
    assert answers == []
    assert [each.name for each in tmp_path.iterdir()] == ["src"]


@pytest.mark.parametrize("step", ["open", "read"])
def test_a_source_that_cannot_be_read_is_told_from_a_target_that_cannot_be_written(tmp_path, monkeypatch, step):
    (tmp_path / "src").write_bytes(b"x")
    broken = _refuse(errno.EIO)
    monkeypatch.setattr(os, "copy_file_range", broken, raising=False)
    if step == "open":
        monkeypatch.setattr(Path, "open", broken)
    else:
        monkeypatch.setattr(disk, "read_into", broken)
    with pytest.raises(disk.SourceUnreadable) as caught:
        copy_file(tmp_path / "src", tmp_path / "dst", clone=_refuse(errno.EOPNOTSUPP))
    assert caught.value.errno == errno.EIO
    assert [each.name for each in tmp_path.iterdir()] == ["src"]


def test_a_part_file_is_opened_only_as_a_plain_file_of_its_own(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic link"):
        disk.open_part(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        disk.open_part(tmp_path / "pipe")
    os.link(tmp_path / "precious", tmp_path / "hard")
    fd = disk.open_part(tmp_path / "hard")
    os.ftruncate(fd, 0)
    os.close(fd)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_link_is_noticed_where_the_system_cannot_refuse_it(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_NOFOLLOW")
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        disk.open_part(tmp_path / "link")


def test_somebody_who_keeps_linking_is_an_error(tmp_path, monkeypatch):
    real = disk._open_regular

    def linked(path):
        fd = real(path)
        os.link(path, disk.new_name(path))
        return fd

    monkeypatch.setattr(disk, "_open_regular", linked)
    with pytest.raises(OSError, match="keeps linking"):
        disk.open_part(tmp_path / "part")


def test_new_files_have_the_mode_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        os.close(disk.open_part(tmp_path / "part"))
        os.close(disk.create_new(tmp_path / "new"))
        disk.write_atomically(tmp_path / "text", b"text")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o640}


def test_descriptors_are_not_inherited(fd):
    assert os.get_inheritable(fd) is False


def test_an_atomic_write_that_fails_changes_nothing(tmp_path):
    disk.write_atomically(tmp_path / "file", b"old")

    def fail_half_way():
        with disk.replacing(tmp_path / "file") as fd:
            os.write(fd, b"ne")
            raise InterruptedError("killed")

    with pytest.raises(InterruptedError):
        fail_half_way()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]
    disk.write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, StoreDenied),
        (errno.EACCES, StoreDenied),
        (errno.EPERM, StoreDenied),
        (errno.EIO, StoreBroken),
        (errno.ESTALE, StoreBroken),
        (errno.ENOENT, StoreBroken),
    ],
)
def test_errors_say_what_the_user_can_do(tmp_path, number, kind):
    with pytest.raises(kind) as caught, store_errors(tmp_path / "blob", "model.safetensors"):
        raise OSError(number, os.strerror(number))
    assert caught.type is kind
    assert str(tmp_path / "blob") in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.file == "model.safetensors"
    assert caught.value.exit_code == 6


def test_other_errors_pass_store_errors_unchanged(tmp_path):
    for error in (ValueError("ours"), DiskFull("said already")):
        with pytest.raises(type(error)) as caught, store_errors(tmp_path):
            raise error
        assert caught.value is error


def test_free_space_of_a_folder_that_does_not_exist_yet(tmp_path):
    free = disk.free_bytes(tmp_path / "not" / "yet")
    assert free is not None
    assert free > 0


@pytest.mark.parametrize("answer", [(0, 0, 0), (100, 0, 101), (100, 0, -1)])
def test_a_senseless_answer_is_no_answer(tmp_path, answer):
    assert disk.free_bytes(tmp_path, measure=lambda _: answer) is None
    assert disk.free_bytes(tmp_path, measure=_refuse(errno.ENOSYS)) is None
    assert disk.free_bytes(tmp_path, measure=lambda _: (100, 100, 0)) == 0
