"""Which one process may write a part file, agreed through a file, without trusting flock.

Decides who owns, who waits and who takes over. flock may "succeed" for everybody on Lustre, GPFS and
some NFS; creating a name exclusively and renaming do not. Deliberately knows nothing of the bytes.

How it is agreed:

- *No owner file*: whoever creates it owns. It appears complete, as a hard link to a finished file.
- *The owner is dead* (same host, boot and pid namespace; no such process, or another start time), or
  has said that it left: it is replaced at once, generation + 1.
- *It is of a former boot of this host, or its file is torn* (a power cut, or it is being written): at
  once if the file was not written for 10 s, by the file system's own clock, else after so long.
- *Nobody can tell* (another host): the owner rewrites a counter every 5 s; when an observer has seen
  the same bytes for 30 s by its own monotonic clock, it replaces the owner. Clocks are never compared.
- *Replacing* takes the right to do so first, by creating ``<owner file>.<generation>`` exclusively,
  then looks whether the judged owner still stands there, then renames that file over it. Of any number
  of observers one succeeds; should it die in between, the next generation is up for taking.

A replaced owner notices in ``still_mine``, asked before each journal append and before placement.
What it may write until then is why ``Owned.heir_of_silent`` tells the heir to move to a fresh inode.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from chunkdl import disk
from chunkdl.errors import StoreBroken
from chunkdl.file_clock import now_in
from chunkdl.process_identity import Life, ProcessIdentity, life_of, this_process
from chunkdl.transfer.owner_record import RECORD_BYTES, OwnerRecord, decode_owner, encode_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# An owner publishes this often, so six are missed before it counts as gone: longer than a stop-the-world
# of NFS fail-over grace in common set-ups, short beside a download.
PUBLISH_EVERY_S = 5.0
STALE_AFTER_S = 30.0
# Where all else says that the owner is gone, two missed publications are enough: a host that has the same name as
# ours lives and publishes, and no write of a few hundred bytes takes this long.
QUIET_AFTER_S = 2 * PUBLISH_EVERY_S
# Each further try means that another process acted in between; so many in a row is no race any more.
_TRIES = 16
# File systems without hard links answer with one of these; there the file is created, then filled.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


class StaleWatch:
    """Tells when something has not changed for ``stale_after_s``, by the observer's clock alone."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._mark: bytes | None = None
        self._since = 0.0

    def observe(self, mark: bytes, now: float, stale_after_s: float) -> bool:
        """True if every look since ``stale_after_s`` seconds ago has shown this same ``mark``."""
        if mark != self._mark:
            self._mark, self._since = mark, now
        return now - self._since >= stale_after_s


class Ownership:
    """One process's wish to own one part file; keeps what it saw of the present owner between tries."""

    def __init__(self, path: Path, clock: Callable[[], float], me: ProcessIdentity | None = None) -> None:
        """``path`` is the owner file, ``clock`` monotonic seconds, ``me`` by default this process."""
        self.path = path
        self.me = me or this_process()
        self._clock = clock
        self._nonce = secrets.token_hex(8)
        self._watches: dict[Path, StaleWatch] = {}

    @classmethod
    def acquire(cls, path: Path, clock: Callable[[], float]) -> Owned | HeldElsewhere:
        """Try once to become the owner; a ``HeldElsewhere`` can be asked to try again.

        Raises ``StoreError`` if owner files cannot be made here.
        """
        return cls(path, clock).claim()

    def claim(self) -> Owned | HeldElsewhere:
        """Own what nobody owns or what its owner has left; else say who holds it. Never waits."""
        heir_of_silent, replaced = False, None
        with disk.store_errors(self.path):
            for _ in range(_TRIES):
                data = _read(self.path)
                owner = decode_owner(data) if data is not None else None
                if data is None:
                    replaced = None
                    self._create(self.path, 1)
                elif owner is not None and owner.nonce == self._nonce:
                    return Owned(self.path, owner, heir_of_silent=heir_of_silent, replaced=replaced)
                elif (life := self._gone(self.path, data)) is None:
                    return HeldElsewhere(self, owner)
                else:
                    heir_of_silent, replaced = life is Life.UNKNOWN, owner.nonce if owner else ""
                    rival = self._replace(data, owner.generation + 1 if owner else 1)
                    if rival is not None:
                        return HeldElsewhere(self, decode_owner(rival))
        raise StoreBroken(f"cannot settle who owns {self.path}", hint="remove this file if no chunkdl is running")

    def _replace(self, judged: bytes, generation: int) -> bytes | None:
        """Put ourselves over the owner judged gone, unless somebody acted in between: the next look tells.

        Returns the record of a living process that is just doing the same, else None.
        """
        for number in range(generation, generation + _TRIES):
            right = self._right(number)
            if self._create(right, number):
                if _read(self.path) != judged:
                    right.unlink(missing_ok=True)
                else:
                    self._take(right)
                    self._clear_rights(generation, number)
                return None
            rival = _read(right)
            if rival is None or self._gone(right, rival) is None:
                return rival
        return None

    def _take(self, right: Path) -> None:
        with suppress(FileNotFoundError):  # cleared by one who woke up late: the next look tells
            disk.replace(right, self.path)

    def _right(self, generation: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{generation}")

    def _clear_rights(self, first: int, beyond: int) -> None:
        """Remove what others left who died while they took over."""
        for number in range(first, beyond):
            self._right(number).unlink(missing_ok=True)

    def _gone(self, path: Path, data: bytes) -> Life | None:
        """None if the process that wrote ``data`` may be at work, else how sure we are that it is gone.

        DEAD: surely. FORMER: as far as this host can tell. UNKNOWN: it has only been silent too long.
        """
        owner = decode_owner(data)
        life = life_of(owner.process, self.me) if owner else Life.UNKNOWN
        if life is Life.DEAD or (owner and owner.left):
            return Life.DEAD
        if life is Life.ALIVE:
            return None
        soon = owner is None or life is Life.FORMER
        if soon and path not in self._watches and _is_quiet(path):
            return life
        watch = self._watches.setdefault(path, StaleWatch())
        silent = watch.observe(data, self._clock(), QUIET_AFTER_S if soon else STALE_AFTER_S)
        return life if silent else None

    def _create(self, path: Path, generation: int) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _create(path, OwnerRecord(self.me, self._nonce, generation))


@dataclass(frozen=True, slots=True)
class HeldElsewhere:
    """Somebody else owns it. ``published`` is what they last told, None while it is unreadable."""

    _ownership: Ownership
    published: OwnerRecord | None

    @property
    def owner(self) -> str:
        """The owner as messages name it."""
        return str(self.published.process) if self.published else f"whoever wrote {self._ownership.path}"

    def again(self) -> Owned | HeldElsewhere:
        """Look again, about once a second; remembers since when a silent owner has been silent."""
        return self._ownership.claim()


class Owned:
    """The right to write one part file. Methods block for one small file operation; raise ``StoreError``."""

    def __init__(
        self, path: Path, record: OwnerRecord, *, heir_of_silent: bool = False, replaced: str | None = None
    ) -> None:
        """Made by ``Ownership``; ``replaced`` is the nonce of the owner taken over from, empty if unreadable."""
        self.path = path
        self.heir_of_silent = heir_of_silent
        self.replaced = replaced
        self._record = record
        self._turn = Lock()  # a look at the file while it is being rewritten would see neither record

    def __repr__(self) -> str:
        """The file and its generation."""
        return f"<Owned {self.path.name} generation {self.generation}>"

    @property
    def generation(self) -> int:
        """1, or one more than the owner whom this one replaced."""
        return self._record.generation

    @property
    def nonce(self) -> str:
        """What others see this ownership named by."""
        return self._record.nonce

    def still_mine(self) -> bool:
        """True unless another process took over. An owner file that was deleted is made again."""
        with self._turn, disk.store_errors(self.path):
            data = _read(self.path)
            if data is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                return _create(self.path, self._record)
            return self._is_mine(data)

    def publish(self, done_bytes: int) -> None:
        """Show that we live, and how far we are, in place; call every ``PUBLISH_EVERY_S``.

        Does nothing if the file is no longer ours: ``still_mine`` tells.
        """
        self._rewrite(lambda record: replace(record, counter=record.counter + 1, done_bytes=done_bytes))

    def _rewrite(self, change: Callable[[OwnerRecord], OwnerRecord]) -> None:
        with self._turn, disk.store_errors(self.path), suppress(FileNotFoundError):
            record = change(self._record)
            fd = disk.open_existing(self.path)
            try:
                if self._is_mine(_read_fd(fd)):
                    disk.write_all(fd, encode_owner(record), 0)
                    self._record = record
            finally:
                os.close(fd)  # NFS sends what was written to the server here

    def leave(self) -> None:
        """Go before the work is done, and let one of those who wait know that it is theirs now.

        Unlike after ``release`` its heir is told from one who comes after all was done (``replaced``).
        """
        self._rewrite(lambda record: replace(record, left=True))

    def release(self) -> None:
        """Give the right back, if it is still ours; calling twice is harmless."""
        with self._turn, disk.store_errors(self.path):
            data = _read(self.path)
            if data is not None and self._is_mine(data):
                self.path.unlink(missing_ok=True)

    def _is_mine(self, data: bytes) -> bool:
        found = decode_owner(data)
        return found is not None and (found.nonce, found.generation) == (self._record.nonce, self.generation)


def _is_quiet(path: Path) -> bool:
    """True if nobody has written to the file for long enough; False where that cannot be found out."""
    with suppress(OSError):
        return now_in(path.parent) - path.lstat().st_mtime >= QUIET_AFTER_S
    return False


def _read(path: Path) -> bytes | None:
    """What is in an owner file, or None if there is none; never through a link."""
    try:
        fd = disk.open_to_read(path)
    except FileNotFoundError:
        return None
    try:
        return _read_fd(fd)
    finally:
        os.close(fd)


def _read_fd(fd: int) -> bytes:
    buffer = memoryview(bytearray(RECORD_BYTES))
    return bytes(buffer[: disk.read_into(fd, buffer, 0)])


def _create(path: Path, record: OwnerRecord, *, link: Callable[[Path, Path], None] = os.link) -> bool:
    """Make an owner file that did not exist, complete from its first moment; False if there is one."""
    finished = disk.new_name(path)
    fd = disk.create_new(finished)
    try:
        disk.write_all(fd, encode_owner(record), 0)
        try:
            link(finished, path)
        except FileExistsError:
            return os.fstat(fd).st_nlink > 1  # NFS: the link was made, its answer lost and the request repeated
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_in_place(path, record)
    finally:
        os.close(fd)
        finished.unlink(missing_ok=True)
    return True


def _create_in_place(path: Path, record: OwnerRecord) -> bool:
    """The same without hard links: readers may see it empty for a moment, and then wait as for a stranger."""
    try:
        fd = disk.create_new(path)
    except FileExistsError:
        return False
    try:
        disk.write_all(fd, encode_owner(record), 0)
    finally:
        os.close(fd)
    return True
