"""What is to be fetched to mend what proved wrong, and how little of it.

Decides which names of which commit bring a damaged content back, and prepares a part file of the bytes that may
still be right: those of the damaged file, with the content's receipt as journal. Resuming from that proves each
range and fetches only those that do not hold. Deliberately fetches nothing itself.
"""

from __future__ import annotations

import glob
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from chunkdl.caches.partials import DAMAGED_SUFFIX
from chunkdl.caches.proving import State
from chunkdl.core.journal_codec import claims, encode_header, encode_record
from chunkdl.disk import clone_or_copy, create_new, new_name, replace, store_errors, write_atomically
from chunkdl.transfer.ownership import Owned, Ownership

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from chunkdl.caches.proving import Judged
    from chunkdl.model import Digest
    from chunkdl.transfer.receipts import Receipts


@dataclass(frozen=True, slots=True)
class Mending:
    """One fetch: some paths of one commit of one repository, and which digests there are not what they say."""

    reference: str
    paths: tuple[str, ...]
    wrong: frozenset[Digest]
    size: int
    damage: tuple[Judged, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The paths as patterns that match nothing else."""
        return tuple(glob.escape(each) for each in self.paths)


def mendings(damage: Iterable[Judged]) -> tuple[Mending, ...]:
    """The fetches that mend everything that a repository shows; what no commit shows cannot be asked for."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for each in damage:
        claim = each.claim
        if claim.repo is not None and claim.commit is not None and claim.paths:
            groups.setdefault((claim.place, claim.commit), []).append(each)
    return tuple(_mending(place, commit, members) for (place, commit), members in groups.items())


def _mending(place: str, commit: str, members: list[Judged]) -> Mending:
    paths = tuple(path for each in members for path in each.claim.paths)
    wrong = {
        each.claim.digest for each in members if each.claim.digest is not None and each.state is not State.MISLINKED
    }
    size = sum(each.claim.size or each.size for each in members)
    return Mending(f"{place}@{commit}", paths, frozenset(wrong), size, tuple(members))


def unshown(damage: Iterable[Judged]) -> tuple[Judged, ...]:
    """Damaged blobs that no snapshot shows."""
    return tuple(each for each in damage if each.claim.repo is not None and not each.claim.paths)


def uncommitted(damage: Iterable[Judged]) -> tuple[Judged, ...]:
    """Damaged contents of folders whose names are no commit: nobody can be asked what belongs there."""
    return tuple(
        each for each in damage if each.claim.repo is not None and each.claim.paths and each.claim.commit is None
    )


def set_aside(judged: Judged) -> Path:
    """Take a damaged blob that nothing shows out of the way: under its name a later fetch would believe it.

    Raises:
        StoreError: it cannot be renamed.
    """
    file = judged.claim.file
    aside = file.with_name(f"{file.name}.{secrets.token_hex(4)}{DAMAGED_SUFFIX}")
    with store_errors(file):
        replace(file, aside)
        os.utime(aside)  # prune counts its days from here
    return aside


class HoldsParts(Protocol):
    """A folder that knows where a content is while it is in transfer: a repository's, or a person's."""

    def part(self, digest: Digest) -> Path:
        """Its bytes."""

    def journal(self, digest: Digest) -> Path:
        """What they are known to be."""

    def owner(self, digest: Digest) -> Path:
        """Who may write."""


def prepare(folder: HoldsParts, judged: Judged, receipts: Receipts) -> bool:
    """Make a part file of what may still be right of a damaged content; True if there is one now. Blocking.

    Without a receipt nobody can tell which bytes those are, and all come again. A part file that is there already
    holds right bytes and stays.

    Raises:
        StoreError: there is no room, or no right.
    """
    digest, file = judged.claim.digest, judged.claim.file
    receipt = receipts.find(digest) if digest is not None else None
    if digest is None or receipt is None or receipt.header is None or judged.state not in _HAVE_BYTES:
        return False
    part, journal = folder.part(digest), folder.journal(digest)
    owned = Ownership.acquire(folder.owner(digest), time.monotonic)
    if not isinstance(owned, Owned):
        return False  # somebody is at it, and the fetch will wait for them
    try:
        if not part.exists():
            with store_errors(part):
                _copy(file, part, receipt.header.size)
            records = claims(receipt.records)
            with store_errors(journal):
                write_atomically(journal, encode_header(receipt.header) + b"".join(map(encode_record, records)))
    finally:
        owned.release()
    return True


_HAVE_BYTES = frozenset({State.DAMAGED, State.TRUNCATED})


def _copy(damaged: Path, part: Path, size: int) -> None:
    """The bytes of the one as the other, of the right length: a reflink where that is offered."""
    aside = new_name(part)
    target = create_new(aside)
    try:
        with damaged.open("rb") as source:
            clone_or_copy(source.fileno(), target)
        os.ftruncate(target, size)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(target)
    replace(aside, part)
