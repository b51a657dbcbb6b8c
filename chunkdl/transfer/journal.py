"""The journal file beside a part file: appended often, cheap to lose the end of, never wrong.

Decides when a journal starts anew (another content's, or garbage); when to compact is the caller's. It is not
synced at each append: a killed process does not lose the page cache, and after a power cut what is
left decodes to a prefix whose claims are proven before they count. Deliberately does not know who may
write: callers check ownership before they append.

Invariant: appends go to the end of a file that decodes wholly. Whatever interrupts one (a full disk,
a cancelled task) leaves ``_sound`` False, and the next call first reads and cuts the file back.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aiofiles.threadpool import wrap

from chunkdl import disk
from chunkdl.core.journal_codec import claims, decode, encode_header, encode_record
from chunkdl.transfer.threads import settled, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from aiofiles.threadpool.binary import AsyncFileIO

    from chunkdl.core.journal_codec import Decoded, Header, Record

A = TypeVar("A")
T = TypeVar("T")

# 700 GB in 8 MiB segments compact to 5 MB, and callers compact; what is larger than this is not ours, and
# not read into memory.
_MAX_BYTES = 256 << 20


class Journal:
    """An open journal; use ``Journal.open``. Calls may overlap, they take turns.

    All methods run their I/O in ``executor`` and raise ``StoreError`` if storage refuses.
    """

    def __init__(self, path: Path, header: Header, executor: Executor) -> None:
        """Remember; nothing is opened yet."""
        self.path = path
        self.header = header
        self._executor = executor
        self._file: AsyncFileIO | None = None
        self._sound = False
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, header: Header, executor: Executor) -> tuple[Journal, tuple[Record, ...]]:
        """Open or create the journal and return what it claims, newest of overlapping records only.

        Starts anew if it is about another content or grid, or no journal; cuts a torn tail off.
        """
        journal = cls(path, header, executor)
        try:
            async with journal._alone():
                records = await journal._recover()
        except BaseException:
            await journal.close()
            raise
        return journal, claims(records)

    async def append(self, records: Sequence[Record]) -> None:
        """Add records about bytes that are already written to the part file; a deleted journal comes back first.

        ``ValueError`` for a record outside of the file or across a border of segments, which a reader
        would take for damage.
        """
        data = self._encode(records)
        async with self._alone():
            await self._append(data)

    async def rewrite(self, records: Iterable[Record]) -> None:
        """Replace all that the journal says, atomically."""
        data = encode_header(self.header) + self._encode(records)
        async with self._alone():
            await self._rewrite(data)

    async def close(self) -> None:
        """Close the file; a closed journal reopens itself if it is appended to."""
        async with self._alone():
            await self._close()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._turn:
            with disk.store_errors(self.path):
                yield

    def _encode(self, records: Iterable[Record]) -> bytes:
        encoded = []
        for record in records:
            if not self.header.admits(record):
                raise ValueError(f"not inside one segment of {self.path.name}: {record!r}")
            encoded.append(encode_record(record))
        return b"".join(encoded)

    async def _append(self, data: bytes) -> None:
        if not self._sound:
            await self._recover()
        assert self._file is not None  # sound means open
        if await self._in_thread(self._vanished, self._file.fileno()):
            await whole(self._file.seek(0))
            await self._rewrite(await whole(self._file.readall()))
        self._sound = False
        left = memoryview(data)
        while left:
            left = left[await whole(self._file.write(left)) :]
        self._sound = True

    def _vanished(self, fd: int) -> bool:
        """As after ``hf cache rm`` beside us; NFS keeps a deleted open file under another name."""
        return os.fstat(fd).st_nlink == 0 or not os.path.lexists(self.path)

    async def _rewrite(self, data: bytes) -> None:
        self._sound = False  # the open descriptor is about to mean a file without a name
        await self._in_thread(self._replace, data)
        await self._recover()

    def _replace(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        disk.write_atomically(self.path, data)

    async def _in_thread(self, call: Callable[[A], T], argument: A) -> T:
        """If we are cancelled it goes on, and must not rename over what the next call opens: wait for its end."""
        return await settled(asyncio.get_running_loop().run_in_executor(self._executor, call, argument))

    async def _recover(self) -> tuple[Record, ...]:
        """Open what has the journal's name now and make it sound; returns its records, oldest first."""
        await self._close()
        await self._open()
        assert self._file is not None  # just opened
        decoded = await self._decode(self._file)
        if decoded.header != self.header:
            await self._start_anew(self._file)
            return ()
        await whole(self._file.truncate(decoded.valid_length))
        self._sound = True
        return decoded.records

    async def _open(self) -> None:
        """If we are cancelled meanwhile, the file is still ours to close.

        Unbuffered and in append mode: one call is one write at the end, also if it outlives our cancelling.
        """
        mode = partial(open, self.path, "a+b", buffering=0, opener=disk.open_nofollow)
        opening = asyncio.get_running_loop().run_in_executor(self._executor, mode)
        try:
            await settled(opening)
        finally:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                self._file = wrap(opening.result(), executor=self._executor)

    async def _decode(self, file: AsyncFileIO) -> Decoded:
        if await whole(file.seek(0, os.SEEK_END)) > _MAX_BYTES:
            return decode(b"")
        await whole(file.seek(0))
        data = await whole(file.readall())
        return await self._in_thread(decode, data)

    async def _start_anew(self, file: AsyncFileIO) -> None:
        await whole(file.truncate(0))
        self._sound = True
        await self._append(encode_header(self.header))

    async def _close(self) -> None:
        self._sound = False
        file, self._file = self._file, None
        if file is not None:
            await whole(file.close())
