"""Hashing content and turning a match into the ``Verified`` that placement demands.

Knows how publishers' digests are computed, and how much a match proves. Deliberately does not know what happens
on a mismatch: that is repair's decision in ``transfer``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from chunkdl.disk import store_errors
from chunkdl.model import MIB, Digest, DigestAlgorithm, Verified
from chunkdl.still_wanted import check_wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# One read of a local file. hashlib releases the GIL above 2 KiB; 1 MiB stays in the L2 cache and makes
# the cost of a Python loop turn (about 1 us) vanish beside 0.6 ms of sha256.
_READ_BYTES = MIB


class ContentHasher:
    """Digest of content whose size is known beforehand, fed front to back.

    Args:
        algorithm: git's blob sha1, which hashes the size first, or ``sha256`` over the content (LFS files). The
            latter also where only its prefix is known, or nothing: what it is can then be learnt.
        size: bytes of the whole content.
    """

    def __init__(self, algorithm: DigestAlgorithm, size: int) -> None:
        self.algorithm = algorithm
        self.size = size
        self.fed_bytes = 0
        if algorithm is DigestAlgorithm.GIT_SHA1:  # sha1 of "blob <size>\0" and the content
            self._state = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        else:
            self._state = hashlib.sha256()

    def update(self, view: bytes | bytearray | memoryview) -> None:
        """Feed the bytes that follow those fed before."""
        self._state.update(view)
        self.fed_bytes += view.nbytes if isinstance(view, memoryview) else len(view)

    def hexdigest(self) -> str:
        """Lower-case hex of what was fed so far."""
        return self._state.hexdigest()

    def prove(self, digest: Digest) -> Verified | None:
        """The proof that exactly ``size`` bytes were fed and that they are ``digest``; None if not."""
        if self.fed_bytes != self.size or self.algorithm is not digest.algorithm:
            return None
        found = self.hexdigest()
        if self.algorithm is DigestAlgorithm.GIT_SHA1:
            return Verified(digest, self.size) if found == digest.hex else None
        whole = Digest(DigestAlgorithm.SHA256, found)
        return Verified(whole, self.size, digest.strength) if digest.fits(found) else None


def hash_bytes(data: bytes | bytearray | memoryview, digest: Digest) -> Verified | None:
    """The proof that ``data`` is ``digest``, or None."""
    hasher = ContentHasher(digest.algorithm, len(data))
    hasher.update(data)
    return hasher.prove(digest)


def hash_file(path: Path, digest: Digest, size: int, on_bytes: Callable[[int], None] | None = None) -> Verified | None:
    """The proof that the file at ``path`` is ``digest`` and has ``size`` bytes, or None.

    A wrong size costs no read. ``while_wanted`` can stop it.
    ``on_bytes`` hears of each step's bytes (at most 1 MiB) and may raise to stop.

    Raises:
        StoreError: the file cannot be read, or is not there.
    """
    with store_errors(path), path.open("rb", buffering=0) as file:
        if file.seek(0, 2) != size:
            return None
        file.seek(0)
        hasher, buffer = ContentHasher(digest.algorithm, size), memoryview(bytearray(_READ_BYTES))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
            check_wanted()
            if on_bytes is not None:
                on_bytes(count)
    return hasher.prove(digest)
