import errno
import os
import stat
from pathlib import Path

import pytest
from support.cache_world import CONTENT, World, draw, files_named, verified

from chunkdl import disk
from chunkdl.assemble import place, staging
from chunkdl.assemble.place import commit_blob, place_small, prepare, reuse_blob
from chunkdl.disk import open_part
from chunkdl.errors import DiskFull, StoreBroken
from chunkdl.model import RepoType
from chunkdl.second_name import copy_file

[BIG] = files_named("model.safetensors")
BYTES = CONTENT["model.safetensors"]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def part(world):
    """The descriptor of a complete part file, as the transfer leaves it."""
    fd = open_part(world.repo.part(BIG.digest))
    os.pwrite(fd, BYTES, 0)
    yield fd
    os.close(fd)


def commit(world, fd):
    commit_blob(fd, world.repo.part(BIG.digest), verified(BIG, BYTES), world.repo.blob(BIG.digest))


def only_the_blob(world):
    assert [each.name for each in world.repo.blobs.iterdir()] == [BIG.digest.hex]
    assert world.repo.blob(BIG.digest).read_bytes() == BYTES
    assert not world.repo.blob(BIG.digest).is_symlink()


def fail_with(number):
    def fail(*_args, **_named):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_prepared_cache_is_tagged_and_has_an_empty_snapshots_folder(world):
    assert draw(world.cache.root) == ("CACHEDIR.TAG (191)\nmodels--org--name/blobs/\nmodels--org--name/snapshots/\n")
    assert world.cache.tag.read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n#")


def test_preparing_again_changes_nothing(world):
    world.cache.tag.write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    prepare(world.cache, world.repo)
    assert world.cache.tag.read_bytes() == b"Signature: 8a477f597d28d172789f06886806bc55"


def test_a_file_where_the_repository_should_be_is_a_store_error(world):
    repo = world.cache.repo(RepoType.MODEL, "in/the-way")
    repo.path.write_bytes(b"")
    with pytest.raises(StoreBroken, match="in--the-way"):
        prepare(world.cache, repo)


def test_modes_follow_the_umask_and_folders_keep_setgid(tmp_path):
    tmp_path.chmod(0o2775)
    old = os.umask(0o027)
    try:
        world = World(tmp_path)
        world.store()
        world.place()
    finally:
        os.umask(old)
    entries = [each for each in tmp_path.rglob("*") if not each.is_symlink()]
    folders = {stat.S_IMODE(each.stat().st_mode) for each in entries if each.is_dir()}
    files = {stat.S_IMODE(each.stat().st_mode) for each in entries if each.is_file()}
    assert (folders, files) == ({0o2750}, {0o640})


def test_a_part_file_becomes_the_blob_without_a_copy(world, part):
    inode = os.fstat(part).st_ino
    commit(world, part)
    only_the_blob(world)
    assert world.repo.blob(BIG.digest).stat().st_ino == inode


def test_a_link_into_the_shared_store_is_replaced_and_never_written_through(world, part):
    shared = world.cache.shared_store / "ab" / "payload"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(b"what others read")
    world.repo.blob(BIG.digest).symlink_to("../../blobs/ab/payload")
    commit(world, part)
    only_the_blob(world)
    assert shared.read_bytes() == b"what others read"


def test_a_damaged_blob_under_the_name_is_replaced(world, part):
    world.repo.blob(BIG.digest).write_bytes(b"\xff" * len(BYTES))
    commit(world, part)
    only_the_blob(world)


def test_a_part_file_that_lost_its_name_is_saved_through_the_descriptor(world, part):
    world.repo.part(BIG.digest).unlink()
    commit(world, part)
    only_the_blob(world)


def test_a_repository_that_was_removed_in_mid_transfer_is_made_again(world, part):
    world.repo.part(BIG.digest).unlink()
    world.repo.blobs.rmdir()
    commit(world, part)
    only_the_blob(world)


def test_another_file_under_the_part_name_is_not_mistaken_for_ours(world, part):
    world.repo.part(BIG.digest).unlink()
    world.repo.part(BIG.digest).write_bytes(b"\xff" * len(BYTES))
    commit(world, part)
    assert world.repo.blob(BIG.digest).read_bytes() == BYTES
    assert world.repo.part(BIG.digest).read_bytes() == b"\xff" * len(BYTES)


def test_a_blob_placed_first_by_someone_else_is_success(world, part):
    world.repo.part(BIG.digest).unlink()
    world.store([BIG])
    inode = world.repo.blob(BIG.digest).stat().st_ino
    commit(world, part)
    only_the_blob(world)
    assert world.repo.blob(BIG.digest).stat().st_ino == inode


def test_committing_twice_is_success_and_costs_no_second_hashing(world, part, monkeypatch):
    commit(world, part)
    monkeypatch.setattr(place, "hash_file", fail_with(5))
    commit(world, part)
    only_the_blob(world)


@pytest.mark.parametrize("vanished", [False, True])
def test_bytes_reach_the_disk_before_their_name(world, part, monkeypatch, vanished):
    synced, rename = [], place.replace

    def replace(src, dst):
        assert src.stat().st_ino in synced
        rename(src, dst)

    monkeypatch.setattr(place, "fsync_file", lambda fd: synced.append(os.fstat(fd).st_ino))
    monkeypatch.setattr(place, "replace", replace)
    if vanished:
        world.repo.part(BIG.digest).unlink()
    commit(world, part)
    only_the_blob(world)


def test_where_replacing_is_refused_an_equal_blob_is_success_and_a_damaged_one_is_not(world, part, monkeypatch):
    monkeypatch.setattr(place, "replace", fail_with(5))
    world.repo.blob(BIG.digest).write_bytes(b"\xff" * len(BYTES))
    with pytest.raises(StoreBroken):
        commit(world, part)
    world.repo.blob(BIG.digest).write_bytes(BYTES)
    commit(world, part)
    only_the_blob(world)


def test_a_part_file_that_changed_its_size_is_not_placed(world, part):
    os.ftruncate(part, len(BYTES) - 1)
    with pytest.raises(StoreBroken, match="proven"):
        commit(world, part)
    assert not world.repo.blob(BIG.digest).exists()


def test_a_full_disk_while_syncing_keeps_the_part_file(world, part, monkeypatch):
    monkeypatch.setattr(place, "fsync_file", fail_with(28))
    with pytest.raises(DiskFull):
        commit(world, part)
    assert [each.name for each in world.repo.blobs.iterdir()] == [f"{BIG.digest.hex}.chunkdl-part"]


def test_small_contents_are_placed_from_memory_the_empty_one_too(world):
    world.store()
    for each in files_named("empty.txt", "config.json"):
        assert world.repo.blob(each.digest).read_bytes() == CONTENT[each.path]


def test_bytes_of_another_size_than_proven_are_a_mistake(world):
    with pytest.raises(ValueError, match="proven"):
        place_small(b"x", verified(BIG, BYTES), world.repo.blob(BIG.digest))


@pytest.mark.parametrize("step", ["write_all", "fsync_file"])
def test_a_full_disk_leaves_no_litter(world, monkeypatch, step):
    monkeypatch.setattr(staging, step, fail_with(28))
    with pytest.raises(DiskFull):
        world.store([BIG])
    assert list(world.repo.blobs.iterdir()) == []


def test_another_repositorys_blob_is_hashed_and_linked(world, tmp_path):
    other = World(tmp_path, "google/name")
    other.store([BIG])
    steps = []
    blob = world.repo.blob(BIG.digest)
    assert reuse_blob(other.repo.blob(BIG.digest), BIG.digest, BIG.size, blob, steps.append) == verified(BIG, BYTES)
    only_the_blob(world)
    assert blob.samefile(other.repo.blob(BIG.digest))
    assert sum(steps) == BIG.size


def test_reusing_a_link_into_the_shared_store_makes_a_real_file(world, tmp_path):
    shared = tmp_path / "shared"
    shared.write_bytes(BYTES)
    link = tmp_path / "link"
    link.symlink_to(shared)
    assert reuse_blob(link, BIG.digest, BIG.size, world.repo.blob(BIG.digest)) is not None
    only_the_blob(world)


def test_reusing_what_is_linked_here_already_leaves_no_litter(world, tmp_path):
    other = tmp_path / "other"
    world.store([BIG])
    other.hardlink_to(world.repo.blob(BIG.digest))
    assert reuse_blob(other, BIG.digest, BIG.size, world.repo.blob(BIG.digest)) is not None
    only_the_blob(world)


def test_a_file_that_is_linked_is_synced_before_it_has_its_final_name(world, tmp_path, monkeypatch):
    """Whoever wrote it may not have: after a power cut the name would stand over zeros, and be believed."""
    src, blob = tmp_path / "fresh", world.repo.blob(BIG.digest)
    src.write_bytes(BYTES)
    synced = []
    monkeypatch.setattr(place, "fsync_file", lambda fd: synced.append((os.fstat(fd).st_ino, blob.exists())))
    assert reuse_blob(src, BIG.digest, BIG.size, blob) is not None
    assert synced == [(src.stat().st_ino, False)]


@pytest.mark.parametrize("content", [b"\xff" * len(BYTES), b"short", None])
def test_a_wrong_or_missing_file_elsewhere_is_not_reused(world, tmp_path, content):
    src = tmp_path / "src"
    if content is not None:
        src.write_bytes(content)
    assert reuse_blob(src, BIG.digest, BIG.size, world.repo.blob(BIG.digest)) is None
    assert list(world.repo.blobs.iterdir()) == []


def test_a_file_elsewhere_on_a_bad_sector_is_not_reused_and_a_full_disk_is_told(world, tmp_path, monkeypatch):
    src, blob = tmp_path / "src", world.repo.blob(BIG.digest)
    src.write_bytes(BYTES)
    monkeypatch.setattr(os, "copy_file_range", fail_with(errno.EIO))
    with monkeypatch.context() as bad:
        bad.setattr(disk, "read_into", fail_with(errno.EIO))
        assert reuse_blob(src, BIG.digest, BIG.size, blob, take=copied_by_hand) is None
    monkeypatch.setattr(disk, "write_all", fail_with(errno.ENOSPC))
    with pytest.raises(DiskFull):
        reuse_blob(src, BIG.digest, BIG.size, blob, take=copied_by_hand)
    assert list(world.repo.blobs.iterdir()) == []


def copied_by_hand(src, dst):
    copy_file(src, dst, clone=fail_with(errno.ENOTSUP))


def test_stopping_the_hashing_leaves_no_litter(world, tmp_path):
    src = tmp_path / "src"
    src.write_bytes(BYTES)
    with pytest.raises(KeyboardInterrupt):
        reuse_blob(src, BIG.digest, BIG.size, world.repo.blob(BIG.digest), fail_by_interrupt)
    assert list(world.repo.blobs.iterdir()) == []


def fail_by_interrupt(_count):
    raise KeyboardInterrupt


def test_placed_paths_are_where_the_root_is(world):
    world.store([BIG])
    assert world.place([BIG]) == Path(world.cache.root, "models--org--name", "snapshots", world.place([BIG]).name)
