"""Every wait has a bound: against peers, disks and neighbours that never answer each run ends, in its time.

Limits are scaled down and handed in; the bound of a case is what the limits in play add up to.
"""

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import pytest

from chunkdl.assemble import place
from chunkdl.assemble.hub_lock import HubLock
from chunkdl.core.policy import SchedulerConfig
from chunkdl.errors import TransportError
from chunkdl.model import ByteRange, Mirror, Source
from chunkdl.observe import FilePlaced, Progress
from chunkdl.pipeline import session as session_module
from chunkdl.process_identity import ProcessIdentity
from chunkdl.settings.values import FIRST_BYTE_S
from chunkdl.testing import MirrorServer, fault
from chunkdl.transfer import ownership
from chunkdl.transfer.owner_record import OwnerRecord, encode_owner
from chunkdl.transfer.partfile import PartFile
from tests.integration.raw_server import RawServer, a_client, read_all
from tests.integration.raw_server import partial as head_of
from tests.support.leftovers import threads_left
from tests.support.scene import Scene, assert_placed, small_repo

SIZE = 6 << 20
MODEL = "model.safetensors"
QUICK = {"connect_s": 0.6, "origin_connect_s": 0.6, "answer_s": 0.8, "metadata_s": 2.0, "first_byte_s": 1.0}
LIMITS = SchedulerConfig(
    stall_s=1.0, stall_idle_s=0.8, stall_max_s=2.0, link_silent_s=0.6, answer_grace_s=2.0, hedge_silence_s=0.6,
    backoff_max_s=0.6, backoff_min_s=0.1, link_backoff_max_s=0.6, no_progress_s=4.0,
)  # fmt: skip
# Metadata (2 s), one first byte or stall (1 s) and a loaded machine's own time, where somebody honest is left.
BESIDE_S = 12.0
# Where nobody is: what is above, then no progress for 4 s, told from the end of the longest lease (4 s).
ALONE_S = 20.0


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "SchedulerConfig", lambda: LIMITS)
    return Scene(tmp_path)


def quick(scene, origin, *mirrors):
    """Settings whose every limit is short."""
    return scene.settings(origin, *mirrors, **QUICK)


def bounded(work, limit_s):
    """Run ``work()``: it has ended within its bound, and so have its threads."""

    async def timed():
        began = time.monotonic()
        result = await asyncio.wait_for(work(), limit_s)
        return result, time.monotonic() - began

    result, took_s = asyncio.run(timed())
    assert took_s < limit_s
    assert threads_left() == []
    return result


class Listener:
    """Lets connect who wants to and says nothing; with ``full`` nobody gets as far as that."""

    def __init__(self, scheme="http", *, full=False):
        self._scheme, self._full = scheme, full

    def __enter__(self):
        self._stack = ExitStack()
        server = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0 if self._full else 64))
        self.url = f"{self._scheme}://127.0.0.1:{server.getsockname()[1]}"
        for _ in range(4 if self._full else 0):
            filler = self._stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        return self

    def __exit__(self, *failure):
        self._stack.close()


CONNECTIONS = {
    "tcp": partial(Listener, full=True),
    "tls": partial(Listener, "https"),
    "http": Listener,
}


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_an_origin_that_cannot_be_talked_to_is_replaced_by_a_mirror(scene, kind):
    async def work():
        repo = small_repo(SIZE)
        with CONNECTIONS[kind]() as silent:
            async with MirrorServer([repo]) as mirror:
                assert_placed(await scene.fetch(settings=quick(scene, silent, mirror)), repo)

    bounded(work, BESIDE_S)


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_an_origin_that_cannot_be_talked_to_and_is_alone_ends_in_4(scene, kind):
    async def work():
        with CONNECTIONS[kind]() as silent:
            return await scene.fetch(settings=quick(scene, silent))

    report = bounded(work, ALONE_S)
    assert report.exit_code == 4, report.results[0].error


SILENCES = {
    "info": fault("accept-and-silent", where="info"),
    "tree": fault("accept-and-silent", where="tree"),
    "resolve": fault("accept-and-silent", where="resolve"),
    "first byte": fault("accept-and-silent", where="content", path=MODEL),
    "no body": fault("stall-after-n-bytes", n=0, path=MODEL),
    "body": fault("stall-after-n-bytes", n=100_000, path=MODEL),
    "last byte": fault("stall-after-n-bytes", n=(1 << 20) - 1, path=MODEL),
}


def test_the_patience_of_the_settings_counts_where_a_mirror_has_none_of_its_own(scene):
    """By hand as from a file: ``Settings(first_byte_s=...)`` alone; the 15 s that it replaces are over the bound."""

    async def work():
        repo = small_repo(SIZE)
        silence = fault("accept-and-silent", where="content", path=MODEL, times=2)
        async with MirrorServer([repo], faults=[silence]) as origin:
            settings = scene.settings(origin, first_byte_s=QUICK["first_byte_s"])
            assert settings.origin.first_byte_s == FIRST_BYTE_S > BESIDE_S
            assert_placed(await scene.fetch(settings=settings), repo)

    bounded(work, BESIDE_S)


@pytest.mark.parametrize("where", SILENCES)
def test_a_mirror_that_falls_silent_is_replaced_by_another(scene, where):
    async def work():
        repo = small_repo(SIZE)
        falling_silent = MirrorServer([repo], faults=[SILENCES[where]], signed_urls=True)
        async with falling_silent as silent, MirrorServer([repo]) as honest:
            assert_placed(await scene.fetch(settings=quick(scene, silent, honest)), repo)

    bounded(work, BESIDE_S)


@pytest.mark.parametrize("where", ["info", "tree", "resolve", "first byte", "no body"])
def test_a_lone_hub_that_falls_silent_ends_in_4(scene, where):
    async def work():
        async with MirrorServer([small_repo(SIZE)], faults=[SILENCES[where]], signed_urls=True) as silent:
            return await scene.fetch(settings=quick(scene, silent))

    report = bounded(work, ALONE_S)
    assert report.exit_code == 4, report.results[0].error
    assert report.results[0].error.message


def test_a_proxy_that_is_silent_costs_no_more_than_the_limits(scene):
    async def work():
        repo = small_repo(SIZE)
        with Listener() as proxy:
            async with MirrorServer([repo]) as mirror:
                settings = quick(scene, Listed("http://hub.invalid"), mirror)
                settings = replace(settings, origin=replace(settings.origin, proxy=proxy.url))
                assert_placed(await scene.fetch(settings=settings), repo)

    bounded(work, BESIDE_S)


class Listed:
    def __init__(self, url):
        self.url = url


def test_a_peer_that_never_closes_does_not_hold_us():
    async def work():
        async def whole(_, writer):
            writer.write(head_of(0, 5, 5, "Connection: close") + b"12345")
            await writer.drain()
            await asyncio.Event().wait()

        async with RawServer(whole) as server, a_client() as client:
            source = Source(Mirror(server.url, "m1"), server.url + "/f")
            body = await client.open_body(source, ByteRange(0, 5), size=5, first_byte_s=2.0)
            assert await read_all(body) == b"12345"
            await body.close(reusable=True)

    bounded(work, BESIDE_S)


UNFINISHED = {
    "redirect": "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 100\r\n\r\n",
    "refusal": "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n",
    "metadata": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "half of its headers": "HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("ask", ["metadata", "headers", "body"])
@pytest.mark.parametrize("what", UNFINISHED)
def test_an_answer_that_never_ends_is_given_up_in_its_time(what, ask):
    """What is read out of courtesy, to keep a connection, is waited for no longer than the rest."""

    async def work():
        async def begin(_, writer):
            writer.write(UNFINISHED[what].encode())
            await writer.drain()
            await asyncio.Event().wait()

        async with RawServer(begin) as server, a_client() as client:
            mirror, url = Mirror(server.url, "m1"), server.url + "/f"
            try:
                if ask == "metadata":
                    await client.get_metadata(url, mirror=mirror, timeout_s=0.5)
                elif ask == "headers":
                    await client.ask_headers(url, mirror=mirror, timeout_s=0.5, method="GET")
                else:
                    body = await client.open_body(Source(mirror, url), None, size=100, first_byte_s=0.5)
                    body.abort()
            except TransportError as error:
                return str(error)
            return "an answer whose rest is not needed"

    assert bounded(work, BESIDE_S)


@contextmanager
def blocked(monkeypatch, target, name):
    """The first call of ``target.name`` waits in its thread until ``go_on`` is set."""
    begun, go_on, real = threading.Event(), threading.Event(), getattr(target, name)

    def waiting(*args, **named):
        if not begun.is_set():
            begun.set()
            assert go_on.wait(BESIDE_S)
        return real(*args, **named)

    monkeypatch.setattr(target, name, waiting)
    try:
        yield begun, go_on
    finally:
        go_on.set()


BLOCKING = {"write": (PartFile, "write_at"), "fsync": (place, "fsync_file"), "rename": (place, "replace")}


@pytest.mark.parametrize("call", BLOCKING)
def test_a_disk_that_hangs_stops_its_file_alone_and_is_nobodys_fault(scene, monkeypatch, call):
    """Bytes that a thread still reads cannot be given up: the run goes on when the disk does."""

    async def work():
        repo = small_repo(SIZE, **{"other.bin": b"x" * 100_000})
        with blocked(monkeypatch, *BLOCKING[call]) as (begun, go_on):
            ticks = []

            def watch(event):
                scene.watched.append(event)
                ticks.append(begun.is_set() and isinstance(event, Progress))
                if sum(ticks) == 16:  # so many beats after it began to hang: longer than a stall
                    go_on.set()

            told = Scene(scene.folder, Calls(watch))
            async with MirrorServer([repo]) as origin:
                report = await told.fetch(settings=quick(scene, origin))
            assert go_on.is_set()
            assert_placed(report, repo)
            assert sum(host.errors for host in report.hosts) == 0

    bounded(work, BESIDE_S)


class Calls:
    def __init__(self, act):
        self.append = act


def test_an_observer_that_raises_holds_nothing(scene):
    def broken(_event):
        raise ZeroDivisionError

    async def work():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        repo = small_repo(SIZE)
        async with MirrorServer([repo]) as origin:
            assert_placed(await Scene(scene.folder, Calls(broken)).fetch(settings=scene.settings(origin)), repo)

    bounded(work, BESIDE_S)


def model_digest(repo):
    return repo.files[MODEL].sha256


def test_an_owner_on_another_host_whose_counter_stands_still_is_replaced(scene, monkeypatch):
    monkeypatch.setattr(ownership, "STALE_AFTER_S", 0.3)

    async def work():
        repo = small_repo(SIZE)
        owner = scene.cache / "models--org--name" / "blobs" / f"{model_digest(repo)}.chunkdl-owner"
        owner.parent.mkdir(parents=True)
        elsewhere = ProcessIdentity("another-host", "boot/pid:[1]", 1, 1)
        owner.write_bytes(encode_owner(OwnerRecord(elsewhere, "nonce", 1, counter=7)))
        async with MirrorServer([repo]) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
        assert any(event.waiting_for for event in scene.told(Progress))
        assert not owner.exists()

    bounded(work, BESIDE_S)


def test_a_hub_lock_that_somebody_else_holds_is_not_waited_for(scene):
    async def work():
        repo = small_repo(SIZE)
        lock = HubLock(scene.cache / ".locks" / "models--org--name" / f"{model_digest(repo)}.lock")
        with lock:
            assert lock.held
            async with MirrorServer([repo]) as origin:
                assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)

    bounded(work, BESIDE_S)
    assert MODEL in {event.path for event in scene.told(FilePlaced)}
