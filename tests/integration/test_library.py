"""The library from its callers' side: threads, loops, one pool, one download for all who wish the same."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.leftovers import files_open_under, threads_left
from support.peers import turns_until
from support.scene import SIZE, Scene, assert_placed, small_repo

import chunkdl
from chunkdl.assemble import digests
from chunkdl.errors import AccessDenied, ArtifactNotFound
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

LIMIT_S = 60
# Slow enough that a second caller meets the first one at work: 24 MiB in two seconds.
RATE = 12 << 20


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@pytest.fixture
def serve():
    running = []

    def start(*repos, **options):
        context = MirrorServer(list(repos), **options).in_thread()
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def first_bytes(event, seen):
    if isinstance(event, chunkdl.Progress) and event.fetched_bytes:
        seen.set()


def test_two_threads_that_wish_the_same_share_one_download(scene, serve):
    repo = small_repo()
    mirror = serve(repo, rate_bytes_per_s=RATE)
    settings = scene.settings(mirror)
    begun, second = threading.Event(), []

    def late():
        assert begun.wait(LIMIT_S)
        return chunkdl.fetch("org/name", settings=settings, on_event=second.append)

    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(late)
        one = chunkdl.fetch("org/name", settings=settings, on_event=lambda event: first_bytes(event, begun))
        two = other.result(LIMIT_S)
    assert one.report is two.report
    assert mirror.bytes_served == sum(file.size for file in repo.entries.values())
    assert len([each for each in mirror.log if "/tree/" in each.subject]) == 1
    assert [each for each in second if isinstance(each, chunkdl.ReferencePlaced)]
    assert_placed(one.report, repo)


async def test_when_the_first_of_two_tasks_is_cancelled_the_other_goes_on(scene, serve):
    repo = small_repo()
    mirror = serve(repo, rate_bytes_per_s=RATE)
    settings = scene.settings(mirror)
    begun = asyncio.Event()
    first = asyncio.create_task(
        chunkdl.afetch("org/name", settings=settings, on_event=lambda event: first_bytes(event, begun))
    )
    await asyncio.wait_for(begun.wait(), LIMIT_S)
    second = asyncio.create_task(chunkdl.afetch("org/name", settings=settings))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    result = await asyncio.wait_for(second, LIMIT_S)
    assert_placed(result.report, repo)
    assert files_open_under(scene.folder) == []


async def test_a_failure_is_everybodys_who_shared(scene, serve):
    settings = scene.settings(serve(small_repo()))
    calls = [chunkdl.afetch("org/nothing", settings=settings) for _ in range(3)]
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert [(type(each), each.exit_code) for each in failures] == [(chunkdl.FetchFailed, 3)] * 3


async def test_fetch_works_inside_a_running_loop(scene, serve):
    mirror = serve(small_repo(1 << 20))
    result = chunkdl.fetch("org/name", settings=scene.settings(mirror))
    assert os.fspath(result) == str(result) == str(result.path)
    assert (Path(result) / "config.json").read_bytes().startswith(b"{")


def test_a_result_says_what_is_where_and_why_it_is_right(scene, serve):
    repo = small_repo(1 << 20)
    settings = scene.settings(serve(repo))
    first = chunkdl.fetch("org/name", settings=settings)
    assert (first.commit, first.authenticated) == (repo.commit, True)
    assert {each.path: each.digest.partition(":")[2] for each in first.files} == {
        path: file.digest for path, file in repo.entries.items()
    }
    assert first.bytes_fetched == sum(file.size for file in repo.entries.values())
    again = chunkdl.fetch("org/name", settings=settings)
    assert again.bytes_fetched == 0
    assert {each.source for each in again.files} == {"cache"}


@pytest.mark.parametrize(
    ("repo", "ref", "kind", "missing"),
    [
        (small_repo(1000), "org/nothing", ArtifactNotFound, "repository"),
        (small_repo(1000), "org/name@v9", ArtifactNotFound, "revision"),
        (small_repo(1000), "hf://org/name/nothing.txt", ArtifactNotFound, "file"),
        (HubRepo("org/name", {"a": b"a"}, gated="manual"), "org/name", AccessDenied, None),
    ],
    ids=["repository", "revision", "file", "gated"],
)
def test_a_failure_carries_its_cause(scene, serve, repo, ref, kind, missing):
    with pytest.raises(chunkdl.FetchFailed) as failed:
        chunkdl.fetch(ref, settings=scene.settings(serve(repo)))
    cause = failed.value.__cause__
    assert isinstance(cause, kind)
    assert missing is None or cause.missing == missing
    assert failed.value.exit_code == 3


def test_keywords_are_settings_and_options(tmp_path, serve, monkeypatch):
    monkeypatch.setenv("CHUNKDL_STATE_DIR", str(tmp_path / "state"))
    repo = small_repo(1 << 20)
    origin, mirror = serve(repo), serve(repo)
    result = chunkdl.fetch(
        "org/name",
        origin=origin.url,
        mirrors=[chunkdl.Mirror(mirror.url, name="near", proxy="none")],
        include=["*.json"],
        cache_dir=tmp_path / "hub",
    )
    assert [each.path for each in result.files] == ["config.json"]
    local = chunkdl.fetch("org/name", origin=origin.url, mirrors=[], local_dir=tmp_path / "out", format="all")
    assert sorted(each.path for each in local.files) == sorted(repo.entries)
    assert str(local) == str(tmp_path / "out")


# ---- one pool ----------------------------------------------------------------------------------------


def two_repos():
    return small_repo(2 << 20), HubRepo("org/other", {"config.json": b"{}", "w.bin": SeededContent(5, 9 << 20)})


def test_a_downloader_serves_many_calls_over_the_same_connections(scene, serve):
    one, other = two_repos()
    mirror = serve(one, other)
    heard = []
    with chunkdl.Downloader(settings=scene.settings(mirror), on_event=scene.watched.append) as downloader:
        first = downloader.fetch("org/name")
        second = downloader.fetch("org/other", on_event=heard.append)
        again = downloader.fetch("org/name")
    assert_placed(first.report, one)
    assert_placed(second.report, other)
    assert (first.bytes_fetched, again.bytes_fetched) == (sum(file.size for file in one.entries.values()), 0)
    assert second.bytes_fetched == sum(file.size for file in other.entries.values())
    assert {each.reference for each in scene.told(chunkdl.ReferencePlaced)} == {"org/name", "org/other"}
    assert {each.reference for each in heard if isinstance(each, chunkdl.ReferencePlaced)} == {"org/other"}
    assert threads_left() == []
    assert files_open_under(scene.folder) == []


def test_threads_share_a_downloader_and_a_wish(scene, serve):
    repo = small_repo()
    mirror = serve(repo)
    with (
        chunkdl.Downloader(settings=scene.settings(mirror)) as downloader,
        ThreadPoolExecutor(8) as pool,
    ):
        results = [each.result(LIMIT_S) for each in [pool.submit(downloader.fetch, "org/name") for _ in range(8)]]
    assert {each.path for each in results} == {results[0].path}
    assert mirror.bytes_served == sum(file.size for file in repo.entries.values())


async def test_a_downloader_in_an_event_loop(scene, serve):
    one, other = two_repos()
    async with chunkdl.Downloader(settings=scene.settings(serve(one, other))) as downloader:
        first, second = await asyncio.gather(downloader.afetch("org/name"), downloader.afetch("org/other"))
        with pytest.raises(chunkdl.FetchFailed, match="nothing"):
            await downloader.afetch("org/nothing")
    assert_placed(first.report, one)
    assert_placed(second.report, other)


async def test_a_cancelled_call_leaves_the_pool_to_the_others(scene, serve):
    one, other = two_repos()
    big = HubRepo("org/big", {"w.bin": SeededContent(6, SIZE)})
    mirror = serve(one, other, big, rate_bytes_per_s=RATE)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch(event):
        if isinstance(event, chunkdl.Progress) and event.fetched_bytes:
            loop.call_soon_threadsafe(begun.set)

    async with chunkdl.Downloader(settings=scene.settings(mirror)) as downloader:
        call = asyncio.create_task(downloader.afetch("org/big", on_event=watch))
        await asyncio.wait_for(begun.wait(), LIMIT_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert_placed((await downloader.afetch("org/name")).report, one)
    assert files_open_under(scene.folder) == []


def test_leaving_a_downloader_ends_what_runs_and_keeps_what_is_stored(scene, serve):
    repo = HubRepo("org/big", {"w.bin": SeededContent(6, SIZE)})
    mirror = serve(repo, rate_bytes_per_s=RATE)
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with chunkdl.Downloader(settings=scene.settings(mirror)) as downloader:
            call = pool.submit(downloader.fetch, "org/big", on_event=lambda event: first_bytes(event, begun))
            assert begun.wait(LIMIT_S)
        assert isinstance(call.exception(LIMIT_S), BaseException)
    assert threads_left() == []
    assert any(name.endswith(".chunkdl-part") for name in scene.litter())
    served = mirror.bytes_served
    assert_placed(chunkdl.fetch("org/big", settings=scene.settings(mirror)).report, repo)
    assert mirror.bytes_served - served < SIZE


def test_a_call_of_a_pool_counts_what_the_network_brought_for_it(scene, serve):
    repo = HubRepo("org/big", {"w.bin": SeededContent(6, SIZE), "twin.bin": SeededContent(6, SIZE)})
    slow, fast, begun = serve(repo, rate_bytes_per_s=RATE), serve(repo), threading.Event()
    with ThreadPoolExecutor(1) as pool, chunkdl.Downloader(settings=scene.settings(slow)) as downloader:
        call = pool.submit(downloader.fetch, "org/big", on_event=lambda event: first_bytes(event, begun))
        assert begun.wait(LIMIT_S)
        downloader.close()
        assert isinstance(call.exception(LIMIT_S), BaseException)
    with chunkdl.Downloader(settings=scene.settings(fast)) as downloader:
        result = downloader.fetch("org/big")
    totals = result.report.totals
    assert {each.source for each in result.files} == {"partial"}
    assert 0 < totals.bytes_fetched < SIZE
    assert totals.bytes_fetched + totals.bytes_reused == totals.bytes == 2 * SIZE


def test_a_call_of_a_pool_that_fails_counts_what_it_brought(scene, serve):
    repo = HubRepo("org/name", {"good.bin": SeededContent(6, 1 << 20), "bad.bin": SeededContent(7, 1 << 20)})
    mirror = serve(repo, faults=[fault("status", where="content", path="bad.bin", status=404)])
    with (
        chunkdl.Downloader(settings=scene.settings(mirror)) as downloader,
        pytest.raises(chunkdl.FetchFailed) as failed,
    ):
        downloader.fetch("org/name")
    assert failed.value.report.totals.bytes_fetched == 1 << 20


def test_a_downloader_that_is_not_open_says_so(scene, serve):
    downloader = chunkdl.Downloader(settings=scene.settings(serve(small_repo(1000))))
    with pytest.raises(chunkdl.ChunkdlError, match="closed"):
        downloader.fetch("org/name")
    with downloader:
        pass
    with pytest.raises(chunkdl.ChunkdlError, match="closed"):
        downloader.fetch("org/name")


def test_a_forced_call_of_a_pool_fetches_again(scene, serve):
    repo = small_repo(1 << 20)
    mirror = serve(repo)
    with chunkdl.Downloader(settings=scene.settings(mirror)) as downloader:
        downloader.fetch("org/name")
        served = mirror.bytes_served
        downloader.fetch("org/name", force=True)
    assert mirror.bytes_served == 2 * served


def test_a_downloader_works_offline(scene, serve):
    repo = small_repo(1 << 20)
    mirror = serve(repo)
    settings = scene.settings(mirror)
    chunkdl.fetch("org/name", settings=settings)
    asked = mirror.requests
    with chunkdl.Downloader(settings=replace(settings, offline=True)) as downloader:
        assert_placed(downloader.fetch("org/name").report, repo)
        with pytest.raises(chunkdl.FetchFailed, match="forbids"):
            downloader.fetch("org/other")
    assert mirror.requests == asked


@pytest.mark.parametrize("cancelled", [False, True])
async def test_filling_a_folder_offline_leaves_the_loop_alone(scene, serve, tmp_path, monkeypatch, cancelled):
    repo, began, go_on, hashed = small_repo(), threading.Event(), threading.Event(), []

    class Watched(digests.ContentHasher):
        def update(self, view):
            began.set()
            assert go_on.wait(LIMIT_S)
            hashed.append(len(view))
            super().update(view)

    settings = scene.settings(serve(repo))
    await chunkdl.afetch("org/name", settings=settings)
    monkeypatch.setattr(digests, "ContentHasher", Watched)
    offline = replace(settings, offline=True, local_dir=tmp_path / "folder")
    wish = chunkdl.afetch("org/name", settings=offline, on_event=scene.watched.append)
    task = asyncio.create_task(wish)
    await turns_until(began.is_set)
    if cancelled:
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled() == cancelled
    assert bool(scene.told(chunkdl.ReferencePlaced)) != cancelled
    assert (sum(hashed) < SIZE) == cancelled
    assert not list((tmp_path / "folder").rglob("*.chunkdl-new*"))


def test_a_watcher_that_fails_stops_nothing_and_no_other_watcher(scene, serve, caplog):
    mirror = serve(small_repo(1 << 20))

    def broken(_event):
        raise RuntimeError("a bug of the caller's")

    with chunkdl.Downloader(settings=scene.settings(mirror), on_event=scene.watched.append) as downloader:
        downloader.fetch("org/name", on_event=broken)
    assert scene.told(chunkdl.ReferencePlaced)
    assert "RuntimeError: a bug of the caller's" in caplog.text


def test_a_plan_says_what_a_fetch_would_do_and_fetches_nothing(scene, serve, tmp_path):
    repo = small_repo()
    mirror = serve(repo)
    settings = scene.settings(mirror)
    heard = []
    plan = chunkdl.plan("org/name", settings=settings, on_event=heard.append)
    assert isinstance(plan, chunkdl.Plan)
    assert plan.artifact.commit == repo.commit
    assert plan.bytes_to_fetch == plan.bytes_total > 0
    assert [each.plan for each in heard if isinstance(each, chunkdl.ReferencePlanned)] == [plan]
    assert mirror.bytes_served == 0
    assert not settings.cache_dir.exists()
    result = chunkdl.fetch("org/name", settings=settings)
    assert {each.path for each in result.files} == {each.path for each in plan.chosen}
    for now in (settings, replace(settings, offline=True, offline_because="--offline")):
        after = chunkdl.plan("org/name", settings=now)
        assert (after.bytes_to_fetch, after.bytes_reused) == (0, plan.bytes_total)


async def test_a_plan_that_cannot_be_made_fails_as_a_fetch_does(scene, serve):
    settings = scene.settings(serve(small_repo()))
    with pytest.raises(chunkdl.FetchFailed) as failure:
        await chunkdl.aplan("org/nothing", settings=settings)
    assert (failure.value.exit_code, type(failure.value.__cause__)) == (3, ArtifactNotFound)
    with pytest.raises(chunkdl.FetchFailed) as missed:
        chunkdl.plan("org/name", settings=replace(settings, offline=True, offline_because="HF_HUB_OFFLINE"))
    assert missed.value.code == "offline"
