"""Reading contents again and comparing them with what they are said to be, several at once. No network.

Decides how one content is judged. Reading leaves no trace where the system allows: "last used" must not become
"last verified". A content that proves right and is large leaves a receipt, so that a later damage can be told
to the segment.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from chunkdl.assemble.digests import ContentHasher
from chunkdl.model import MIB, Digest, DigestAlgorithm
from chunkdl.transfer.memory_part import SMALL_BYTES
from chunkdl.transfer.receipts import Taking

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from threading import Event

    from chunkdl.caches.seen import RepoSeen
    from chunkdl.transfer.receipts import Receipts

# One read: large enough that Python's loop costs nothing beside 0.6 ms of sha256, small enough to stop at once.
_READ_BYTES = MIB


class State(StrEnum):
    """What a look at one content found."""

    OK = "ok"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    MISSING = "missing"
    MISLINKED = "mislinked"
    EDITED = "edited"
    UNPROVEN = "unproven"
    UNREADABLE = "unreadable"


# What counts as damage: exit code 5, and --repair mends it. An edited file is its owner's will.
DAMAGE = frozenset({State.DAMAGED, State.TRUNCATED, State.MISSING, State.MISLINKED})


@dataclass(frozen=True, slots=True)
class Claim:
    """One content that is said to be something.

    Args:
        file: where its bytes are (or should be).
        digest: what it is said to be; None if nobody says.
        size: bytes it is said to have, None if nobody says.
        place: what it belongs to, as typed: ``org/name``, ``torch:…``, or a folder.
        paths: its names there, for people and for a repair; empty if nothing shows it.
        commit: whose paths these are.
        repo: the repository, if it lies in one.
        state: what the look at names found already, so that it need not be read; empty if it must be.
        note: why.
        may_be_edited: True where a file's owner may write to it: then only its record can tell.
    """

    file: Path
    digest: Digest | None
    size: int | None
    place: str
    paths: tuple[str, ...] = ()
    commit: str | None = None
    repo: RepoSeen | None = None
    state: State | None = None
    note: str = ""
    may_be_edited: bool = False

    @property
    def name(self) -> str:
        """As messages call it."""
        if not self.paths:
            return self.place if self.place.endswith(self.file.name) else f"{self.place}: {self.file.name}"
        at = f"@{self.commit[:12]}" if self.commit else ""
        return f"{self.place}{at}: {self.paths[0]}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim and what was found; ``found`` is the digest that its bytes have."""

    claim: Claim
    state: State
    size: int = 0
    found: str = ""
    note: str = ""


class Proving:
    """Judges claims in any number of threads; ``done_bytes`` and ``judged`` grow meanwhile."""

    def __init__(self, claims: Iterable[Claim], receipts: Receipts | None, stop: Event) -> None:
        """``stop`` ends every thread at its next megabyte."""
        groups: dict[object, list[Claim]] = {}
        for each in claims:
            groups.setdefault(_same(each), []).append(each)
        # The largest first: a big one begun last would run alone.
        self._left = deque(sorted(groups.values(), key=lambda each: -_size_of(each[0])))
        self._receipts = receipts
        self._stop = stop
        self.judged: list[Judged] = []
        self.done_bytes = 0
        self.total_bytes = sum(_size_of(each[0]) for each in self._left)
        self.count = sum(map(len, self._left))

    def work(self) -> None:
        """Judge until nothing is left; any number of threads may be here at once."""
        while not self._stop.is_set():
            try:
                same = self._left.popleft()
            except IndexError:
                return
            judged = self._judge(same[0])
            if judged is not None:
                self.judged += [replace(judged, claim=each) for each in same]

    def _judge(self, claim: Claim) -> Judged | None:
        """None if it was stopped."""
        if claim.state is not None:
            return Judged(claim, claim.state, _size_of(claim), note=claim.note)
        if claim.digest is None:
            return Judged(claim, State.UNPROVEN, _size_of(claim), note=claim.note or "nobody says what it should be")
        try:
            return self._read(claim, claim.digest)
        except FileNotFoundError:
            return Judged(claim, State.MISSING, note="it went away")
        except OSError as error:
            return Judged(claim, State.UNREADABLE, note=error.strerror or str(error))

    def _read(self, claim: Claim, digest: Digest) -> Judged | None:
        with open(claim.file, "rb", buffering=0, opener=_traceless) as file:
            size = os.fstat(file.fileno()).st_size
            if claim.size is not None and size != claim.size:
                self.done_bytes += size
                note = f"{size} bytes instead of {claim.size}"
                return Judged(claim, _wrong(claim, State.TRUNCATED), size, note=note)
            hasher, taking = ContentHasher(_algorithm(digest), size), Taking(digest, size)
            buffer = memoryview(bytearray(min(_READ_BYTES, max(size, 1))))
            while count := file.readinto(buffer):
                if self._stop.is_set():
                    return None
                hasher.update(buffer[:count])
                if size > SMALL_BYTES:
                    taking.update(buffer[:count])
                self.done_bytes += count
        found = hasher.hexdigest()
        if not _matches(digest, found):
            return Judged(claim, _wrong(claim, State.DAMAGED), size, found, f"its bytes are {found}")
        self._keep(taking, size)
        return Judged(claim, State.OK, size, found)

    def _keep(self, taking: Taking, size: int) -> None:
        if self._receipts is None or size <= SMALL_BYTES or not taking.header.digest.names_content:
            return
        if not self._receipts.path_of(taking.header.digest).exists():
            self._receipts.keep(taking.header, taking.records)


def _wrong(claim: Claim, state: State) -> State:
    return State.EDITED if claim.may_be_edited else state


def _algorithm(digest: Digest) -> DigestAlgorithm:
    return DigestAlgorithm.GIT_SHA1 if digest.algorithm is DigestAlgorithm.GIT_SHA1 else DigestAlgorithm.SHA256


def _matches(digest: Digest, found: str) -> bool:
    return found == digest.hex if digest.algorithm is DigestAlgorithm.GIT_SHA1 else digest.fits(found)


def _same(claim: Claim) -> object:
    """Equal for claims that one reading answers: hard links of one content that is said to be the same."""
    try:
        status = claim.file.stat()
    except OSError:
        return id(claim)
    if claim.state is not None or claim.digest is None:
        return id(claim)
    return status.st_dev, status.st_ino, claim.digest, claim.size, claim.may_be_edited


def _size_of(claim: Claim) -> int:
    try:
        return claim.file.stat().st_size if claim.state is None else 0
    except OSError:
        return 0


def _traceless(path: str, flags: int) -> int:
    """Open without leaving a time of access, which only a file's owner may ask for."""
    quiet = getattr(os, "O_NOATIME", 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags | quiet)
    except PermissionError:
        return os.open(path, flags)
