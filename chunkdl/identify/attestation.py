"""The word of a server that knows contents but no commit of ours: it lists sha256 and size, and no more.

Decides when that supports a story about a commit: if it lists every content of it that a sha256 names. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.identify.by_content import comparable
from chunkdl.settings.registry import operator_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkdl.identify.by_content import Comparison
    from chunkdl.model import Mirror, RemoteFile


@dataclass(frozen=True, slots=True)
class Attestation:
    """What one server lists: (sha256, size) of its files."""

    mirror: Mirror
    contents: frozenset[tuple[str, int]]

    @classmethod
    def of(cls, comparison: Comparison) -> Attestation:
        """What the server that was compared with lists."""
        listed = ((each.sha256, each.size) for each in comparison.catalogue.files if each.sha256)
        return cls(comparison.catalogue.mirror, frozenset(listed))

    @property
    def operator(self) -> str:
        """Whose voice it is."""
        return operator_of(self.mirror.url)

    def supports(self, files: Iterable[RemoteFile]) -> bool:
        """True if it lists all of ``files`` that can be compared, and there are any."""
        wanted = {(each.digest.hex, each.size) for each in comparable(files)}
        return bool(wanted) and wanted <= self.contents
