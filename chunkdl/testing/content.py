"""What a mirror serves: bytes that can be read at any offset, without being kept in memory.

Decides what every byte of a generated file is: a function of the seed and the offset alone, so that
a test can check any range of any download without a copy. Deliberately does not know about repositories
or HTTP.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from chunkdl.model import MIB

# One MiB of noise a seed is cheap to make (3 ms) and long enough that a shifted read never agrees by chance.
_BLOCK_BYTES = MIB
# A stamp a block makes every block unlike every other, also where two happen to be rotated alike.
_STAMP_BYTES = 16
# Little-endian float32 of this top byte have magnitudes of 0.008 to 0.03, as trained weights do; never NaN.
_SMALL_FLOAT_TOP = bytes(0x3C | (value & 0x80) for value in range(256))


class Content(Protocol):
    """Bytes of a known size that can be read by range."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    @property
    def sha256(self) -> str:
        """Hex digest of the whole."""

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return the bytes of ``[start, stop)``; the caller stays within the size."""


@dataclass(frozen=True)
class SeededContent:
    """Noise that is a function of ``(seed, offset)``, made at memory speed, however large.

    Args:
        seed: two contents of one seed agree wherever both have bytes.
        size: length in bytes.
        floats: make every aligned four bytes a small float32, so that a model file of it loads.
    """

    seed: int
    size: int
    floats: bool = False

    @property
    def sha256(self) -> str:
        """Hex digest of the whole; computed once a process for equal contents."""
        return _sha256_of(self)

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return the bytes of ``[start, stop)``, clipped to the size."""
        stop = min(stop, self.size)
        pieces = [
            _piece(self.seed, self.floats, block, start, stop)
            for block in range(start // _BLOCK_BYTES, -(-stop // _BLOCK_BYTES))
        ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def first_difference(self, data: bytes | bytearray | memoryview, offset: int = 0) -> int | None:
        """Return the file offset of the first byte of ``data``, read from ``offset`` on, that is wrong; else None.

        Bytes past the end of the content are wrong too.
        """
        view = memoryview(data)
        right = self.read(offset, offset + len(view))
        if view == right:
            return None
        low, high = 0, len(view)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if view[low:middle] == right[low:middle] else (low, middle)
        return offset + low


@dataclass(frozen=True)
class BytesContent:
    """Bytes given literally."""

    data: bytes

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """Hex digest of the whole."""
        return hashlib.sha256(self.data).hexdigest()

    def read(self, start: int, stop: int) -> memoryview:
        """Return the bytes of ``[start, stop)`` without a copy."""
        return memoryview(self.data)[start:stop]


@dataclass(frozen=True)
class PathContent:
    """A file on disk, which must not change while it is served."""

    path: Path

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:
        """Hex digest of the whole; computed once a process for a path."""
        return _sha256_of(self)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of ``[start, stop)``."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


@dataclass(frozen=True)
class JoinedContent:
    """A literal head, then a generated body: how a model file of any size has a valid header."""

    head: bytes
    body: SeededContent

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.head) + self.body.size

    @property
    def sha256(self) -> str:
        """Hex digest of the whole; computed once a process for equal contents."""
        return _sha256_of(self)

    def read(self, start: int, stop: int) -> bytes | memoryview:
        """Return the bytes of ``[start, stop)``."""
        edge = len(self.head)
        if start >= edge:
            return self.body.read(start - edge, stop - edge)
        return self.head[start:stop] + bytes(self.body.read(0, max(stop - edge, 0)))


def as_content(value: Content | bytes | str | Path) -> Content:
    """Wrap what a test finds convenient; text is UTF-8."""
    if isinstance(value, str):
        return BytesContent(value.encode())
    if isinstance(value, bytes):
        return BytesContent(value)
    return PathContent(value) if isinstance(value, Path) else value


def _piece(seed: int, floats: bool, block: int, start: int, stop: int) -> bytes | memoryview:  # noqa: FBT001
    """Return the part of ``[start, stop)`` that lies in one block."""
    base = block * _BLOCK_BYTES
    low, high = max(start - base, 0), min(stop - base, _BLOCK_BYTES)
    pool = _pool(seed, floats)
    mark = hashlib.blake2b(b"%d/%d" % (seed, block), digest_size=_STAMP_BYTES + 4).digest()
    turn = int.from_bytes(mark[_STAMP_BYTES:], "little") % _BLOCK_BYTES & ~3
    if low >= _STAMP_BYTES:
        return memoryview(pool)[turn + low : turn + high]
    stamp = _as_floats(mark[:_STAMP_BYTES]) if floats else mark[:_STAMP_BYTES]
    return stamp[low:high] + pool[turn + _STAMP_BYTES : turn + high]


@lru_cache(maxsize=16)
def _pool(seed: int, floats: bool) -> bytes:  # noqa: FBT001
    """Noise of two blocks that repeats after one, so that any rotation of a block is one slice."""
    noise = hashlib.shake_128(b"chunkdl %d" % seed).digest(_BLOCK_BYTES)
    return (_as_floats(noise) if floats else noise) * 2


def _as_floats(noise: bytes) -> bytes:
    tamed = bytearray(noise)
    tamed[3::4] = tamed[3::4].translate(_SMALL_FLOAT_TOP)
    return bytes(tamed)


@lru_cache(maxsize=256)
def _sha256_of(content: Content) -> str:
    digest = hashlib.sha256()
    for start in range(0, content.size, _BLOCK_BYTES):
        digest.update(content.read(start, min(start + _BLOCK_BYTES, content.size)))
    return digest.hexdigest()
