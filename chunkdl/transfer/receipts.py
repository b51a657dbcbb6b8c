"""What is remembered of a proven content: the xxh3 of each of its ranges, in the state folder.

A content that rots on its disk later differs in a few bytes; with its receipt the ranges that still hold can be
told from the others, and only those come again. It is a journal of the whole, in a journal's own form, so that
a transfer resumes from it as from any other. Losing one costs bytes and nothing else: nothing here fails, and
what a receipt says is proven by the content's digest before it is placed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import xxhash

from chunkdl.core.journal_codec import Header, Record, claims, decode, encode_header, encode_record
from chunkdl.core.planner import segment_bytes
from chunkdl.disk import replacing, write_all
from chunkdl.model import ByteRange
from chunkdl.own_folder import make_own

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.core.journal_codec import Decoded
    from chunkdl.model import Digest

_FOLDER, _SUFFIX = "receipts", ".journal"
# 700 GB in 8 MiB segments make 5 MB; what is larger is none of ours.
_MOST_BYTES = 64 << 20
# Who gave a range that was read from here and not received: in a journal every range has a giver.
_THIS_DISK = "this disk"


class Receipts:
    """The receipts in one state folder; every method is safe to call on a folder that cannot be used."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / _FOLDER

    def path_of(self, digest: Digest) -> Path:
        """Where the receipt of a content lies."""
        return self._folder / f"{digest.hex}{_SUFFIX}"

    def keep_journal(self, journal: Path, listed: Digest, proven: Digest) -> None:
        """Make the journal of a content that was just proven its receipt; blocking, one small file.

        ``listed`` is the journal's digest, ``proven`` the whole one that the bytes turned out to have.
        """
        decoded = _read(journal) if proven.names_content else None
        if decoded is not None and decoded.header is not None and decoded.header.digest == listed:
            self.keep(replace(decoded.header, digest=proven), claims(decoded.records))

    def keep(self, header: Header, records: Iterable[Record]) -> None:
        """Remember a content by its ranges, each inside one segment."""
        data = encode_header(header) + b"".join(map(encode_record, records))
        with suppress(OSError):
            make_own(self._folder)
            with replacing(self.path_of(header.digest), sync=False) as fd:
                write_all(fd, data, 0)

    def forget(self, names: Iterable[str]) -> None:
        """Remove the receipts of contents that are gone, by their hex digits."""
        for name in names:
            with suppress(OSError):
                (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)

    def find(self, digest: Digest) -> Decoded | None:
        """The receipt of a content, None if there is none that can be read."""
        decoded = _read(self.path_of(digest))
        return decoded if decoded is not None and decoded.header and decoded.header.digest == digest else None


def _read(path: Path) -> Decoded | None:
    try:
        return decode(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
    except OSError:
        return None


class Taking:
    """Takes the receipt of a content while it is read front to back for another reason."""

    def __init__(self, digest: Digest, size: int) -> None:
        """``size`` in bytes, of the whole."""
        self.header = Header(digest, size, segment_bytes(size))
        self.records: list[Record] = []
        self._start = 0
        self._at = 0
        self._state = xxhash.xxh3_128()

    def update(self, view: memoryview) -> None:
        """Take the next bytes."""
        while view:
            room = self._start + self.header.segment_bytes - self._at
            self._state.update(view[:room])
            self._at += len(view[:room])
            view = view[room:]
            if self._at - self._start == self.header.segment_bytes or self._at == self.header.size:
                self._close()

    def _close(self) -> None:
        self.records.append(Record(ByteRange(self._start, self._at), self._state.digest(), _THIS_DISK))
        self._start, self._state = self._at, xxhash.xxh3_128()
