"""What the kill tests cannot reach: a disk that fills, a user who edits meanwhile, another process in between."""

from pathlib import Path

import pytest
from support.cache_world import (
    COMMIT,
    CONTENT,
    FILES,
    MIRRORS,
    OTHER_COMMIT,
    artifact,
    draw,
    files_named,
    lfs,
    verified,
)

from chunkdl.assemble import folder_destination, local_place
from chunkdl.assemble.folder_destination import FolderDestination
from chunkdl.assemble.layout import HubCache
from chunkdl.assemble.local_folder import LocalFolder
from chunkdl.assemble.local_record import FileRecord, write_record
from chunkdl.assemble.place import place_small
from chunkdl.core.planner import Action, make_plan
from chunkdl.core.selection import Selection
from chunkdl.errors import DiskFull, PlacementRefused, StoreBroken, StoreDenied
from chunkdl.model import RepoType

NOW = 2_000_000_000.0
[WEIGHTS] = files_named("model.safetensors")
TWINS = files_named("onnx/model.onnx", "onnx/deep/er/model twin 模型.onnx")


class Place:
    """A destination, and what a transfer would do with it."""

    def __init__(self, tmp_path, files=FILES):
        self.folder = LocalFolder(tmp_path / "model")
        cache = HubCache(tmp_path / "hub")
        self.destination = FolderDestination(
            self.folder, cache, cache.repo(RepoType.MODEL, "org/name"), clock=lambda: NOW
        )
        self.files = files

    def plan(self):
        selection = Selection(self.files, (), ())
        return make_plan(artifact(), selection, self.destination.inventory(COMMIT, self.files))

    def bring(self, *actions):
        """Prove every content, as far as the plan says that it is not here."""
        self.destination.prepare()
        for content in self.plan().contents:
            if content.action is Action.REUSE:
                assert any(self.destination.reuse(Path(each), content) for each in content.reuse_from)
            elif content.action is not Action.PRESENT:
                file = next(each for each in self.files if each.digest == content.digest)
                data = CONTENT[file.path]
                place_small(data, verified(file, data), self.destination.paths_of(content).blob)

    def place(self, **changes):
        return self.destination.place(artifact(**changes), self.files)

    def write(self, file, data=None):
        path = self.folder.file(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[file.path] if data is None else data)
        return path

    def right(self):
        return [each.path for each in self.files if self.folder.file(each.path).read_bytes() == CONTENT[each.path]]


@pytest.fixture
def one(tmp_path):
    return Place(tmp_path)


def test_everything_is_shown_once_with_a_record(one):
    one.bring()
    assert one.place() == one.folder.root
    assert one.right() == [each.path for each in FILES]
    assert {content.action for content in one.plan().contents} == {Action.PRESENT}
    drawn = draw(one.folder.root)
    assert "chunkdl" not in drawn
    assert drawn.count(".metadata (") == len(FILES)


def test_placing_again_writes_nothing_even_where_nothing_can_be_written(one, monkeypatch):
    one.bring()
    one.place()

    def refuse(*_args, **_named):
        raise AssertionError("written to")

    for name in ("write_record", "replace", "copy_file", "make_folders"):
        monkeypatch.setattr(local_place, name, refuse)
    monkeypatch.setattr(folder_destination, "write_ref_of", refuse)
    assert one.place() == one.folder.root


def test_a_full_disk_while_copies_are_made_changes_no_file(tmp_path, monkeypatch):
    one = Place(tmp_path, TWINS)
    one.bring()
    for each in TWINS:
        one.write(each, b"old")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local_place, "copy_file", full)
    with pytest.raises(DiskFull):
        one.place()
    assert [one.folder.file(each.path).read_bytes() for each in TWINS] == [b"old", b"old"]
    monkeypatch.undo()
    one.place()
    assert one.right() == [each.path for each in TWINS]


def test_a_file_edited_while_it_was_hashed_is_no_success(tmp_path):
    one = Place(tmp_path, (WEIGHTS,))
    path = one.write(WEIGHTS)
    one.bring()
    path.write_bytes(bytes(reversed(CONTENT[WEIGHTS.path][:-1])) + b"x")
    with pytest.raises(StoreBroken, match="written to while it was verified"):
        one.place()
    assert not one.folder.metadata(WEIGHTS.path).exists()


def test_what_another_process_has_shown_meanwhile_is_success(tmp_path):
    one, other = Place(tmp_path), Place(tmp_path)
    one.bring()
    other.place()
    assert one.place() == one.folder.root


def test_a_process_between_a_file_and_its_record_is_waited_for(tmp_path, monkeypatch):
    one = Place(tmp_path, (WEIGHTS,))
    one.bring()
    one.folder.blob(WEIGHTS.digest).replace(one.folder.file(WEIGHTS.path))

    class Lock:
        """Held by the other process until it has written the record."""

        def __init__(self, path):
            assert path == one.folder.lock(WEIGHTS.path)

        def acquire(self, wait_s):
            assert wait_s > 0
            record = FileRecord(COMMIT, WEIGHTS.digest.hex, NOW)
            write_record(one.folder.metadata(WEIGHTS.path), record, stage_in=one.folder.downloads)

        def release(self):
            pass

    monkeypatch.setattr(local_place, "HubLock", Lock)
    assert one.place() == one.folder.root


def test_a_content_is_here_while_it_waits_and_when_it_is_shown(one):
    contents = [each for each in one.plan().contents if each.size]
    assert not any(map(one.destination.holds, contents))
    one.bring()
    assert all(map(one.destination.holds, contents))
    one.place()
    assert all(map(one.destination.holds, contents))
    one.folder.file(TWINS[1].path).unlink()
    assert [each.paths for each in contents if not one.destination.holds(each)] == [tuple(each.path for each in TWINS)]


def test_the_hubs_lock_of_every_path_is_held_in_transfer(tmp_path):
    one = Place(tmp_path, TWINS)
    [content] = one.plan().contents
    assert one.destination.paths_of(content).locks == tuple(one.folder.lock(each.path) for each in TWINS)


def test_a_content_that_went_away_is_named(tmp_path):
    one = Place(tmp_path, (WEIGHTS,))
    one.bring()
    one.folder.blob(WEIGHTS.digest).unlink()
    with pytest.raises(StoreBroken, match=r"model\.safetensors went away"):
        one.place()


def test_every_folder_with_a_new_name_is_synced_once_after_the_last_rename(one, monkeypatch):
    synced = []

    def fsync_folder(path):
        assert one.right() == [each.path for each in FILES]
        synced.append(path.relative_to(one.folder.root).as_posix())

    one.bring()
    monkeypatch.setattr(local_place, "fsync_folder", fsync_folder)
    one.place()
    assert sorted(synced) == [".", "onnx", "onnx/deep", "onnx/deep/er"]


def test_the_old_record_goes_before_the_old_file(tmp_path, monkeypatch):
    one = Place(tmp_path, (WEIGHTS,))
    one.bring()
    one.place()
    one.folder.file(WEIGHTS.path).unlink()
    one.bring()
    seen = []

    def replace(source, target):
        seen.append(one.folder.metadata(WEIGHTS.path).exists())
        source.replace(target)

    monkeypatch.setattr(local_place, "replace", replace)
    one.place()
    assert seen == [False]


def test_another_commit_with_the_same_content_is_a_new_record_alone(one):
    one.bring()
    one.place()
    inodes = {each.path: one.folder.file(each.path).stat().st_ino for each in FILES}
    one.place(commit=OTHER_COMMIT)
    assert {each.path: one.folder.file(each.path).stat().st_ino for each in FILES} == inodes
    assert one.folder.metadata("config.json").read_text().startswith(OTHER_COMMIT)


def test_a_listing_of_mirrors_leaves_no_tree(one):
    one.bring()
    one.place(authority=MIRRORS)
    assert not one.folder.tree(COMMIT).exists()
    one.place()
    assert one.folder.tree(COMMIT).exists()


def test_a_tree_of_the_stock_client_over_less_than_all_is_told(one):
    one.bring()
    one.place()
    one.folder.file("config.json").unlink()
    [told] = one.destination.notices(artifact())
    assert "1 of its files" in told
    assert "--format all" in told


@pytest.mark.parametrize("here", [0, 1, 2])
def test_the_space_for_twins_is_counted(tmp_path, here):
    one = Place(tmp_path, TWINS)
    for each in TWINS[:here]:
        one.write(each)
    size = TWINS[0].size
    assert one.plan().disk_needed == {0: 2 * size, 1: size, 2: 0}[here]


def test_the_longest_name_that_the_hub_could_record_is_placed(tmp_path):
    data = CONTENT[WEIGHTS.path]
    name = "n" * (255 - len(".metadata"))
    one = Place(tmp_path, (lfs(name, data),))
    one.destination.prepare()
    place_small(data, verified(WEIGHTS, data), one.folder.blob(WEIGHTS.digest))
    one.place()
    assert one.folder.file(name).read_bytes() == data
    with pytest.raises(PlacementRefused, match="longer than 255"):
        Place(tmp_path, (lfs(f"{name}n", data),)).plan()


def test_a_folder_that_may_not_be_read_is_a_store_error(tmp_path, monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", denied)
    with pytest.raises(StoreDenied):
        Place(tmp_path).plan()


def test_links_and_folders_in_the_way_are_refused_by_the_placing_too(tmp_path):
    one = Place(tmp_path, TWINS)
    one.bring()
    (one.folder.root / "onnx").symlink_to(tmp_path)
    with pytest.raises(PlacementRefused, match="a link"):
        one.place()
    assert not (tmp_path / "model.onnx").exists()
