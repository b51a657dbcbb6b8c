import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.observe import CorruptionFound, FilePlaced, ReferencePlaced, ReferencePlanned
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.scene import SHARED, SIZE, Scene, assert_placed, small_repo


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def run(work):
    return asyncio.run(work)


def test_two_mirrors_share_the_work_and_every_byte_is_right(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], **SHARED) as origin, MirrorServer([repo], **SHARED) as mirror:
            report = await scene.fetch(settings=scene.settings(origin, mirror))
            assert_placed(report, repo)
            assert origin.bytes_served > 0
            assert mirror.bytes_served > 0
            assert report.totals.bytes_fetched == sum(file.size for file in report.results[0].files)

    run(work())
    assert [event.path for event in scene.told(FilePlaced)][-1] == "model.safetensors"
    assert len(scene.told(ReferencePlanned)) == len(scene.told(ReferencePlaced)) == 1


@pytest.mark.parametrize("name", ["https://huggingface.co/org/name/tree/main/nested", "hf://org/name/nested/"])
def test_a_folder_of_a_repository_is_named_by_its_path(scene, name):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            online = await scene.fetch(name, settings=scene.settings(origin))
        offline = await scene.fetch(name, settings=scene.settings(Silent(), offline=True))
        return online.results[0], offline.results[0]

    for result in run(work()):
        assert result.ok, result.error
        assert [each.path for each in result.files] == ["nested/dir/notes.txt"]
        assert Path(result.path, "dir/notes.txt").read_bytes() == b"notes"


def test_the_cache_has_the_hubs_layout_and_no_leftovers(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
        return repo, report

    repo, report = run(work())
    folder = scene.cache / "models--org--name"
    assert (folder / "refs" / "main").read_bytes() == repo.commit.encode()
    assert Path(report.results[0].path) == folder / "snapshots" / repo.commit
    names = {path.name for path in (folder / "blobs").iterdir()}
    assert all(len(name) in {40, 64} for name in names), names
    tree = json.loads((folder / "trees" / f"{repo.commit}.json").read_text())
    assert set(tree["files"]) == set(repo.files)


def test_a_second_fetch_asks_for_no_content(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            await scene.fetch(settings=scene.settings(origin))
            before = origin.bytes_served
            report = await scene.fetch(settings=scene.settings(origin))
            assert origin.bytes_served == before
            assert {file.source for file in report.results[0].files} == {"cache"}
            assert report.totals.bytes_fetched == 0

    run(work())


def test_offline_is_served_from_the_cache_and_a_miss_names_what_forbids_asking(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            online = await scene.fetch(settings=scene.settings(origin))
        offline = scene.settings(Silent(), offline=True, offline_because="HF_HUB_OFFLINE")
        report = await scene.fetch(settings=offline)
        assert report.results[0].path == online.results[0].path
        missing = await scene.fetch("org/other", settings=offline)
        assert missing.exit_code == 3
        assert "HF_HUB_OFFLINE" in missing.results[0].error.message

    run(work())


def test_the_same_content_twice_in_a_repository_is_fetched_once(scene):
    async def work():
        twin = SeededContent(5, 3 << 20)
        repo = HubRepo("org/name", {"a.bin": twin, "copies/b.bin": twin})
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(settings=scene.settings(origin), format="all")
            assert_placed(report, repo)
            assert origin.bytes_served == 3 << 20

    run(work())


def test_another_repositorys_blob_is_reused_after_hashing(scene):
    async def work():
        one = small_repo()
        other = HubRepo("org/other", dict(one.files))
        async with MirrorServer([one, other]) as origin:
            await scene.fetch(settings=scene.settings(origin))
            before = origin.bytes_served
            report = await scene.fetch("org/other", settings=scene.settings(origin))
            assert_placed(report, other)
            assert origin.bytes_served == before

    run(work())


def test_two_references_with_one_content_fetch_it_once(scene):
    async def work():
        one = small_repo()
        other = HubRepo("org/other", dict(one.files))
        async with MirrorServer([one, other]) as origin:
            report = await scene.fetch("org/name", "org/other", settings=scene.settings(origin))
            assert_placed(report, one, 0)
            assert_placed(report, other, 1)
            assert origin.bytes_by_file["model.safetensors"] == SIZE

    run(work())


def test_the_folder_is_named_after_the_legacy_id_that_was_typed(scene):
    async def work():
        repo = HubRepo("bert-base-uncased", {"config.json": b"{}"}, canonical_id="google-bert/bert-base-uncased")
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch("bert-base-uncased", settings=scene.settings(origin))
        assert report.exit_code == 0, report.results[0].error
        assert (scene.cache / "models--bert-base-uncased" / "refs" / "main").exists()

    run(work())


def test_a_pinned_commit_writes_no_ref(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(f"org/name@{repo.commit}", settings=scene.settings(origin))
            assert_placed(report, repo)
        assert not (scene.cache / "models--org--name" / "refs" / "main").exists()

    run(work())


def test_a_dry_run_touches_nothing(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(settings=scene.settings(origin), dry_run=True)
        assert report.exit_code == 0
        assert report.results[0].path is None
        assert not scene.cache.exists()

    run(work())


@pytest.mark.parametrize(
    ("reference", "options", "words"),
    [
        ("org/nothing", {}, "org/nothing"),
        ("org/name@no-such-branch", {}, "no-such-branch"),
        ("org/name", {"include": ("*.gguf",)}, "*.gguf"),
    ],
)
def test_what_does_not_exist_ends_in_3_and_leaves_no_litter(scene, reference, options, words):
    async def work():
        async with MirrorServer([small_repo()]) as origin:
            report = await scene.fetch(reference, settings=scene.settings(origin), **options)
        assert report.exit_code == 3
        assert words in report.results[0].error.message
        assert not scene.cache.exists()

    run(work())


def test_a_hostile_path_in_the_listing_is_refused_before_anything_is_written(scene):
    async def work():
        async with MirrorServer([small_repo()], faults=["hostile-path"]) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
        assert report.exit_code == 7
        assert not scene.cache.exists()

    run(work())


def test_one_bad_reference_does_not_stop_the_good_one(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch("org/nothing", "org/name", settings=scene.settings(origin))
        assert [result.ok for result in report.results] == [False, True]
        assert report.exit_code == 3
        assert_placed(report, repo, 1)

    run(work())


HARMLESS_BESIDE_AN_HONEST_MIRROR = [
    fault("ignore-range", where="content"),
    fault("shift-bytes", where="content"),
    fault("flip-bits", where="content"),
    fault("flip-bits", where="content", every=3),
    fault("wrong-content-range", where="content"),
    fault("wrong-total", where="content"),
    fault("too-many-bytes", where="content"),
    fault("close-early", where="content"),
    fault("html-200", where="content"),
    fault("gzip", where="content"),
    fault("no-content-length", where="content"),
    fault("connection-close", where="content"),
    fault("status-403", where="content"),
    fault("status-404", where="content"),
    fault("status-429", where="content"),
    fault("status-500", where="content"),
    fault("status-503", where="content"),
    fault("redirect-loop", where="resolve"),
]


@pytest.mark.parametrize("bad", HARMLESS_BESIDE_AN_HONEST_MIRROR, ids=lambda bad: f"{bad.name}-{bad.every}")
@pytest.mark.parametrize("liar_first", [False, True], ids=["honest-first", "liar-first"])
def test_beside_an_honest_mirror_a_bad_one_costs_little(scene, bad, liar_first):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin, MirrorServer([repo], faults=[bad]) as liar:
            mirrors = [liar, origin] if liar_first else [liar]
            began = time.monotonic()
            report = await scene.fetch(settings=scene.settings(origin, *mirrors))
            assert_placed(report, repo)
            assert time.monotonic() - began < 30

    run(work())


def test_a_liar_is_caught_named_and_excluded(scene):
    async def work():
        repo = small_repo()
        async with (
            MirrorServer([repo], **SHARED) as origin,
            MirrorServer([repo], faults=["flip-bits"], **SHARED) as liar,
        ):
            report = await scene.fetch(settings=scene.settings(origin, liar))
            assert_placed(report, repo)
            return liar.url.removeprefix("http://"), report

    liar, report = run(work())
    caught = [event for event in scene.told(CorruptionFound) if event.repaired]
    assert {event.host for event in caught} == {liar}
    assert {host.host: host.state for host in report.hosts}[liar] == "excluded"


def test_a_single_lying_source_ends_in_5_names_the_host_and_places_nothing(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], faults=[fault("flip-bits", path="*.safetensors", where="content")]) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
            return origin.url.removeprefix("http://"), report

    host, report = run(work())
    assert report.exit_code == 5
    assert host in report.results[0].error.message
    assert "model.safetensors" in report.results[0].error.message
    folder = scene.cache / "models--org--name"
    assert not list((folder / "snapshots").iterdir())
    assert not (folder / "refs").exists()
    assert [path.name for path in (folder / "blobs").glob("*.chunkdl-part")], "the part is kept"


def test_a_source_that_only_streams_is_slow_but_enough_when_it_is_all_there_is(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], faults=[fault("ignore-range", where="content")]) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)

    run(work())


def test_the_rate_limit_is_not_exceeded(scene):
    async def work():
        repo = small_repo(size=6 << 20)
        async with MirrorServer([repo]) as origin:
            began = time.monotonic()
            report = await scene.fetch(settings=scene.settings(origin), limit_rate_bytes_per_s=2 << 20)
            assert_placed(report, repo)
            assert time.monotonic() - began > 2.0, "6 MiB at 2 MiB/s, half a second of burst"

    run(work())


def test_a_cache_path_with_spaces_and_non_ascii_works(tmp_path):
    scene = Scene(tmp_path / "模型 缓存 ü")

    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)

    run(work())


def test_without_symlinks_real_files_are_placed(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            return await scene.fetch(settings=scene.settings(origin, use_symlinks=False))

    report = run(work())
    entry = Path(report.results[0].path) / "model.safetensors"
    assert not entry.is_symlink()
    assert SeededContent(11, SIZE).first_difference(entry.read_bytes()) is None


def test_what_another_program_placed_meanwhile_is_known_by_its_size_alone(scene):
    def watch(event):
        scene.watched.append(event)
        if isinstance(event, ReferencePlanned):
            blob = scene.cache / "models--org--name" / "blobs" / repo.entries["model.safetensors"].digest
            blob.parent.mkdir(parents=True)
            blob.write_bytes(bytes(SIZE))  # as the stock client leaves it, who looks at nothing but the size

    async def work():
        async with MirrorServer([repo]) as origin:
            return await run_fetch(["org/name"], FetchOptions(), scene.settings(origin), watch)

    repo = small_repo()
    report = run(asyncio.wait_for(work(), 100))
    found = {each.path: (each.source, each.verified) for each in report.results[0].files}
    assert found.pop("model.safetensors") == ("cache", "size")
    assert set(found.values()) == {("network", "digest")}
    told = {each.path: (each.source, each.verified) for each in scene.told(FilePlaced)}
    assert told == {**found, "model.safetensors": ("cache", "size")}


@pytest.mark.parametrize("remembered", [True, False])
def test_real_files_without_a_tree_are_found_offline(scene, remembered):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as origin:
            settings = scene.settings(origin, use_symlinks=False)
            online = await scene.fetch(settings=settings, exclude=("empty.txt",))
        assert not list(scene.cache.rglob("trees/*"))
        offline = replace(settings, offline=True, state_dir=settings.state_dir if remembered else scene.folder / "new")
        found = await scene.fetch(settings=offline, exclude=("empty.txt",))
        one = await scene.fetch(settings=offline, include=("config.json",))
        folder = await scene.fetch(settings=replace(offline, local_dir=scene.folder / "local"))
        return online.results[0], found.results[0], one.results[0], folder.results[0]

    online, found, one, folder = run(work())
    assert (found.path, found.exit_code) == (online.path, 0)
    assert sorted(each.path for each in found.files) == sorted(each.path for each in online.files)
    assert ({each.digest for each in found.files} == {each.digest for each in online.files}) == remembered
    assert {each.verified for each in found.files} == {"size"}
    assert [each.path for each in one.files] == ["config.json"]
    assert folder.ok == remembered, "what nothing is known of is not copied as if it were proven"


def test_a_silent_origin_is_replaced_by_mirrors_that_vouch(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo]) as mirror:
            settings = scene.settings(Silent(), mirror)
            report = await scene.fetch(settings=settings)
            assert_placed(report, repo)
            result = report.results[0]
            assert (result.authority, result.authenticated) == ("mirrors", False)
            assert not list((scene.cache / "models--org--name").glob("trees/*"))

    run(work())


class Silent:
    url = "http://127.0.0.1:9"  # discard: nobody listens
