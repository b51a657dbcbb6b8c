"""Opening a part file: whatever thread a cancellation meets at whatever work, everything is given back."""

import asyncio
import gc
import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.assemble.hub_lock import is_held
from chunkdl.assemble.layout import HubCache
from chunkdl.core.journal_codec import Header, Record
from chunkdl.core.planner import Action, PlannedContent
from chunkdl.errors import DiskFull
from chunkdl.model import ByteRange, Digest, DigestAlgorithm, RepoType
from chunkdl.pipeline.large import LargeContent
from chunkdl.transfer.journal import Journal
from chunkdl.transfer.ownership import Owned, Ownership
from chunkdl.transfer.partfile import PartFile
from chunkdl.transfer.threads import Threads
from tests.support.leftovers import files_open_under
from tests.support.peers import LIMIT_S, turns_until

SIZE = 2 << 20
DATA = random.Random(2).randbytes(SIZE)
PLANNED = PlannedContent(
    Digest(DigestAlgorithm.SHA256, hashlib.sha256(DATA).hexdigest()),
    SIZE,
    ("model.bin",),
    Action.FETCH,
    pending=(ByteRange(0, SIZE),),
)


class CancellingThreads(Threads):
    """The n-th call of all has the task cancelled just before it begins, so that its result comes too late."""

    def __init__(self, number):
        super().__init__()
        self._left = number
        self.task = None

    def submit(self, pool, call, *args, **kwargs):
        self._left -= 1
        if self._left:
            return super().submit(pool, call, *args, **kwargs)
        loop, cancelled = asyncio.get_running_loop(), asyncio.Event()

        def cancel():
            self.task.cancel()
            loop.call_soon(cancelled.set)

        def late():
            loop.call_soon_threadsafe(cancel)
            asyncio.run_coroutine_threadsafe(cancelled.wait(), loop).result(LIMIT_S)
            return call(*args, **kwargs)

        return super().submit(pool, late)


class Waiting:
    """What the engine was told about other owners."""

    def __init__(self):
        self.told = {}

    def waiting(self, what, owner, done_bytes):
        self.told[what] = owner


def session_with(threads, **options):
    options = {"force": False, **options}
    return SimpleNamespace(lane=None, threads=threads, engine=Waiting(), options=SimpleNamespace(**options))


@pytest.fixture
def destination(tmp_path):
    cache = HubCache(tmp_path / "hub")
    made = HubDestination(cache, cache.repo(RepoType.MODEL, "org/name"), use_symlinks=True)
    made.prepare()
    return made


def is_free(destination):
    owned = Ownership.acquire(destination.paths_of(PLANNED).owner, lambda: 0.0)
    if isinstance(owned, Owned):
        owned.release()
        return True
    return False


@pytest.mark.parametrize("number", range(1, 8))
def test_a_cancellation_during_any_call_gives_everything_back(destination, number):
    async def work():
        threads = CancellingThreads(number)

        async def open_and_close():
            async with LargeContent(session_with(threads), destination, PLANNED).opened() as content:
                content.part.write_at(DATA[:10], 0)

        try:
            threads.task = asyncio.create_task(open_and_close())
            await asyncio.wait_for(asyncio.wait([threads.task]), LIMIT_S)
        finally:
            threads.close()

    asyncio.run(work())
    assert is_free(destination), "the next fetch of this process would wait for itself"
    assert files_open_under(destination.root) == []


def test_a_disk_that_reports_its_failure_at_closing_leaves_nothing_owned(destination, monkeypatch):
    close = PartFile.close

    def close_and_fail(part):
        close(part)
        raise DiskFull("Disk quota exceeded")

    monkeypatch.setattr(PartFile, "close", close_and_fail)

    async def work():
        threads = Threads()
        try:
            with pytest.raises(DiskFull):
                async with LargeContent(session_with(threads), destination, PLANNED).opened():
                    pass
        finally:
            threads.close()

    asyncio.run(work())
    assert is_free(destination)
    assert not is_held(destination.paths_of(PLANNED).locks[0])


def test_a_part_without_its_journal_or_a_journal_without_its_part_claims_nothing(destination):
    async def open_once(act):
        threads = Threads()
        try:
            async with LargeContent(session_with(threads), destination, PLANNED).opened() as content:
                return await act(content)
        finally:
            threads.close()

    async def store(content):
        content.part.write_at(DATA[:4096], 0)
        content.took([Record(ByteRange(0, 4096), bytes(16), "h")])

    async def claimed(content):
        return content.claimed_bytes

    asyncio.run(open_once(store))
    assert asyncio.run(open_once(claimed)) == 4096
    paths = destination.paths_of(PLANNED)
    paths.part.unlink()
    assert asyncio.run(open_once(claimed)) == 0


def test_journals_do_not_wait_for_what_syncs(destination):
    """A killed process loses what no journal speaks of, and a sync may take minutes."""
    gate = threading.Event()

    async def work():
        threads, leave = Threads(), asyncio.Event()

        async def hold_open():
            async with LargeContent(session_with(threads), destination, PLANNED).opened() as content:
                contents.append(content)
                await leave.wait()

        contents = []
        try:
            holding = asyncio.create_task(hold_open())
            await turns_until(lambda: contents)
            syncing = [threads.submit(threads.sync, gate.wait, LIMIT_S) for _ in range(2)]
            await asyncio.wait_for(_store_and_flush(contents[0], 0), LIMIT_S / 2)
            contents[0].took([Record(ByteRange(4096, 8192), bytes(16), "h")])
            leave.set()
            before = journal.stat().st_size
            await turns_until(lambda: journal.stat().st_size > before)
            assert not any(each.done() for each in syncing)
            gate.set()
            await holding
        finally:
            gate.set()
            threads.close()

    journal = destination.paths_of(PLANNED).journal
    asyncio.run(work())


async def _store_and_flush(content, start):
    content.part.write_at(DATA[start : start + 4096], start)
    content.took([Record(ByteRange(start, start + 4096), bytes(16), "h")])
    await content.flush()


def test_who_waits_for_another_owner_and_is_cancelled_waits_no_more(destination):
    async def work():
        other = Ownership.acquire(destination.paths_of(PLANNED).owner, lambda: 0.0)
        threads = Threads()
        session = session_with(threads)

        async def open_and_close():
            async with LargeContent(session, destination, PLANNED).opened():
                pass

        try:
            task = asyncio.create_task(open_and_close())
            await turns_until(lambda: session.engine.told.get(PLANNED.digest.hex))
            task.cancel()
            await asyncio.wait([task])
        finally:
            threads.close()
        assert session.engine.told == {PLANNED.digest.hex: None}
        assert other.still_mine()
        other.release()

    asyncio.run(work())


class CancellingExecutor(ThreadPoolExecutor):
    """As ``CancellingThreads``, for what takes an executor."""

    def __init__(self, number):
        super().__init__(1)
        self._left = number
        self.task = None

    def submit(self, call, /, *args, **kwargs):
        self._left -= 1
        if self._left:
            return super().submit(call, *args, **kwargs)
        loop, cancelled = asyncio.get_running_loop(), threading.Event()

        def cancel():
            self.task.cancel()
            loop.call_soon(loop.call_soon, cancelled.set)

        def late():
            loop.call_soon_threadsafe(cancel)
            assert cancelled.wait(LIMIT_S)
            return call(*args, **kwargs)

        return super().submit(late)


@pytest.mark.parametrize("number", range(1, 10))
def test_a_journal_whose_opening_is_cancelled_is_closed(tmp_path, number):
    async def work():
        header = Header(PLANNED.digest, SIZE, PLANNED.segment_bytes)
        with CancellingExecutor(number) as executor:

            async def open_and_close():
                journal, _ = await Journal.open(tmp_path / "j", header, executor)
                await journal.close()

            executor.task = asyncio.create_task(open_and_close())
            await asyncio.wait_for(asyncio.wait([executor.task]), LIMIT_S)

    asyncio.run(work())
    gc.collect()  # an unclosed file would complain here, and a warning is an error
    assert files_open_under(tmp_path) == []
