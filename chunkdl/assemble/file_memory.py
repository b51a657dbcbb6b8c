"""What a destination of single files needs to remember of files that it once hashed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
