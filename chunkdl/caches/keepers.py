"""Who else counts on what is in the caches: whatever they name is not pruned, even if no ref does.

Each keeper is one source of such wishes; ``keeps_of`` puts them together. One that cannot be read stops the
prune: what it names is not known, and deleting on a guess would lose it. A lock file that is gone from the disk
counts for nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chunkdl.caches.seen import TORCH
from chunkdl.disk import store_errors
from chunkdl.identify.known_locks import known_locks
from chunkdl.identify.lockfile import MAX_LOCK_BYTES, decode_lock
from chunkdl.model import Hub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from chunkdl.identify.lockfile import LockedArtifact


@dataclass(frozen=True, slots=True)
class Keep:
    """One wish: ``repo`` as ``cache ls`` prints it, its ``revision`` (commit or ref; None: any), and whose."""

    repo: str
    revision: str | None
    because: str


class Keeper(Protocol):
    """A source of wishes: known lock files, a batch queue."""

    def keeps(self) -> Iterable[Keep]:
        """What must stay; blocking.

        Raises:
            UsageError: what it reads is malformed. StoreError: it cannot be read.
        """


def keeps_of(keepers: Iterable[Keeper]) -> tuple[Keep, ...]:
    """All that several keepers wish."""
    return tuple(keep for each in keepers for keep in each.keeps())


@dataclass(frozen=True, slots=True)
class KnownLocks:
    """The lock files that ``chunkdl lock`` wrote down in the state folder."""

    state_dir: Path

    def keeps(self) -> Iterator[Keep]:
        """Every commit and every checkpoint that a lock names."""
        for path in known_locks(self.state_dir):
            with store_errors(path), path.open(encoding="utf-8", errors="replace") as file:
                lock = decode_lock(file.read(MAX_LOCK_BYTES), str(path))
            for each in lock.artifacts:
                yield from _keeps(each, f"the lock file {path}")


def _keeps(locked: LockedArtifact, because: str) -> Iterator[Keep]:
    reference = locked.reference
    if reference.hub is Hub.HUGGING_FACE:
        yield Keep(f"{reference.repo_type.url_prefix}{reference.repo_id}", locked.commit, because)
    elif reference.hub.names_files:
        yield from (Keep(f"{TORCH}:{each.path}", None, because) for each in locked.files)
