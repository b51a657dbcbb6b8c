"""What a destination of single files needs to remember of files that it once hashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from os import stat_result
    from pathlib import Path

    from chunkdl.model import Digest


class HashedFile(Protocol):
    """A file that has not been written to since it was hashed, and a name of the address that it came from."""

    @property
    def digest(self) -> Digest:
        """sha256 of the whole."""

    @property
    def address(self) -> str:
        """Empty if it is unknown."""


class FileMemory(Protocol):
    """Which files were hashed, and what they were. Losing it costs hashing, nothing else."""

    def hashed(self, path: Path) -> HashedFile | None:
        """What stands at ``path``, if it is known and was not changed since."""

    def note(self, path: Path, status: stat_result, digest: Digest, address: str) -> None:
        """Remember it; the file may still be on its way to ``path``."""


class Doubting:
    """A memory that is not believed about files which proved wrong since they were hashed, until they are new.

    Methods as ``FileMemory`` describes them.
    """

    def __init__(self, memory: FileMemory, wrong: Collection[Digest]) -> None:
        self._memory = memory
        self._wrong = frozenset(wrong)
        self._new: set[Path] = set()

    def hashed(self, path: Path) -> HashedFile | None:
        """As it says, but for what is wrong."""
        found = self._memory.hashed(path)
        return None if found is not None and found.digest in self._wrong and path not in self._new else found

    def note(self, path: Path, status: stat_result, digest: Digest, address: str) -> None:
        """As ever."""
        self._memory.note(path, status, digest, address)
        self._new.add(path)
