import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.cache_world import (
    COMMIT,
    CONTENT,
    FILES,
    MIRRORS,
    ORIGIN,
    OTHER_COMMIT,
    World,
    artifact,
    draw,
    files_named,
    git,
    lfs,
)

from chunkdl.assemble import pointers, snapshot, staging
from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.assemble.listing import encode_tree, pointer_oid, read_tree
from chunkdl.assemble.place import placement_notices
from chunkdl.errors import DiskFull, PlacementRefused, StoreBroken
from chunkdl.model import AuthorityKind, RemoteFile, RepoType

EXPECTED = Path(__file__).parents[2] / "fixtures" / "cache"
PART = files_named("config.json", "model.safetensors", "onnx/deep/er/model twin 模型.onnx")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def stamps(root):
    return {each: (each.lstat().st_mtime_ns, each.lstat().st_ino) for each in root.rglob("*")}


def fail_with(number):
    def fail(*_args, **_named):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("name", "files", "use_symlinks"),
    [("complete", FILES, True), ("partial", PART, True), ("no-symlinks", FILES, False)],
)
def test_the_cache_looks_as_written_down(world, name, files, use_symlinks):
    world.store(files)
    folder = world.place(files, artifact(), use_symlinks=use_symlinks)
    assert draw(world.cache.root) == (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")
    assert folder == world.repo.snapshot(COMMIT)
    assert {each.path: world.shown(each.path) for each in files} == {each.path: CONTENT[each.path] for each in files}


@pytest.mark.parametrize("use_symlinks", [True, False])
def test_placing_again_writes_nothing(world, use_symlinks):
    world.store()
    world.place(use_symlinks=use_symlinks)
    before = stamps(world.cache.root)
    world.place(use_symlinks=use_symlinks)
    assert stamps(world.cache.root) == before


def test_the_ref_has_no_newline_and_one_that_had_is_mended(world):
    world.store()
    world.place()
    assert world.repo.ref("main").read_bytes() == COMMIT.encode()
    world.repo.ref("main").write_text(COMMIT + "\n")
    world.place(what=artifact(authority=MIRRORS))
    assert world.repo.ref("main").read_bytes() == COMMIT.encode()


def test_a_revision_with_slashes_gets_folders(world):
    world.store()
    world.place(what=artifact(revision="refs/pr/1"))
    assert world.repo.path.joinpath("refs", "refs", "pr", "1").read_text() == COMMIT


def test_a_pinned_commit_and_a_caller_who_declines_get_no_ref(world):
    world.store()
    world.place(what=artifact(revision=COMMIT))
    world.place(what=artifact(), write_ref=False)
    assert not world.repo.refs.exists()


def test_the_origin_moves_a_ref_and_mirrors_do_not(world):
    world.store()
    world.place()
    world.place(what=artifact(commit=OTHER_COMMIT, authority=MIRRORS))
    assert world.repo.ref("main").read_text() == COMMIT
    assert "stays at" in placement_notices(world.repo, artifact(commit=OTHER_COMMIT))[0]
    world.place(what=artifact(commit=OTHER_COMMIT))
    assert world.repo.ref("main").read_text() == OTHER_COMMIT
    assert placement_notices(world.repo, artifact(commit=OTHER_COMMIT)) == ()


STALE = replace(ORIGIN, kind=AuthorityKind.LAST_KNOWN)


@pytest.mark.parametrize(
    "stale", [artifact(commit=OTHER_COMMIT, authority=STALE), replace(artifact(commit=OTHER_COMMIT), current=False)]
)
def test_an_older_word_of_the_origin_moves_no_ref(world, stale):
    world.store()
    world.place()
    world.place(what=stale)
    assert world.repo.ref("main").read_text() == COMMIT
    assert f"stays at {COMMIT}" in placement_notices(world.repo, stale, COMMIT)[0]


def test_a_lock_moves_the_ref_and_says_so(world):
    world.store()
    world.place()
    locked = artifact(commit=OTHER_COMMIT, authority=replace(ORIGIN, kind=AuthorityKind.LOCK))
    destination = HubDestination(world.cache, world.repo, use_symlinks=True)
    for told in (1, 0):
        destination.place(locked, FILES)
        assert world.repo.ref("main").read_text() == OTHER_COMMIT
        assert [COMMIT in each for each in destination.notices(locked)] == [True] * told


@pytest.mark.parametrize("authority", [MIRRORS, STALE])
def test_whoever_is_believed_may_write_a_ref_that_did_not_exist(world, authority):
    world.store()
    world.place(what=artifact(authority=authority))
    assert world.repo.ref("main").read_text() == COMMIT


@pytest.mark.parametrize(
    "authority",
    [
        MIRRORS,
        replace(ORIGIN, authenticated=False),
        replace(ORIGIN, kind=AuthorityKind.LAST_KNOWN),
        replace(MIRRORS, authenticated=True),
    ],
)
def test_only_an_authenticated_origin_or_lock_writes_tree_and_gaps(world, authority):
    world.store()
    world.place(what=artifact(authority=authority))
    assert sorted(each.name for each in world.repo.path.iterdir()) == ["blobs", "refs", "snapshots"]


def test_a_lock_writes_tree_and_gaps(world):
    world.store()
    world.place(what=artifact(authority=replace(ORIGIN, kind=AuthorityKind.LOCK)))
    assert world.repo.tree(COMMIT).exists()
    assert world.repo.no_exist(COMMIT, "adapter_config.json").read_bytes() == b""


def test_gaps_name_nothing_that_the_listing_has_even_if_it_was_left_out(world):
    [weights] = files_named("model.safetensors")
    config = lfs("generation_config.json", b"{}")
    world.store([weights])
    world.place([weights], artifact([weights, config]))
    assert not world.repo.no_exist(COMMIT, "generation_config.json").exists()
    assert world.repo.no_exist(COMMIT, "tokenizer_config.json").exists()


def test_gaps_are_for_models_only(tmp_path):
    world = World(tmp_path, repo_type=RepoType.DATASET)
    world.store()
    world.place(what=artifact(repo_type=RepoType.DATASET))
    assert not world.repo.path.joinpath(".no_exist").exists()


def test_the_tree_comes_with_the_last_file_of_the_listing(world):
    world.store()
    world.place(PART, artifact())
    assert not world.repo.tree(COMMIT).exists()
    world.place([each for each in FILES if each not in PART], artifact())
    assert read_tree(world.repo.tree(COMMIT)) == tuple(sorted(FILES, key=lambda each: each.path))


def test_an_old_tree_stays_and_is_spoken_of(world):
    world.store()
    world.repo.tree(COMMIT).parent.mkdir()
    world.repo.tree(COMMIT).write_text("the hub's")
    world.place(PART, artifact())
    assert world.repo.tree(COMMIT).read_text() == "the hub's"
    [notice] = placement_notices(world.repo, artifact())
    assert "--format all" in notice
    world.place()
    assert placement_notices(world.repo, artifact()) == ()


def test_the_tree_is_spelt_as_huggingface_hub_spells_it():
    digest = lfs("m", b"x" * 200)
    files = [
        replace(digest, path="模.bin", xet_hash="ab" * 32),
        git("b.json", b"{}"),
        replace(digest, xet_hash="redacted"),
    ]
    assert json.loads(encode_tree(files)) == {
        "format_version": 1,
        "files": {
            "b.json": {"size": 2, "blob_id": "9e26dfeeb6e641a33dae4961196235bdb965b21b"},
            "m": {"size": 200, "blob_id": digest.pointer_oid, "lfs_sha256": digest.digest.hex, "lfs_size": 200},
            "模.bin": {
                "size": 200,
                "blob_id": digest.pointer_oid,
                "lfs_sha256": digest.digest.hex,
                "lfs_size": 200,
                "xet_hash": "ab" * 32,
            },
        },
    }
    assert encode_tree(files[1:2]) == (
        b'{\n "format_version": 1,\n "files": {\n  "b.json": {\n   "size": 2,\n'
        b'   "blob_id": "9e26dfeeb6e641a33dae4961196235bdb965b21b"\n  }\n }\n}'
    )


def test_a_pointer_is_named_by_its_text_and_found_if_the_listing_lacks_it():
    # `git hash-object` of the three lines that git-lfs 3.3 writes for an empty file's twin of one byte "x"
    sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    file = lfs("m", b"x")
    assert file.digest.hex == sha256
    entry = json.loads(encode_tree([RemoteFile("m", 1, file.digest)]))["files"]["m"]
    assert entry["blob_id"] == pointer_oid(sha256, 1) == file.pointer_oid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format_version": 2, "files": {}}',
        '{"format_version": 1}',
        '{"format_version": 1, "files": {"../x": {"size": 1, "blob_id": "' + "0" * 40 + '"}}}',
        '{"format_version": 1, "files": {"x": {"size": 1, "blob_id": "short"}}}',
        '{"format_version": 1, "files": {"x": 3}}',
    ],
)
def test_a_damaged_or_hostile_tree_is_no_listing(tmp_path, text):
    path = tmp_path / "tree.json"
    path.write_text(text)
    assert read_tree(path) is None
    assert read_tree(tmp_path / "gone") is None


def test_a_wrong_entry_is_replaced_and_a_real_file_gives_way_to_its_blob(world):
    world.store()
    folder = world.repo.snapshot(COMMIT)
    folder.mkdir()
    (folder / "config.json").symlink_to("../../blobs/gone")
    (folder / "README.md").write_bytes(CONTENT["README.md"])
    world.place()
    assert draw(world.cache.root) == (EXPECTED / "complete.txt").read_text(encoding="utf-8")


def test_a_real_file_whose_blob_was_moved_away_stands(world):
    world.store()
    world.place(use_symlinks=False)
    before = draw(world.cache.root)
    world.place(use_symlinks=True)
    assert draw(world.cache.root) == before


def test_a_blob_that_another_commit_links_is_copied_not_moved(world):
    world.store()
    world.place()
    world.place(what=artifact(commit=OTHER_COMMIT), use_symlinks=False)
    for each in FILES:
        assert world.shown(each.path, COMMIT) == world.shown(each.path, OTHER_COMMIT) == CONTENT[each.path]
        assert not world.repo.pointer(OTHER_COMMIT, each.path).is_symlink()


def test_a_newer_blob_replaces_a_real_file(world):
    [config] = files_named("config.json")
    folder = world.repo.snapshot(COMMIT)
    folder.mkdir()
    (folder / "config.json").write_bytes(b"#" * config.size)
    os.utime(folder / "config.json", (1, 1))
    world.store()
    world.place(use_symlinks=False)
    assert world.shown("config.json") == CONTENT["config.json"]


@pytest.mark.parametrize("number", [1, 95, 38])
def test_where_links_do_not_work_files_are_real(world, monkeypatch, number):
    monkeypatch.setattr(Path, "symlink_to", fail_with(number))
    world.store()
    world.place()
    assert draw(world.cache.root) == (EXPECTED / "no-symlinks.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("links", range(len(FILES)))
def test_where_links_cease_to_work_older_links_still_lead_somewhere(world, monkeypatch, links):
    world.store()
    world.place()
    made, symlink_to = [], Path.symlink_to

    def cease(path, target):
        if len(made) == links:
            raise PermissionError(1, os.strerror(1))
        made.append(path)
        symlink_to(path, target)

    monkeypatch.setattr(Path, "symlink_to", cease)
    world.place(what=artifact(commit=OTHER_COMMIT))
    assert len(made) == links
    for each in FILES:
        assert world.shown(each.path, COMMIT) == world.shown(each.path, OTHER_COMMIT) == CONTENT[each.path]


@pytest.mark.parametrize("use_symlinks", [True, False])
@pytest.mark.parametrize("fails", ["folder", "ref"])
def test_a_failure_takes_back_what_it_made_and_keeps_the_blobs(world, monkeypatch, use_symlinks, fails):
    world.store()
    before = draw(world.cache.root)
    if fails == "ref":
        monkeypatch.setattr(snapshot, "write_ref_of", fail_with(28))
    else:
        monkeypatch.setattr(pointers, "fsync_folder", fail_with(28))
    with pytest.raises(DiskFull):
        world.place(use_symlinks=use_symlinks)
    left = [line for line in draw(world.cache.root).splitlines() if ".no_exist" not in line]
    assert [line for line in left if not line.endswith("trees/")] == before.splitlines()


def test_a_ref_that_cannot_be_synced_still_names_files_that_are_there(world, monkeypatch):
    """Found by failing each call in turn: the links were taken back and the ref, renamed already, stayed."""
    world.store()
    real = snapshot.fsync_folder

    def fail_for_refs(folder):
        if folder == world.repo.refs:
            raise OSError(5, "Input/output error")
        real(folder)

    monkeypatch.setattr(snapshot, "fsync_folder", fail_for_refs)
    with pytest.raises(StoreBroken):
        world.place()
    assert snapshot.read_ref(world.repo, "main") == COMMIT
    assert {name: world.shown(name) for name in CONTENT} == CONTENT


def test_a_failure_leaves_an_older_snapshot_of_the_commit_alone(world, monkeypatch):
    world.store()
    world.place(PART, artifact())
    before = draw(world.cache.root)
    monkeypatch.setattr(pointers, "fsync_folder", fail_with(5))
    with pytest.raises(StoreBroken):
        world.place()
    assert draw(world.cache.root) == before


def test_records_that_cannot_be_written_do_not_hinder(world, monkeypatch):
    monkeypatch.setattr(snapshot, "create_new", fail_with(30))
    real = staging.put_file

    def only_refs(path, data, *, stage_in):
        if path.parent.name == "trees":
            raise OSError(30, "read-only")
        real(path, data, stage_in=stage_in)

    monkeypatch.setattr(snapshot, "put_file", only_refs)
    world.store()
    world.place()
    assert world.repo.ref("main").read_text() == COMMIT
    assert not world.repo.tree(COMMIT).exists()


def test_a_missing_or_short_blob_is_not_linked(world):
    world.store(PART)
    with pytest.raises(StoreBroken, match=r"README\.md|onnx"):
        world.place()
    world.store()
    world.repo.blob(FILES[0].digest).write_bytes(b"")
    with pytest.raises(StoreBroken) as caught:
        world.place()
    assert caught.value.file == FILES[0].path
    assert list(world.repo.snapshots.iterdir()) == []


def test_an_entry_that_stands_over_a_short_blob_is_noticed(world):
    world.store()
    world.place()
    world.repo.blob(FILES[0].digest).write_bytes(b"")
    with pytest.raises(StoreBroken, match="changed"):
        world.place()


def test_a_blob_in_the_shared_store_is_never_moved_out_of_it(world):
    [config] = files_named("config.json")
    shared = world.cache.shared_store / "ab" / "payload"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(CONTENT["config.json"])
    world.repo.blob(config.digest).symlink_to("../../blobs/ab/payload")
    world.place([config], use_symlinks=False)
    assert world.repo.blob(config.digest).is_symlink()
    assert not world.repo.pointer(COMMIT, "config.json").is_symlink()
    assert world.shown("config.json") == shared.read_bytes() == CONTENT["config.json"]


def test_names_are_synced_in_the_order_in_which_they_depend_on_each_other(world, monkeypatch):
    world.store()
    snapshots, seen = world.repo.snapshots, []

    def look(folder):
        linked = any(each.is_symlink() for each in snapshots.rglob("*"))
        seen.append((folder.relative_to(world.repo.path).as_posix(), linked, world.repo.ref("main").exists()))

    monkeypatch.setattr(pointers, "fsync_folder", look)
    monkeypatch.setattr(snapshot, "fsync_folder", look)
    world.place()
    here = f"snapshots/{COMMIT}"
    folders = {"snapshots", here, f"{here}/onnx", f"{here}/onnx/deep", f"{here}/onnx/deep/er"}
    assert seen[0] == ("blobs", False, False)
    assert seen[-1] == ("refs", True, True)
    assert sorted(seen[1:-1]) == sorted((folder, True, False) for folder in folders)


@pytest.mark.parametrize("use_symlinks", [True, False])
def test_a_link_where_a_folder_should_be_is_not_followed(world, tmp_path, use_symlinks):
    outside = tmp_path / "outside"
    outside.mkdir()
    world.repo.snapshot(COMMIT).mkdir()
    (world.repo.snapshot(COMMIT) / "onnx").symlink_to(outside)
    world.store()
    with pytest.raises(PlacementRefused, match="a link"):
        world.place(use_symlinks=use_symlinks)
    assert list(outside.iterdir()) == []


def test_a_folder_where_a_file_should_be_is_refused(world):
    world.repo.pointer(COMMIT, "config.json").mkdir(parents=True)
    world.store()
    with pytest.raises(PlacementRefused, match="a folder"):
        world.place()


def test_a_hostile_listing_places_nothing(world):
    world.store()
    before = draw(world.cache.root)
    for path in ("../evil", "/evil", "a\\..\\..\\evil", "README.md/x"):
        with pytest.raises(PlacementRefused):
            world.place([*FILES, replace(FILES[0], path=path)])
    assert draw(world.cache.root) == before


def test_twins_are_placed_where_the_file_system_can_hold_them(world):
    twins = [git("Model.py", b"one"), git("model.py", b"two"), git("a/caf\u00e9", b"3"), git("a/cafe\u0301", b"4")]
    content = dict(zip([each.path for each in twins], [b"one", b"two", b"3", b"4"], strict=True))
    world.store(twins, content)
    world.place(twins)
    assert {path: world.shown(path) for path in content} == content
    assert {each.name for each in world.repo.blobs.iterdir()} == {each.digest.hex for each in twins}


def test_twins_are_refused_where_it_cannot(world, monkeypatch):
    monkeypatch.setattr(pointers.os.path, "lexists", lambda _path: True)
    twins = [git("Model.py", b"one"), git("model.py", b"two")]
    with pytest.raises(PlacementRefused, match="for one file"):
        world.place(twins)
    assert list(world.repo.blobs.iterdir()) == []
