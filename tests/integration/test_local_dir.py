"""``--local-dir`` through the whole pipeline: real files, the hub's records, adoption, copies, resumption."""

import asyncio
import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest

from chunkdl.api import FetchFailed, afetch
from chunkdl.errors import UsageError
from chunkdl.observe import ReferencePlaced, ReferencePlanned
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.scene import SHARED, SIZE, Scene, small_repo

NAMES = {"config.json", "model.safetensors", "nested/dir/notes.txt", "empty.txt"}


class Folder(Scene):
    """A scene that puts files into a folder of the user's."""

    @property
    def local(self) -> Path:
        return self.folder / "my model 模型"

    @property
    def downloads(self) -> Path:
        return self.local / ".cache" / "huggingface" / "download"

    def here(self, origin, *mirrors, **more):
        return dataclasses.replace(self.settings(origin, *mirrors, **more), local_dir=self.local)

    def shown(self) -> set[str]:
        """The user's own view: everything but the bookkeeping."""
        files = (each for each in self.local.rglob("*") if not each.is_dir())
        return {name for each in files if not (name := each.relative_to(self.local).as_posix()).startswith(".cache/")}

    def leftovers(self) -> list[str]:
        return sorted(each.name for each in self.downloads.rglob("*chunkdl*"))

    def record(self, path) -> list[str]:
        return (self.downloads / f"{path}.metadata").read_text().splitlines()

    def stage(self, path, data) -> Path:
        file = self.local / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file


@pytest.fixture
def scene(tmp_path):
    return Folder(tmp_path)


def run(work):
    return asyncio.run(work)


def bytes_of(repo, path):
    content = repo.files[path]
    return content.read(0, content.size) if isinstance(content, SeededContent) else bytes(content)


def assert_shown(scene, report, repo):
    """Every file of the result is a real file with the publisher's bytes and a record that says so."""
    result = report.results[0]
    assert result.ok, result.error
    assert result.path == str(scene.local.resolve())
    for file in result.files:
        entry = scene.local / file.path
        assert stat.S_ISREG(entry.lstat().st_mode)
        assert entry.stat().st_nlink == 1
        assert entry.read_bytes() == bytes_of(repo, file.path), f"{file.path} differs"
        commit, etag, timestamp = scene.record(file.path)
        assert (commit, etag) == (repo.commit, file.digest.split(":")[1])
        assert entry.stat().st_mtime - 1 <= float(timestamp)
    assert scene.leftovers() == []


def test_real_files_with_the_hubs_records_and_nothing_in_the_cache(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], **SHARED) as origin, MirrorServer([repo], **SHARED) as mirror:
            report = await scene.fetch(settings=scene.here(origin, mirror))
            assert mirror.bytes_served > 0
        assert_shown(scene, report, repo)
        return repo

    repo = run(work())
    assert scene.shown() == NAMES
    records = scene.local / ".cache" / "huggingface"
    assert (records / ".gitignore").read_bytes() == b"*"
    assert (records / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert set(json.loads((records / "trees" / f"{repo.commit}.json").read_text())["files"]) == NAMES
    assert not scene.cache.exists()
    assert [event.path for event in scene.told(ReferencePlaced)] == [str(scene.local.resolve())]


def test_a_second_fetch_asks_for_no_content_and_writes_nothing(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            await scene.fetch(settings=scene.here(origin))
            before, stamps = origin.bytes_served, {each: each.stat().st_mtime_ns for each in scene.local.rglob("*")}
            report = await scene.fetch(settings=scene.here(origin))
            assert origin.bytes_served == before
        assert {file.source for file in report.results[0].files} == {"cache"}
        assert {each: each.stat().st_mtime_ns for each in scene.local.rglob("*")} == stamps

    run(work())


def test_a_smaller_set_leaves_no_tree(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(settings=scene.here(origin), include=("*.json",))
        assert_shown(scene, report, repo)

    run(work())
    assert scene.shown() == {"config.json"}
    assert not (scene.local / ".cache" / "huggingface" / "trees").exists()


def test_a_reference_to_one_file_is_answered_with_that_file(scene):
    async def work():
        async with MirrorServer([small_repo()]) as origin:
            return await scene.fetch("hf://org/name/nested/dir/notes.txt", settings=scene.here(origin))

    assert run(work()).results[0].path == str(scene.local.resolve() / "nested/dir/notes.txt")
    assert scene.shown() == {"nested/dir/notes.txt"}


class TestWhatIsHereAlready:
    def test_a_right_file_without_a_record_is_adopted_where_it_stands(self, scene):
        async def work():
            repo = small_repo()
            file = scene.stage("model.safetensors", bytes_of(repo, "model.safetensors"))
            inode = file.stat().st_ino
            async with MirrorServer([repo]) as origin:
                report = await scene.fetch(settings=scene.here(origin))
                assert origin.bytes_by_file["model.safetensors"] == 0
            assert_shown(scene, report, repo)
            assert file.stat().st_ino == inode
            told = {each.path: (each.source, each.verified) for each in report.results[0].files}
            assert told["model.safetensors"] == ("cache", "digest")

        run(work())

    def test_a_wrong_file_of_the_right_size_is_replaced(self, scene):
        async def work():
            repo = small_repo()
            scene.stage("model.safetensors", bytes(SIZE))
            async with MirrorServer([repo]) as origin:
                assert_shown(scene, await scene.fetch(settings=scene.here(origin)), repo)

        run(work())

    def test_an_edited_file_is_found_out_and_replaced(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                await scene.fetch(settings=scene.here(origin))
                file = scene.stage("config.json", bytes_of(repo, "config.json").swapcase())
                later = float(scene.record("config.json")[2]) + 5
                os.utime(file, (later, later))
                assert_shown_bytes(scene, await scene.fetch(settings=scene.here(origin)), repo)

        run(work())

    def test_another_commit_replaces_what_changed_and_renews_the_records_of_the_rest(self, scene):
        async def work():
            old, new = small_repo(), small_repo(**{"config.json": b'{"model_type": "bart"}'})
            assert old.commit != new.commit
            async with MirrorServer([old]) as origin:
                await scene.fetch(settings=scene.here(origin))
            inode = (scene.local / "model.safetensors").stat().st_ino
            async with MirrorServer([new]) as origin:
                report = await scene.fetch(settings=scene.here(origin))
                assert {name for name, count in origin.bytes_by_file.items() if count} == {"config.json"}
            assert_shown(scene, report, new)
            assert (scene.local / "model.safetensors").stat().st_ino == inode

        run(work())

    def test_old_files_stay_until_every_new_one_is_proven(self, scene):
        async def work():
            old = small_repo()
            async with MirrorServer([old]) as origin:
                await scene.fetch(settings=scene.here(origin))
            new = small_repo(**{"config.json": b"{}", "model.safetensors": SeededContent(12, SIZE)})
            lies = [fault("flip-bits", path="*.safetensors", where="content")]
            async with MirrorServer([new], faults=lies) as origin:
                report = await scene.fetch(settings=scene.here(origin))
            assert report.exit_code == 5
            for path in NAMES:
                assert (scene.local / path).read_bytes() == bytes_of(old, path)
                assert scene.record(path)[0] == old.commit
            async with MirrorServer([new]) as origin:
                report = await scene.fetch(settings=scene.here(origin))
                assert origin.bytes_by_file["config.json"] == 0, "it waited, proven"
            assert_shown(scene, report, new)

        run(work())

    def test_force_fetches_everything_again(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                await scene.fetch(settings=scene.here(origin))
                before = origin.bytes_served
                report = await scene.fetch(settings=scene.here(origin), force=True)
                assert origin.bytes_served == 2 * before
            assert_shown(scene, report, repo)

        run(work())

    def test_the_same_content_under_two_names_is_two_files(self, scene):
        async def work():
            twin = SeededContent(5, 3 << 20)
            repo = HubRepo("org/name", {"a.bin": twin, "copies/b.bin": twin})
            async with MirrorServer([repo]) as origin:
                report = await scene.fetch(settings=scene.here(origin), format="all")
                assert origin.bytes_served == 3 << 20
                assert_shown(scene, report, repo)
                (scene.local / "a.bin").unlink()
                report = await scene.fetch(settings=scene.here(origin), format="all")
                assert origin.bytes_served == 3 << 20, "its twin is next to it"
            assert_shown(scene, report, repo)

        run(work())


def assert_shown_bytes(scene, report, repo):
    assert report.exit_code == 0
    for file in report.results[0].files:
        assert (scene.local / file.path).read_bytes() == bytes_of(repo, file.path)


class TestTheCache:
    def test_is_copied_from_and_never_linked(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                await scene.fetch(settings=scene.settings(origin))
                before, cache = origin.bytes_served, scene.litter()
                report = await scene.fetch(settings=scene.here(origin))
                assert origin.bytes_served == before
            assert_shown(scene, report, repo)
            assert scene.litter() == cache
            return repo

        repo = run(work())
        (scene.local / "config.json").write_bytes(b"edited")
        snapshot = scene.cache / "models--org--name" / "snapshots" / repo.commit
        assert (snapshot / "config.json").read_bytes() == bytes_of(repo, "config.json")

    def test_a_damaged_blob_is_not_copied(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                report = await scene.fetch(settings=scene.settings(origin))
                snapshot = Path(report.results[0].path)
                (snapshot / "model.safetensors").resolve().write_bytes(bytes(SIZE))
                assert_shown(scene, await scene.fetch(settings=scene.here(origin)), repo)

        run(work())

    def test_its_ref_moves_to_a_commit_that_it_holds(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                await scene.fetch(f"org/name@{repo.commit}", settings=scene.settings(origin))
                await scene.fetch(settings=scene.here(origin))
            return repo

        repo = run(work())
        assert (scene.cache / "models--org--name" / "refs" / "main").read_text() == repo.commit

    def test_its_ref_never_moves_to_a_commit_that_it_does_not_hold(self, scene):
        async def work():
            old, new = small_repo(), small_repo(**{"config.json": b"{}"})
            async with MirrorServer([old]) as origin:
                await scene.fetch(settings=scene.settings(origin))
            async with MirrorServer([new]) as origin:
                assert_shown(scene, await scene.fetch(settings=scene.here(origin)), new)
            return old

        old = run(work())
        assert (scene.cache / "models--org--name" / "refs" / "main").read_text() == old.commit


class TestDryRun:
    def test_touches_nothing(self, scene):
        async def work():
            async with MirrorServer([small_repo()]) as origin:
                return await scene.fetch(settings=scene.here(origin), dry_run=True)

        report = run(work())
        assert (report.exit_code, report.results[0].path) == (0, None)
        assert not scene.local.exists()
        assert not scene.cache.exists()

    def test_says_what_would_be_adopted(self, scene):
        async def work():
            repo = small_repo()
            file = scene.stage("model.safetensors", bytes_of(repo, "model.safetensors"))
            async with MirrorServer([repo]) as origin:
                await scene.fetch(settings=scene.here(origin), dry_run=True)
            return file

        file = run(work())
        [planned] = scene.told(ReferencePlanned)
        actions = {content.paths[0]: (content.action.value, content.reuse_from) for content in planned.plan.contents}
        assert actions["model.safetensors"] == ("reuse", (str(file.resolve()),))
        assert not (scene.local / ".cache").exists()


class TestSafety:
    def test_a_hostile_path_is_refused_before_anything_is_written(self, scene):
        async def work():
            async with MirrorServer([small_repo()], faults=["hostile-path"]) as origin:
                return await scene.fetch(settings=scene.here(origin))

        assert run(work()).exit_code == 7
        assert not scene.local.exists()

    @pytest.mark.parametrize("path", [".cache/huggingface/download/config.json.metadata", ".Cache/HuggingFace/x"])
    def test_a_path_that_would_forge_the_records_is_refused(self, scene, path):
        async def work():
            repo = small_repo(**{path: b"forged"})
            async with MirrorServer([repo]) as origin:
                refused = await scene.fetch(settings=scene.here(origin))
                assert refused.exit_code == 7
                assert "--exclude" in refused.results[0].error.hint
                assert not scene.local.exists()
                report = await scene.fetch(settings=scene.here(origin), exclude=(".[cC]ache/*",))
            assert_shown(scene, report, repo)

        run(work())

    @pytest.mark.parametrize(
        "link", ["nested", "nested/dir", ".cache", ".cache/huggingface", ".cache/huggingface/download/nested"]
    )
    def test_a_link_inside_is_never_followed(self, scene, tmp_path, link):
        outside = tmp_path / "outside"
        outside.mkdir()
        place = scene.local / link
        place.parent.mkdir(parents=True)
        place.symlink_to(outside)

        async def work():
            async with MirrorServer([small_repo()]) as origin:
                report = await scene.fetch(settings=scene.here(origin))
                assert report.exit_code == 7
                assert "in the way: a link" in report.results[0].error.message
                assert origin.bytes_served == 0

        run(work())
        assert list(outside.iterdir()) == []

    def test_a_link_where_the_tree_belongs_is_refused_too(self, scene, tmp_path):
        place = scene.local / ".cache" / "huggingface" / "trees"
        place.parent.mkdir(parents=True)
        place.symlink_to(tmp_path)

        async def work():
            async with MirrorServer([small_repo()]) as origin:
                return await scene.fetch(settings=scene.here(origin))

        assert run(work()).exit_code == 7

    def test_a_file_that_is_a_link_is_replaced_and_what_it_leads_to_stays(self, scene, tmp_path):
        outside = tmp_path / "outside.json"
        outside.write_bytes(b"mine")
        scene.local.mkdir()
        (scene.local / "config.json").symlink_to(outside)

        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                assert_shown(scene, await scene.fetch(settings=scene.here(origin)), repo)

        run(work())
        assert outside.read_bytes() == b"mine"

    def test_a_folder_where_a_file_belongs_is_refused_before_anything_is_fetched(self, scene):
        (scene.local / "config.json").mkdir(parents=True)

        async def work():
            async with MirrorServer([small_repo()]) as origin:
                report = await scene.fetch(settings=scene.here(origin))
                assert (report.exit_code, origin.bytes_served) == (7, 0)

        run(work())

    def test_the_folder_itself_may_be_a_link(self, tmp_path):
        scene = Folder(tmp_path / "link")
        (tmp_path / "real").mkdir()
        scene.folder.symlink_to(tmp_path / "real")

        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                settings = dataclasses.replace(scene.here(origin), local_dir=scene.local.resolve())
                assert_shown(scene, await scene.fetch(settings=settings), repo)

        run(work())


def test_the_disk_check_is_about_the_folders_own_file_system(scene, monkeypatch):
    asked = []

    def nothing_free(path):
        asked.append(path)
        return 0

    monkeypatch.setattr("chunkdl.assemble.local_inventory.free_bytes", nothing_free)

    async def work():
        async with MirrorServer([small_repo()]) as origin:
            return await scene.fetch(settings=scene.here(origin))

    report = run(work())
    assert (report.exit_code, asked) == (6, [scene.local])
    assert str(scene.local) in report.results[0].error.message
    assert not scene.local.exists()


class TestOffline:
    def settings(self, scene):
        return dataclasses.replace(scene.here(Silent()), offline=True, offline_because="HF_HUB_OFFLINE")

    def test_the_folder_serves_what_it_holds(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                online = await scene.fetch(settings=scene.here(origin))
            report = await scene.fetch(settings=self.settings(scene))
            assert report.results[0].path == online.results[0].path
            assert report.results[0].commit == repo.commit
            assert {each.path for each in report.results[0].files} == NAMES

        run(work())

    def test_an_edited_file_is_missing(self, scene):
        async def work():
            async with MirrorServer([small_repo()]) as origin:
                await scene.fetch(settings=scene.here(origin))
            (scene.local / "config.json").write_bytes(b"{}")
            report = await scene.fetch(settings=self.settings(scene))
            assert report.exit_code == 3
            assert "config.json" in report.results[0].error.message

        run(work())

    def test_an_empty_folder_is_filled_from_the_cache(self, scene):
        async def work():
            repo = small_repo()
            async with MirrorServer([repo]) as origin:
                await scene.fetch(settings=scene.settings(origin))
            planned = await scene.fetch(settings=self.settings(scene), dry_run=True)
            assert (planned.exit_code, planned.results[0].path) == (0, None)
            assert not scene.local.exists()
            assert_shown(scene, await scene.fetch(settings=self.settings(scene)), repo)

        run(work())

    def test_a_damaged_cache_fills_nothing(self, scene):
        async def work():
            async with MirrorServer([small_repo()]) as origin:
                report = await scene.fetch(settings=scene.settings(origin))
            (Path(report.results[0].path) / "model.safetensors").resolve().write_bytes(bytes(SIZE))
            report = await scene.fetch(settings=self.settings(scene))
            assert report.exit_code == 3
            assert scene.shown() == set()

        run(work())

    def test_the_cache_never_brings_an_older_commit_over_what_the_folder_holds(self, scene):
        async def work():
            old, new = small_repo(), small_repo(**{"config.json": b"{}"})
            async with MirrorServer([old]) as origin:
                await scene.fetch(settings=scene.settings(origin))
            async with MirrorServer([new]) as origin:
                await scene.fetch(settings=scene.here(origin))
            (scene.local / "model.safetensors").unlink()
            report = await scene.fetch(settings=self.settings(scene))
            assert report.exit_code == 3
            assert (scene.local / "config.json").read_bytes() == b"{}"

        run(work())

    def test_nothing_anywhere_names_what_forbids_asking(self, scene):
        report = run(scene.fetch(settings=self.settings(scene)))
        assert report.exit_code == 3
        assert "the folder" in report.results[0].error.message
        assert "HF_HUB_OFFLINE" in report.results[0].error.message
        assert not scene.local.exists()


class TestUsage:
    def test_two_references_would_overwrite_each_other(self, scene):
        with pytest.raises(UsageError, match="one REF"):
            run(scene.fetch("org/name", "org/other", settings=scene.here(Silent())))

    def test_a_library_call_takes_the_folder(self, scene, monkeypatch):
        monkeypatch.setenv("CHUNKDL_STATE_DIR", str(scene.folder / "state"))
        monkeypatch.setenv("HF_HUB_CACHE", str(scene.cache))

        async def work():
            async with MirrorServer([small_repo()]) as origin:
                return await afetch("org/name", origin=origin.url, mirrors=[], local_dir=scene.local)

        result = run(work())
        assert os.fspath(result) == str(scene.local.resolve())
        assert scene.shown() == NAMES

    def test_a_library_call_for_cache_and_folder_is_refused(self, scene):
        with pytest.raises(UsageError, match="exclude each other"):
            run(afetch("org/name", cache_dir=scene.cache, local_dir=scene.local))

    def test_a_failure_names_the_exit_code(self, scene):
        async def work():
            async with MirrorServer([small_repo()]) as origin:
                with pytest.raises(FetchFailed) as failure:
                    await afetch("org/nothing", settings=scene.here(origin))
                assert failure.value.exit_code == 3

        run(work())
        assert not scene.local.exists()


class Silent:
    url = "http://127.0.0.1:9"  # discard: nobody listens
