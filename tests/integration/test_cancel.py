"""Wanting out: at any moment everything closes within a second, what arrived is kept, and the next run goes on.

That second is a promise about the command, and one test shows it; on a busy machine what ends at once may take more.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import chunkdl
from chunkdl.assemble import digests
from chunkdl.observe import Progress
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support.journals import claimed_bytes
from tests.support.leftovers import LIMIT_S, files_open_under, threads_left
from tests.support.peers import turns_until
from tests.support.programs import killed_after
from tests.support.scene import Scene, assert_placed, small_repo

SIZE = 24 << 20
RATE = 4 << 20  # six seconds, of which less than one is waited for
STOLEN = 4 << 20  # what may be on the wire when a lease loses its tail
PROMISED_S = 1.0
ATTEMPTS = 5
SOON_S = 5.0
# The command with all the time it wants for an orderly end: what that leaves behind is not a matter of a busy machine.
PATIENT = """
from chunkdl.cli.stopping import Stopping
Stopping.__init__.__kwdefaults__["grace_s"] = 30.0
import chunkdl.__main__
"""


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def names(scene, pattern):
    return sorted(path.name for path in scene.cache.rglob(pattern))


async def others():
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def test_a_cancelled_afetch_leaves_nothing_running_and_the_next_one_goes_on(scene):
    async def work():
        repo = small_repo(SIZE)
        async with MirrorServer([repo], rate_bytes_per_s=RATE) as origin:
            settings, had = scene.settings(origin), []
            task = asyncio.create_task(chunkdl.afetch("org/name", settings=settings, on_event=had.append))
            await turns_until(lambda: had and isinstance(had[-1], Progress) and had[-1].fetched_bytes > 3 << 20)
            arrived = had[-1].fetched_bytes
            began = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            assert time.monotonic() - began < SOON_S
            assert task.cancelled()
            assert not [name for name in await others() if "serve" not in name and "Task-" not in name]
            assert claimed_bytes(scene.cache) >= arrived
            assert names(scene, "*.chunkdl-part")
            assert not names(scene, "*.chunkdl-owner*")
            assert not names(scene, "*.chunkdl-new")
            origin.rate_bytes_per_s = None
            before, claimed = origin.bytes_by_file["model.safetensors"], claimed_bytes(scene.cache)
            report = await scene.fetch(settings=settings)
            assert_placed(report, repo)
            assert origin.bytes_by_file["model.safetensors"] - before <= SIZE - claimed + STOLEN

    asyncio.run(work())
    assert threads_left() == []
    assert files_open_under(scene.folder) == []


class Countdown:
    """Cancels a task after so many turns of its loop."""

    def __init__(self, turns):
        self._left = turns

    async def watch(self, task):
        while self._left > 0 and not task.done():
            self._left -= 1
            await asyncio.sleep(0)
        task.cancel()


def test_a_cancellation_at_any_turn_of_the_loop_releases_what_was_acquired(tmp_path):
    """Else this very process would wait for itself for ever at the next fetch."""

    async def work():
        repo = small_repo(3 << 20)
        async with MirrorServer([repo]) as origin:
            for turns in range(0, 2400, 40):
                scene = Scene(tmp_path / str(turns))
                task = asyncio.create_task(chunkdl.afetch("org/name", settings=scene.settings(origin)))
                countdown = asyncio.create_task(Countdown(turns).watch(task))
                await asyncio.wait([task, countdown])
                assert task.cancelled() or not task.exception()
                assert names(scene, "*.chunkdl-owner*") == [], f"after {turns} turns"
                assert names(scene, "*.chunkdl-new") == [], f"after {turns} turns"
                if not task.cancelled():
                    return
                assert not names(scene, "refs/*"), "a ref is last"

    asyncio.run(asyncio.wait_for(work(), 100))
    assert threads_left() == []
    assert files_open_under(tmp_path) == []


@pytest.mark.parametrize("step", range(40))
def test_a_cancellation_while_files_are_opened_gives_them_back(scene, step):
    """The moments between reference and first byte, one thread's call after the other."""

    async def work():
        repo = small_repo(3 << 20)
        async with MirrorServer([repo], rate_bytes_per_s=RATE) as origin:
            task = asyncio.create_task(chunkdl.afetch("org/name", settings=scene.settings(origin)))
            blobs = scene.cache / "models--org--name" / "blobs"
            await turns_until(lambda: task.done() or blobs.exists())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(asyncio.wait_for(work(), 30))
    assert names(scene, "*.chunkdl-owner*") == []
    assert threads_left() == []
    assert files_open_under(scene.folder) == []


def command(folder, url, *flags, program=("-m", "chunkdl")):
    environ = {**os.environ, "HF_HUB_CACHE": str(folder / "hub"), "CHUNKDL_STATE_DIR": str(folder / "state")}
    argv = [sys.executable, *program, "fetch", "org/name", "--origin", url, "--no-mirrors", *flags]
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetched_by(process, least_bytes):
    """How much it says it has fetched, once that is so much."""
    with killed_after(process):
        said = (json.loads(line).get("fetched_bytes", 0) for line in process.stderr)
        return next(each for each in said if each > least_bytes)


SIGNALS = pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@SIGNALS
def test_a_signal_ends_the_command_in_a_second(scene, signum, code):
    """Whatever else the machine does meanwhile, hence the best of a few attempts."""
    took = []
    with MirrorServer([small_repo(SIZE)], rate_bytes_per_s=RATE).in_thread() as origin:
        while min(took, default=PROMISED_S) >= PROMISED_S and len(took) < ATTEMPTS:
            process = command(scene.folder / str(len(took)), origin.url, "--progress", "json")
            fetched_by(process, 1 << 20)
            began = time.monotonic()
            process.send_signal(signum)
            _, err = process.communicate(timeout=LIMIT_S)
            took.append(time.monotonic() - began)
            assert process.returncode == code, err
    assert min(took) < PROMISED_S, took


@SIGNALS
def test_a_signal_leaves_what_arrived_and_the_next_run_goes_on(scene, signum, code):
    repo = small_repo(SIZE)
    with MirrorServer([repo], rate_bytes_per_s=RATE).in_thread() as origin:
        process = command(scene.folder, origin.url, "--progress", "json", program=("-c", PATIENT))
        arrived = fetched_by(process, 3 << 20)
        process.send_signal(signum)
        _, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == code, err
        assert names(scene, "*.chunkdl-part")
        assert not names(scene, "*.chunkdl-owner*")
        served, claimed = origin.bytes_served, claimed_bytes(scene.cache)
        assert claimed >= arrived
        origin.rate_bytes_per_s = None
        again = command(scene.folder, origin.url, "--quiet")
        out, err = again.communicate(timeout=60)
        assert again.returncode == 0, err
        assert origin.bytes_served - served <= SIZE - claimed + STOLEN
    snapshot = scene.cache / "models--org--name" / "snapshots" / repo.commit
    assert out.strip() == str(snapshot)
    assert SeededContent(11, SIZE).first_difference((snapshot / "model.safetensors").read_bytes()) is None


def test_fetch_works_inside_a_running_loop(scene):
    async def work(url):
        return chunkdl.fetch("org/name", origin=url, mirrors=[], cache_dir=scene.cache)

    repo = small_repo(3 << 20)
    with MirrorServer([repo]).in_thread() as origin:
        result = asyncio.run(work(origin.url))
    assert os.fspath(result) == str(result) == str(scene.cache / "models--org--name" / "snapshots" / repo.commit)
    assert threads_left() == []


@pytest.fixture
def interruptible():
    """Started in the background by a shell, Python ignores SIGINT: here it is to be the usual exception."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_inside_a_running_loop_stops_the_thread_that_fetches(scene, interruptible):
    sent = []

    def interrupt(event):
        if isinstance(event, Progress) and event.fetched_bytes > 1 << 20 and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))

    async def work(url):
        return chunkdl.fetch("org/name", origin=url, mirrors=[], cache_dir=scene.cache, on_event=interrupt)

    with MirrorServer([small_repo(SIZE)], rate_bytes_per_s=RATE).in_thread() as origin:
        loop = asyncio.new_event_loop()  # as a notebook runs it: Ctrl-C is an exception, wherever the thread is
        try:
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(work(origin.url))
        finally:
            loop.close()
    assert threads_left() == []
    assert names(scene, "*.chunkdl-part")
    assert not names(scene, "*.chunkdl-owner*")


def test_who_cancels_while_a_file_is_hashed_for_reuse_waits_for_a_moment_only(scene, monkeypatch):
    """The thread ends too: an interpreter that ends joins it, however large the file."""
    begun, go_on, hashed = threading.Event(), threading.Event(), []

    class Watched(digests.ContentHasher):
        def update(self, view):
            begun.set()
            assert go_on.wait(LIMIT_S)
            hashed.append(len(view))
            super().update(view)

    async def work():
        content = SeededContent(11, SIZE)
        repos = [HubRepo(name, {"config.json": b"{}", "model.safetensors": content}) for name in ("org/one", "org/two")]
        async with MirrorServer(repos) as origin:
            settings = scene.settings(origin)
            assert (await scene.fetch("org/one", settings=settings)).exit_code == 0
            monkeypatch.setattr(digests, "ContentHasher", Watched)
            task = asyncio.create_task(scene.fetch("org/two", settings=settings))
            await turns_until(begun.is_set)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            began = time.monotonic()
            await asyncio.wait([task])
            assert time.monotonic() - began < SOON_S
            assert task.cancelled()

    asyncio.run(work())
    assert threads_left() == []
    assert sum(hashed) < SIZE, "hashing stopped where it was"
    assert not names(scene, "*.chunkdl-new*")
