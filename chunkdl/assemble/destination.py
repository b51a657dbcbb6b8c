"""Where the contents of one reference are put: all that the pipeline knows of caches and folders.

A destination keeps a content's part, journal and owner while it is in transfer, holds it proven but
unseen until every other content of the plan is proven too, and then shows all of them at once. It
decides names, what counts as being here already, and what is recorded beside the files. Deliberately
knows neither mirrors nor the order of transfer. All methods block; none needs an event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.core.planner import Inventory, PlannedContent
    from chunkdl.model import Artifact, RemoteFile, Verified


@dataclass(frozen=True, slots=True)
class ContentPaths:
    """The files of one content on its way.

    Args:
        blob: proven, complete, not yet shown.
        part: in transfer, bytes at their final offsets.
        journal: what the part is known to hold.
        owner: which process may write the part.
        locks: files that huggingface_hub locks while it fetches the same.
    """

    blob: Path
    part: Path
    journal: Path
    owner: Path
    locks: tuple[Path, ...] = ()


class Destination(Protocol):
    """The hub's cache, a folder of the user's, or whatever else loaders read."""

    @property
    def root(self) -> Path:
        """The folder whose file system must have room; it need not exist yet."""

    def inventory(self, commit: str, chosen: Sequence[RemoteFile]) -> Inventory:
        """What of ``chosen`` is here; reads names, sizes and journals, no content, and changes nothing.

        Raises:
            PlacementRefused: a path that must not be written here, or something in its way.
        """

    def prepare(self) -> None:
        """Make the folders that a transfer needs; raises ``StoreError``."""

    def paths_of(self, content: PlannedContent) -> ContentPaths:
        """The names of a content while it is in transfer, the same for every process."""

    def holds(self, content: PlannedContent) -> bool:
        """True if the content is here by now, whoever brought it."""

    def reuse(self, source: Path, content: PlannedContent) -> Verified | None:
        """Take over a file that should hold the content; None if its bytes are not right.

        Raises:
            StoreError: our side failed.
        """

    def place(self, artifact: Artifact, chosen: Sequence[RemoteFile]) -> Path:
        """Show every chosen file, all of whose contents are here; returns the folder that loaders are given.

        Raises:
            PlacementRefused: something is in the way.
            StoreError: a content went away, or the file system refused.
        """

    def notices(self, artifact: Artifact) -> tuple[str, ...]:
        """What a user should know after placement, one line each."""

    def cached(self, revision: str | None) -> CachedSnapshot | None:
        """What can be served of a revision without any network; None if nothing."""
