"""Peers without sockets: a client whose bodies deliver one file's bytes as a script says, and parts that watch."""

import asyncio
import hashlib
import random
import threading
import time

from chunkdl.assemble.digests import ContentHasher
from chunkdl.core import events as ev
from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.scheduler import Scheduler
from chunkdl.model import ByteRange, Digest, DigestAlgorithm, Mirror, Source
from chunkdl.transfer.awake import AwakeClock
from chunkdl.transfer.buffers import BufferPool
from chunkdl.transfer.content import Content, Identity
from chunkdl.transfer.engine import Tools, running
from chunkdl.transfer.lease import LiveLease
from chunkdl.transfer.memory_part import MemoryPart
from chunkdl.transfer.threads import Threads

LIMIT_S = 20.0  # of every wait in a test that uses these


class Body:
    """Delivers ``data`` from ``start``; goes silent once ``silent_at`` (an offset of the file) is reached."""

    latency_s = 0.001
    ranged = True
    excess = False

    def __init__(self, host, data, start, stop, silent_at=None, error=None):
        self.host, self.start, self.received = host, start, 0
        self.stop, self._data, self._silent_at, self._error = stop, data, silent_at, error
        self.aborted = threading.Event()

    async def read_into(self, view):
        at = self.start + self.received
        stop = min(self.stop, at + len(view), self._silent_at if self._silent_at is not None else self.stop)
        if stop <= at:
            if self._error is not None:
                raise self._error
            await asyncio.Event().wait()
        view[: stop - at] = self._data[at:stop]
        self.received += stop - at
        return stop - at

    def flush(self):
        pass

    async def close(self, *, reusable):
        pass

    def abort(self):
        self.aborted.set()


class Peers:
    """A client for several mirrors; ``make`` gives the body of one request, or raises."""

    def __init__(self, make):
        self._make = make
        self.bodies = []
        self.opened = asyncio.Event()

    async def open_body(self, source, asked, *, size, first_byte_s):
        asked = asked or ByteRange(0, size)
        body = self._make(source.mirror.name, asked, len(self.bodies))
        self.bodies.append(body)
        self.opened.set()
        return body


class StrictPart(MemoryPart):
    """A part that knows when it is closed, and fails or waits where a test wants it."""

    def __init__(self, size, fail=None, gate=None):
        super().__init__(size)
        self._fail, self._gate = fail, gate
        self.inside = 0
        self.closed = False
        self.entered = threading.Event()

    def write_at(self, view, offset):
        self._check()
        self.inside += 1
        try:
            self.entered.set()
            if self._gate is not None:
                self._gate(offset)
            if self._fail is not None:
                self._fail(offset)
            super().write_at(view, offset)
        finally:
            self.inside -= 1

    def read_at(self, view, offset):
        self._check()
        return super().read_at(view, offset)

    def sync_data(self):
        self._check()

    def close(self):
        assert not self.inside, "closed under a writer"
        self.closed = True

    def _check(self):
        if self.closed:
            raise ValueError("part file is closed")


def digest_of(data):
    return Digest(DigestAlgorithm.SHA256, hashlib.sha256(data).hexdigest())


def content_of(data, part=None, *, segment_bytes=1 << 20, path="model.bin", **more):
    digest = digest_of(data)
    more.setdefault("commit", lambda proof: None)
    return Content(
        Identity(digest, len(data), segment_bytes, path),
        part=part or StrictPart(len(data)),
        new_hasher=lambda: ContentHasher(digest.algorithm, len(data)),
        **more,
    )


def source_at(name):
    return Source(Mirror(f"http://{name}", name), f"http://{name}/f")


def lease_on(content, start, stop, *, number=7, mirror="m.example", **more):
    order = ev.OpenLease(number, 0, mirror, ByteRange(start, stop), first_byte_s=15.0, **more)
    return LiveLease(order, content, source_at(mirror))


def engine_run(work, peers, *, observer=lambda event: None, config=None, threads=None, **tools):
    """Run ``work(engine)`` inside an engine; everything must be over within the limit."""

    async def bounded():
        pools = threads or Threads()
        try:
            clock = AwakeClock(tools.pop("clock", time.monotonic))
            made = Tools(peers, pools, BufferPool(), clock, observer, **tools)
            async with running(Scheduler(config or SchedulerConfig(), random.Random(0)), made) as engine:
                return await work(engine)
        finally:
            pools.close()

    return asyncio.run(asyncio.wait_for(bounded(), LIMIT_S))


async def turns_until(condition):
    """Let the loop turn until ``condition`` holds; bounded."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  # any condition, of threads too
            await asyncio.sleep(0)
