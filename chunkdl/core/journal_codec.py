"""The journal's bytes: what a part file is said to hold, in a form that any crash leaves readable.

Decides the format, and which of several records about the same bytes counts. Deliberately does not
know files: it turns values into bytes and bytes into values.

    journal = magic frame(header) frame(record)*
    frame   = length u16, body, crc32 u32 of length and body      all integers little-endian
    header  = size u64, segment_bytes u64, digest as ASCII
    record  = start u64, length u64, xxh3-128 of the bytes (16), host as UTF-8

Invariants: a journal cut at any byte decodes to a prefix of its records; damage at any byte loses
that record and what follows, never yields a wrong one (but for a chance of 2^-32, and what a record
claims is believed only after the bytes hash to it). Zeros, as file systems leave them after a power
cut, are no frame because no body is empty.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.model import ByteRange, Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The number is the version: another one is another format, and such a journal starts anew.
_MAGIC = b"chunkdl journal 1\n"
_LENGTH = struct.Struct("<H")
_CRC = struct.Struct("<I")
_HEADER = struct.Struct("<QQ")
_RECORD = struct.Struct("<QQ16s")

# xxh3-128 as our part files use it: 16 bytes, 10 GB/s and more a core, against torn writes and for blame.
CHECKSUM_BYTES = 16
# A DNS name has at most 253 bytes, a port 5 digits; generous, but far below what a frame can hold.
MAX_HOST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Header:
    """Whose bytes the records are about: content, its size in bytes, and the grid of segments."""

    digest: Digest
    size: int
    segment_bytes: int

    def admits(self, record: Record) -> bool:
        """True if the record lies in the file and inside one segment."""
        start, stop = record.range.start, record.range.stop
        return stop <= self.size and start // self.segment_bytes == (stop - 1) // self.segment_bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A claim: these bytes were written, hashed to ``xxh3``, and came from the data host ``host``."""

    range: ByteRange
    xxh3: bytes
    host: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a journal says. ``valid_length`` bytes of it are sound; None and 0 if not even the header is."""

    header: Header | None
    records: tuple[Record, ...]
    valid_length: int


def encode_header(header: Header) -> bytes:
    """The first bytes of a journal."""
    return _MAGIC + _frame(_HEADER.pack(header.size, header.segment_bytes) + str(header.digest).encode("ascii"))


def encode_record(record: Record) -> bytes:
    """One record, to be appended whole; ``ValueError`` if its checksum or host cannot be one."""
    host = record.host.encode()
    if len(record.xxh3) != CHECKSUM_BYTES or len(host) > MAX_HOST_BYTES:
        raise ValueError(f"not a journal record: {record!r}")
    return _frame(_RECORD.pack(record.range.start, len(record.range), record.xxh3) + host)


def _frame(body: bytes) -> bytes:
    framed = _LENGTH.pack(len(body)) + body
    return framed + _CRC.pack(zlib.crc32(framed))


def decode(data: bytes) -> Decoded:
    """Read as many sound records as there are from the front; never raises, whatever ``data`` is."""
    frames = _frames(data)
    header = next((_read_header(body) for body, _ in frames), None)
    if header is None:
        return Decoded(None, (), 0)
    valid_length = len(encode_header(header))
    records = []
    for body, stop in frames:
        record = _read_record(body)
        if record is None or not header.admits(record):
            break
        records.append(record)
        valid_length = stop
    return Decoded(header, tuple(records), valid_length)


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Sound frames in order, each with the offset of its end; stops at the first that is not."""
    if not data.startswith(_MAGIC):
        return
    at = len(_MAGIC)
    while at + _LENGTH.size <= len(data):
        body_stop = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        stop = body_stop + _CRC.size
        if stop > len(data) or zlib.crc32(data[at:body_stop]) != _CRC.unpack_from(data, body_stop)[0]:
            return
        yield data[at + _LENGTH.size : body_stop], stop
        at = stop


def _read_header(body: bytes) -> Header | None:
    if len(body) <= _HEADER.size:
        return None
    size, segment_bytes = _HEADER.unpack_from(body)
    try:
        digest = Digest.parse(body[_HEADER.size :].decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one
        return None
    return Header(digest, size, segment_bytes) if segment_bytes > 0 else None


def _read_record(body: bytes) -> Record | None:
    if len(body) < _RECORD.size:
        return None
    start, length, xxh3 = _RECORD.unpack_from(body)
    try:
        return Record(ByteRange(start, start + length), xxh3, body[_RECORD.size :].decode())
    except ValueError:  # an empty range, or a host that is no text
        return None


def claims(records: Iterable[Record]) -> tuple[Record, ...]:
    """What the records amount to: disjoint, by offset; of two that overlap the newer one counts.

    A connection that goes on re-records its range from the same start, longer each time; a range
    that came again, from elsewhere, replaces whatever it overlaps.
    """
    kept: list[Record] = []
    for record in records:
        first = bisect_right(kept, record.range.start, key=lambda old: old.range.stop)
        beyond = bisect_left(kept, record.range.stop, key=lambda old: old.range.start)
        kept[first:beyond] = [record]
    return tuple(kept)
