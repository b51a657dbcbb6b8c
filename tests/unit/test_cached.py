from dataclasses import replace

import pytest
from support.cache_world import COMMIT, CONTENT, FILES, MIRRORS, World, artifact, files_named

from chunkdl.assemble.cached import cached_snapshot
from chunkdl.errors import PlacementRefused
from chunkdl.model import RepoType

PART = files_named("config.json", "onnx/model.onnx")


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.store()
    return world


def test_nothing_cached_is_none(world):
    assert cached_snapshot(world.repo, None) is None
    assert cached_snapshot(world.repo, COMMIT) is None
    assert cached_snapshot(world.cache.repo(RepoType.MODEL, "not/there"), "main") is None


def test_a_ref_without_its_snapshot_or_with_a_newline_is_none(world):
    world.place(PART, artifact())
    world.repo.ref("main").write_text("1" * 40)
    assert cached_snapshot(world.repo, "main") is None
    world.repo.ref("main").write_text(COMMIT + "\n")
    assert cached_snapshot(world.repo, "main") is None


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_part_of_a_commit_is_found_by_ref_and_by_commit(world, revision):
    world.place(PART, artifact())
    found = cached_snapshot(world.repo, revision)
    assert (found.commit, found.path, found.listing) == (COMMIT, world.repo.snapshot(COMMIT), None)
    assert found.files == {each.path: each.size for each in PART}
    assert [each.path for each in found.known] == [each.path for each in PART]
    assert [each.digest for each in found.known] == [each.digest for each in PART]
    assert found.missing(PART) == ()
    assert set(found.missing(FILES)) == {each.path for each in FILES} - {each.path for each in PART}


def test_a_whole_commit_comes_with_its_listing(world):
    world.place()
    found = cached_snapshot(world.repo, "main")
    assert set(found.listing) == set(found.known) == set(FILES)
    assert found.missing(found.listing) == ()


def test_real_files_are_known_through_the_listing_only(tmp_path):
    for authority, known in ((artifact().authority, len(FILES)), (MIRRORS, 0)):
        world = World(tmp_path / authority.name.replace("/", ""))
        world.store()
        world.place(what=artifact(authority=authority), use_symlinks=False)
        found = cached_snapshot(world.repo, "main")
        assert found.files == {path: len(content) for path, content in CONTENT.items()}
        assert len(found.known) == known


def test_a_dangling_link_and_a_wrong_size_are_missing(world):
    world.place()
    gone, short = files_named("README.md", "config.json")
    world.repo.blob(gone.digest).unlink()
    world.repo.blob(short.digest).write_bytes(b"")
    found = cached_snapshot(world.repo, "main")
    assert set(found.missing(FILES)) == {gone.path, short.path}
    assert {each.path for each in found.known} == {each.path for each in FILES} - {gone.path, short.path}


def test_a_link_to_something_else_has_no_known_digest(world, tmp_path):
    world.place(PART, artifact())
    (tmp_path / "x").write_bytes(b"x")
    world.repo.pointer(COMMIT, "x").symlink_to(tmp_path / "x")
    world.repo.pointer(COMMIT, "y").symlink_to(tmp_path / ("0" * 40))
    (tmp_path / ("0" * 40)).write_bytes(b"y")
    found = cached_snapshot(world.repo, "main")
    assert {"x", "y"} <= found.files.keys()
    assert {each.path for each in found.known} == {each.path for each in PART}


def test_a_revision_with_slashes_is_found_and_a_hostile_one_refused(world):
    world.place(PART, artifact(revision="refs/pr/1"))
    assert cached_snapshot(world.repo, "refs/pr/1").commit == COMMIT
    with pytest.raises(PlacementRefused):
        cached_snapshot(world.repo, "../../x")


def test_wanted_files_of_another_size_are_missing(world):
    world.place(PART, artifact())
    [config] = files_named("config.json")
    assert cached_snapshot(world.repo, None).missing([replace(config, size=config.size + 1)]) == ("config.json",)
