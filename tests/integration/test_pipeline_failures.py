"""Failures in the middle of a run: each stays where it belongs, and the numbers stay true."""

import asyncio
import contextlib
import hashlib
import time

import pytest

from chunkdl.observe import FilePlaced, Notice, Progress
from chunkdl.pipeline import session as session_module
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.peers import turns_until
from tests.support.scene import Scene, assert_placed, small_repo

SIZE = 6 << 20
MODEL = SeededContent(3, SIZE)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def run(work):
    return asyncio.run(work())


@contextlib.contextmanager
def complaints_in(loop):
    """What an asyncio program is told about faults that stop nothing."""
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    try:
        yield told
    finally:
        loop.set_exception_handler(None)


def last_progress(scene):
    return scene.told(Progress)[-1]


def assert_numbers_add_up(scene):
    for each in scene.told(Progress):
        assert 0 <= each.done_bytes <= each.total_bytes
        assert 0 <= each.fetched_bytes <= each.done_bytes
        assert 0 <= each.files_done <= each.files_total


def test_progress_knows_the_whole_from_the_start_and_ends_at_it(scene):
    async def work():
        repo = HubRepo("org/name", {f"{n}.bin": SeededContent(n, 2 << 20) for n in range(70)})
        async with MirrorServer([repo], rate_bytes_per_s=100 << 20) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin), format="all"), repo)

    run(work)
    assert_numbers_add_up(scene)
    assert {each.total_bytes for each in scene.told(Progress)[1:]} == {70 * (2 << 20)}
    last = last_progress(scene)
    assert (last.done_bytes, last.files_done, last.files_total) == (last.total_bytes, 70, 70)


def test_two_references_with_the_same_empty_and_full_files_count_each_once(scene):
    async def work():
        files = {"empty.txt": b"", "model.safetensors": MODEL, "config.json": b"{}"}
        repos = [HubRepo("org/name", files), HubRepo("org/other", files)]
        async with MirrorServer(repos) as origin:
            report = await scene.fetch("org/name", "org/other", settings=scene.settings(origin))
            for index, repo in enumerate(repos):
                assert_placed(report, repo, index)
            return report

    report = run(work)
    assert_numbers_add_up(scene)
    last = last_progress(scene)
    assert (last.files_done, last.files_total) == (6, 6)
    assert last.done_bytes == last.total_bytes == 2 * (SIZE + 2)
    assert last.fetched_bytes == report.totals.bytes_fetched == SIZE + 2


def test_every_file_that_was_brought_is_told_reused_ones_too(scene):
    async def work():
        files = {"model.safetensors": MODEL, "config.json": b"{}"}
        repos = [HubRepo("org/name", files), HubRepo("org/other", files)]
        async with MirrorServer(repos) as origin:
            await scene.fetch("org/name", settings=scene.settings(origin))
            scene.watched.clear()
            await scene.fetch("org/other", settings=scene.settings(origin))

    run(work)
    told = {(each.path, each.source) for each in scene.told(FilePlaced)}
    assert told == {("model.safetensors", "cache"), ("config.json", "cache")}


def test_when_the_reference_that_fetches_a_shared_content_fails_the_others_fetch_it_once(scene):
    async def work():
        repos = [HubRepo(f"org/{name}", {f"{name}.bin": MODEL}) for name in ("bad", "good", "fine")]
        never = fault("status-404", where="content", path="bad.bin")
        later = [fault("slow-first-byte", where="info", path=f"*/{name}*", seconds=0.5) for name in ("good", "fine")]
        async with MirrorServer(repos, faults=[never, *later], rate_bytes_per_s=20 << 20) as origin:
            settings = scene.settings(origin)
            report = await scene.fetch("org/bad", "org/good", "org/fine", settings=settings, format="all")
            assert [each.exit_code for each in report.results] == [4, 0, 0]
            assert report.exit_code == 4
            assert origin.bytes_by_file["good.bin"] + origin.bytes_by_file["fine.bin"] == SIZE

    run(work)
    assert_numbers_add_up(scene)


def test_a_file_that_no_source_has_ends_in_4_soon_and_the_rest_is_kept(scene):
    async def work():
        repo = HubRepo("org/name", {"gone.bin": SeededContent(1, SIZE), "here.bin": SeededContent(2, SIZE)})
        async with MirrorServer([repo], faults=[fault("status-404", where="content", path="gone.bin")]) as origin:
            began = time.monotonic()
            report = await scene.fetch(settings=scene.settings(origin), format="all")
            assert time.monotonic() - began < 10
            return repo, report

    repo, report = run(work)
    assert report.exit_code == 4
    assert "gone.bin" in report.results[0].error.message
    blobs = scene.cache / "models--org--name" / "blobs"
    assert (blobs / repo.entries["here.bin"].digest).exists()


def test_an_empty_file_with_a_digest_of_something_is_a_damaged_listing_and_no_bug(scene):
    async def work():
        repo, other = small_repo(2 << 20), HubRepo("org/other", {"config.json": b"{}"})
        wrong = hashlib.sha1(b"not nothing").hexdigest()
        vars(repo.entries["empty.txt"])["digest"] = wrong  # what a cached property would have computed
        async with MirrorServer([repo, other]) as origin:
            report = await scene.fetch("org/name", "org/other", settings=scene.settings(origin))
            assert [each.exit_code for each in report.results] == [5, 0]
            assert "empty.txt" in report.results[0].error.message

    run(work)


def test_an_observer_that_raises_stops_nothing_and_is_told_once(scene):
    async def work():
        repo = small_repo(2 << 20)

        def broken(event):
            scene.watched.append(event)
            raise ZeroDivisionError

        scene_of_broken = Scene(scene.folder)
        with complaints_in(asyncio.get_running_loop()) as told:
            async with MirrorServer([repo]) as origin:
                scene_of_broken.watched = _Calls(broken)
                report = await scene_of_broken.fetch(settings=scene.settings(origin))
                assert_placed(report, repo)
        assert [type(each) for each in told] == [ZeroDivisionError]

    run(work)
    assert len(scene.watched) > 3, "it is still told what happens"


class _Calls:
    def __init__(self, act):
        self.append = act


def test_a_notice_is_told_once_however_many_references_cause_it(scene):
    async def work():
        repos = [small_repo(2 << 20), HubRepo("org/other", {"config.json": b"{}"})]
        notice = Notice("settings", "said once")
        async with MirrorServer(repos) as origin:
            settings = scene.settings(origin, notices=(notice, notice))
            report = await scene.fetch("org/name", "org/other", settings=settings)
            assert report.notices.count(notice) == 1

    run(work)
    assert scene.told(Notice).count(Notice("settings", "said once")) == 1


def test_force_fetches_everything_again_and_claims_nothing(scene):
    async def work():
        repo = small_repo(SIZE)
        async with MirrorServer([repo]) as origin:
            settings = scene.settings(origin)
            await scene.fetch(settings=settings)
            before = origin.bytes_served
            report = await scene.fetch(settings=settings, force=True)
            assert_placed(report, repo)
            assert origin.bytes_served - before >= SIZE
            assert {each.source for each in report.results[0].files if each.size} == {"network"}

    run(work)


def test_a_journal_without_its_part_file_claims_nothing(scene):
    async def work():
        repo = HubRepo("org/name", {"model.bin": MODEL})
        async with MirrorServer([repo], rate_bytes_per_s=4 << 20) as origin:
            settings = scene.settings(origin)
            task = asyncio.create_task(scene.fetch(settings=settings, format="all"))
            await turns_until(lambda: scene.told(Progress) and last_progress(scene).fetched_bytes > 1 << 20)
            task.cancel()
            await asyncio.wait([task])
            [part] = scene.cache.rglob("*.chunkdl-part")
            part.unlink()
            origin.rate_bytes_per_s = None
            report = await scene.fetch(settings=settings, format="all")
            assert_placed(report, repo)
            assert report.results[0].files[0].source == "network"
            assert report.totals.bytes_fetched == SIZE

    run(work)


def test_more_small_files_than_the_engine_will_hear_of_at_once(scene, monkeypatch):
    monkeypatch.setattr("chunkdl.transfer.engine.INBOX_LIMIT", 200)
    monkeypatch.setattr(session_module, "SMALL_AT_ONCE", 50)

    async def work():
        repo = HubRepo("org/name", {f"{n}.txt": f"file {n}".encode() for n in range(300)})
        async with MirrorServer([repo]) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin), format="all"), repo)

    run(work)
