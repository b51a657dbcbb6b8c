"""The journal file: what survives, what starts anew, what a failing store leaves."""

import asyncio
import errno
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chunkdl.core.journal_codec import Header, Record, decode, encode_header, encode_record
from chunkdl.errors import DiskFull, StoreBroken
from chunkdl.model import ByteRange, Digest
from chunkdl.transfer import journal
from chunkdl.transfer.journal import Journal

HEADER = Header(Digest.parse("sha256:" + "ab" * 32), 1 << 20, 1 << 16)


def record(start, stop, host="cdn:443"):
    return Record(ByteRange(start, stop), bytes([start % 251]) * 16, host)


HISTORY = [record(1000 * n, 1000 * n + 500) for n in range(20)]


class FaultyExecutor(ThreadPoolExecutor):
    """Runs what it is given, but for the ``nth`` call, which fails as a full disk does: writes in the middle."""

    def __init__(self, nth=None):
        super().__init__(max_workers=1)
        self.nth = nth
        self.calls = 0

    def submit(self, call, /, *args, **kwargs):
        self.calls += 1
        if self.calls == self.nth:
            return super().submit(self._fail, functools.partial(call, *args, **kwargs))
        return super().submit(call, *args, **kwargs)

    def _fail(self, call):
        """A write stores a little more than half; a close closes and then reports what writing back gave."""
        name = getattr(call.func, "__name__", "")
        if name == "write":
            call.func(call.args[0][: len(call.args[0]) // 2 + 1])
        if name == "close":
            call()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def run(scenario, nth=None):
    with FaultyExecutor(nth) as executor:
        return asyncio.run(asyncio.wait_for(scenario(executor), 30))


def reopened(path, header=HEADER):
    async def scenario(executor):
        journal, found = await Journal.open(path, header, executor)
        await journal.close()
        return found

    return run(scenario)


def write(path, *batches):
    async def scenario(executor):
        journal, _ = await Journal.open(path, HEADER, executor)
        try:
            for batch in batches:
                await journal.append(batch)
        finally:
            await journal.close()
        return path.stat().st_size

    return run(scenario)


def test_what_is_appended_is_found_by_the_next_run(tmp_path):
    size = write(tmp_path / "j", HISTORY[:3], [], HISTORY[3:])
    assert (tmp_path / "j").stat().st_size == size
    assert reopened(tmp_path / "j") == tuple(HISTORY)
    assert reopened(tmp_path / "j") == tuple(HISTORY)


def test_the_newest_of_overlapping_records_is_returned(tmp_path):
    write(tmp_path / "j", [record(0, 100), record(200, 300)], [record(0, 150), record(250, 260)])
    assert reopened(tmp_path / "j") == (record(0, 150), record(250, 260))


@pytest.mark.parametrize("torn", [1, 7, 30])
def test_a_torn_tail_is_cut_off_and_appends_follow_what_is_sound(tmp_path, torn):
    write(tmp_path / "j", HISTORY[:5])
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(whole[:-torn])
    write(tmp_path / "j", HISTORY[5:6])
    assert reopened(tmp_path / "j") == tuple(HISTORY[:4] + HISTORY[5:6])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage " * 50,
        encode_header(HEADER)[:-1],
        encode_header(Header(HEADER.digest, 5, 4)) + encode_record(record(0, 4)),
        encode_header(Header(Digest.parse("git-sha1:" + "00" * 20), 1 << 20, 1 << 16)) + encode_record(record(0, 4)),
    ],
    ids=["empty", "garbage", "half a header", "other size", "other content"],
)
def test_what_is_not_about_this_content_starts_anew(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    assert reopened(tmp_path / "j") == ()
    write(tmp_path / "j", HISTORY)
    assert reopened(tmp_path / "j") == tuple(HISTORY)


def test_what_is_too_large_to_be_ours_is_not_read(tmp_path):
    with (tmp_path / "j").open("wb") as file:
        file.write(encode_header(HEADER) + encode_record(HISTORY[0]))
        file.truncate(1 << 40)
    assert reopened(tmp_path / "j") == ()
    assert (tmp_path / "j").stat().st_size == len(encode_header(HEADER))


def test_a_record_that_a_reader_would_take_for_damage_is_refused(tmp_path):
    for bad in (record((1 << 16) - 1, (1 << 16) + 1), record((1 << 20) - 1, (1 << 20) + 1)):
        with pytest.raises(ValueError, match="not inside one segment"):
            write(tmp_path / "j", [HISTORY[0], bad])
    assert reopened(tmp_path / "j") == ()


def test_rewriting_replaces_everything_and_appending_goes_on(tmp_path):
    async def scenario(executor):
        journal, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        await journal.append(HISTORY)
        before = (tmp_path / "j").stat().st_size
        await journal.rewrite(HISTORY[:2])
        assert (tmp_path / "j").stat().st_size < before
        await journal.append(HISTORY[7:8])
        await journal.close()

    run(scenario)
    assert reopened(tmp_path / "j") == (*HISTORY[:2], HISTORY[7])
    assert [each.name for each in tmp_path.iterdir()] == ["j"]


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_deleted_journal_and_its_folder_come_back_with_what_they_said(tmp_path, rewritten):
    async def scenario(executor):
        (tmp_path / "blobs").mkdir()
        journal, _ = await Journal.open(tmp_path / "blobs" / "j", HEADER, executor)
        await journal.append(HISTORY[:3])
        (tmp_path / "blobs" / "j").unlink()
        (tmp_path / "blobs").rmdir()
        if rewritten:
            await journal.rewrite(HISTORY[:3])
        await journal.append(HISTORY[3:4])
        await journal.append(HISTORY[4:5])
        await journal.close()

    run(scenario)
    assert reopened(tmp_path / "blobs" / "j") == tuple(HISTORY[:5])


def test_a_journal_that_another_name_keeps_alive_comes_back_too(tmp_path):
    """NFS renames an open file that is deleted."""

    async def scenario(executor):
        journal, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        await journal.append(HISTORY[:3])
        (tmp_path / "j").rename(tmp_path / ".nfs0001")
        await journal.append(HISTORY[3:4])
        await journal.close()

    run(scenario)
    assert reopened(tmp_path / "j") == tuple(HISTORY[:4])


def test_appends_that_overlap_take_turns(tmp_path):
    async def scenario(executor):
        journal, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        async with asyncio.TaskGroup() as group:
            for each in HISTORY:
                group.create_task(journal.append([each]))
            group.create_task(journal.rewrite([]))
        await journal.close()

    run(scenario)
    data = (tmp_path / "j").read_bytes()
    assert decode(data).valid_length == len(data) > 0


def test_a_cancelled_append_harms_neither_earlier_nor_later_ones(tmp_path):
    async def scenario(executor):
        journal, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        for n, each in enumerate(HISTORY):
            task = asyncio.ensure_future(journal.append([each]))
            for _ in range(n % 6):
                await asyncio.sleep(0)
            if n % 2:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await journal.close()

    run(scenario)
    found = reopened(tmp_path / "j")
    assert set(HISTORY[::2]) <= set(found)
    assert set(found) <= set(HISTORY)


def test_a_cancelled_rewrite_is_over_before_the_next_append_begins(tmp_path, monkeypatch):
    def slow(path, data):
        begun.set()
        assert may_go_on.wait(30)
        write_atomically(path, data)

    async def scenario():
        opened, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        rewrite = asyncio.ensure_future(opened.rewrite(HISTORY[:2]))
        await asyncio.get_running_loop().run_in_executor(executor, begun.wait, 30)
        rewrite.cancel()
        append = asyncio.ensure_future(opened.append(HISTORY[2:3]))
        for _ in range(5):
            await asyncio.sleep(0)
        may_go_on.set()
        await append
        assert rewrite.cancelled()
        await opened.close()

    begun, may_go_on = threading.Event(), threading.Event()
    write_atomically = journal.disk.write_atomically
    monkeypatch.setattr(journal.disk, "write_atomically", slow)
    with ThreadPoolExecutor(3) as executor:
        asyncio.run(asyncio.wait_for(scenario(), 30))
    assert reopened(tmp_path / "j") == tuple(HISTORY[:3])


class GatedWrites(ThreadPoolExecutor):
    """The ``nth`` write waits, in its thread, until it may go on; says when it begins and when a close does."""

    def __init__(self, nth):
        super().__init__(3)
        self._left = nth
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.said = []

    def submit(self, call, /, *args, **kwargs):
        name = getattr(getattr(call, "func", None), "__name__", "")
        self._left -= name == "write"
        if name == "write" and self._left == 0:
            return super().submit(self._gated, call)
        if name == "close":
            self.said.append("close")
        return super().submit(call, *args, **kwargs)

    def _gated(self, call):
        self.begun.set()
        assert self.may_go_on.wait(30)
        self.said.append("written")
        return call()


def test_a_cancelled_append_is_over_before_its_file_is_closed(tmp_path):
    """Else it writes to a descriptor that may be another file's by then."""

    async def scenario():
        opened, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        executor.said.clear()
        append = asyncio.ensure_future(opened.append(HISTORY[:2]))
        await asyncio.get_running_loop().run_in_executor(executor, executor.begun.wait, 30)
        append.cancel()
        closing = asyncio.ensure_future(opened.close())
        for _ in range(5):
            await asyncio.sleep(0)
        executor.may_go_on.set()
        await closing
        assert append.cancelled()

    with GatedWrites(2) as executor:  # the first is the header
        asyncio.run(asyncio.wait_for(scenario(), 30))
    assert executor.said == ["written", "close"]
    assert reopened(tmp_path / "j") == tuple(HISTORY[:2])


async def _with_retry(step):
    try:
        await step()
    except DiskFull:
        await step()


def test_whatever_store_call_fails_nothing_recorded_is_lost(tmp_path):
    async def scenario(executor):
        journal, _ = await Journal.open(path, HEADER, executor)
        opening = executor.calls
        for each in HISTORY[:4]:
            await _with_retry(lambda each=each: journal.append([each]))
        await _with_retry(lambda: journal.rewrite(HISTORY[:4]))
        await _with_retry(lambda: journal.append(HISTORY[4:8]))
        await journal.close()
        return opening, executor.calls

    path = tmp_path / "dry-run"
    opening, calls = run(scenario)
    assert opening + 10 < calls
    for nth in range(1, calls + 1):
        path = tmp_path / str(nth)
        if opening < nth < calls:
            run(scenario, nth)
        else:  # open and close report and are not retried here
            with pytest.raises(DiskFull, match=str(path)):
                run(scenario, nth)
        assert set(reopened(path)) == (set(HISTORY[:8]) if nth > opening else set()), f"call {nth} failed"
    assert not [each for each in tmp_path.iterdir() if "new" in each.name]


class ShortWrites(FaultyExecutor):
    """Every write stores at most 10 bytes, and says so."""

    def submit(self, call, /, *args, **kwargs):
        if getattr(getattr(call, "func", None), "__name__", "") == "write":
            return super().submit(call.func, call.args[0][:10])
        return super().submit(call, *args, **kwargs)


def test_short_writes_are_carried_on(tmp_path):
    async def scenario():
        journal, _ = await Journal.open(tmp_path / "j", HEADER, executor)
        await journal.append(HISTORY)
        await journal.close()

    with ShortWrites() as executor:
        asyncio.run(scenario())
    assert reopened(tmp_path / "j") == tuple(HISTORY)


def test_a_journal_is_never_opened_through_a_link(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "j").symlink_to("precious")
    with pytest.raises(StoreBroken, match="symbolic link"):
        reopened(tmp_path / "j")
    assert (tmp_path / "precious").read_bytes() == b"precious"
