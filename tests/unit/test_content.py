"""The books of one content: no record is lost on the way to the journal, and none comes after placement."""

import asyncio

import pytest

from chunkdl.core.journal_codec import Record
from chunkdl.errors import DiskFull, StoreBroken
from chunkdl.model import ByteRange
from tests.support.peers import LIMIT_S, content_of

SIZE = 64 << 10
DATA = bytes(SIZE)


class Pages:
    """A ledger in memory that can fail, or wait, once."""

    def __init__(self, trouble=None):
        self.held = []
        self.calls = []
        self._trouble = trouble

    async def append(self, records):
        await self._be_troubled()
        self.calls.append(("append", len(records)))
        self.held += records

    async def rewrite(self, records):
        await self._be_troubled()
        self.calls.append(("rewrite", len(records)))
        self.held = list(records)

    async def _be_troubled(self):
        trouble, self._trouble = self._trouble, None
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            trouble.set()
            await asyncio.Event().wait()


def record(start, stop, host="h"):
    return Record(ByteRange(start, stop), bytes(16), host)


def starts(ledger):
    return sorted(each.range.start for each in ledger.held)


def run(work):
    return asyncio.run(asyncio.wait_for(work(), LIMIT_S))


def test_records_that_could_not_be_written_are_due_again():
    ledger = Pages(DiskFull("full"))
    content = content_of(DATA, ledger=ledger)

    async def work():
        content.took([record(0, 10)])
        with pytest.raises(DiskFull):
            await content.flush()
        content.took([record(20, 30)])
        await content.flush()

    run(work)
    assert starts(ledger) == [0, 20]


def test_a_longer_run_replaces_the_shorter_one_that_could_not_be_written():
    ledger = Pages(DiskFull("full"))
    content = content_of(DATA, ledger=ledger)

    async def work():
        content.took([record(0, 10)])
        with pytest.raises(DiskFull):
            await content.flush()
        content.took([record(0, 15)])
        await content.flush()

    run(work)
    assert [each.range for each in ledger.held] == [ByteRange(0, 15)]


@pytest.mark.parametrize("where", ["guard", "append"])
def test_records_are_due_again_when_their_writer_is_cancelled(where):
    async def work():
        reached = asyncio.Event()
        ledger = Pages(reached if where == "append" else None)
        waits = [reached] if where == "guard" else []

        async def guard():
            if waits:
                waits.pop().set()
                await asyncio.Event().wait()

        content = content_of(DATA, ledger=ledger, guard=guard)
        content.took([record(0, 10)])
        writer = asyncio.create_task(content.flush())
        await reached.wait()
        writer.cancel()
        await asyncio.wait([writer])
        await content.flush()
        return ledger

    assert starts(run(work)) == [0]


def test_a_rejection_whose_rewriting_failed_is_written_later():
    ledger = Pages()
    content = content_of(DATA, ledger=ledger)

    async def work():
        content.took([record(0, 10), record(10, 20)])
        await content.flush()
        ledger._trouble = DiskFull("full")
        content.reject([ByteRange(0, 10)])
        with pytest.raises(DiskFull):
            await content.flush()
        await content.flush()

    run(work)
    assert starts(ledger) == [10]


def test_after_placement_nothing_is_recorded_and_nobody_is_asked():
    asked = []

    async def guard():
        asked.append(True)

    ledger = Pages()
    content = content_of(DATA, ledger=ledger, guard=guard)

    async def work():
        content.took([record(0, 10)])
        async with content.placing():
            assert starts(ledger) == [0], "a kill while the disk syncs loses nothing"
            content.took([record(20, 30)])
        before = len(asked)
        await content.flush()
        return len(asked) - before

    assert run(work) == 0
    assert starts(ledger) == [0]


def test_a_placement_that_failed_leaves_the_books_open():
    ledger = Pages()
    content = content_of(DATA, ledger=ledger)

    async def work():
        with pytest.raises(StoreBroken):
            async with content.placing():
                raise StoreBroken("no")
        content.took([record(20, 30)])
        await content.flush()

    run(work)
    assert starts(ledger) == [20]


def test_a_journal_does_not_grow_for_ever():
    ledger = Pages()
    content = content_of(DATA, ledger=ledger)

    async def work():
        for stop in range(1, 20_000):  # one run that grows a little with each flush, as on a slow line
            content.took([record(0, stop)])
            await content.flush()

    run(work)
    assert ledger.held[-1].range == ByteRange(0, 19_999)
    assert len(ledger.held) < 5_000
    rewritten = sum(count for kind, count in ledger.calls if kind == "rewrite")
    assert rewritten < 20, "and compacting costs little"


def test_claims_that_break_do_not_count_as_found():
    content = content_of(DATA, claims=[record(0, 10), record(10, 20)])
    assert content.claimed_bytes == 20
    content.reject([ByteRange(0, 10)])
    assert content.claimed_bytes == 10
    content.took([record(0, 10)])
    assert content.claimed_bytes == 10
