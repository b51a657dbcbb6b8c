"""Carrying a removal out: refs first, then snapshots, contents last, so that no moment shows a link to nothing.

What was decided is looked at again before each repository: a ref or a link that appeared meanwhile keeps what it
names. A transfer is removed by whoever owns it, so its right is taken first; a content that somebody locks
stays. Whatever is not the hub's or ours is left where it is, and so are the folders it lies in.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.assemble.hub_lock import is_held
from chunkdl.assemble.layout import RepoFolder
from chunkdl.caches.looking import children
from chunkdl.caches.pruning import is_busy
from chunkdl.caches.removal import Links
from chunkdl.caches.scanning import read_refs, scan_repo
from chunkdl.caches.seen import CachesSeen, Stored
from chunkdl.caches.shared_store import payload_of, sweep
from chunkdl.disk import store_errors
from chunkdl.model import is_commit
from chunkdl.transfer.ownership import HeldElsewhere, Ownership

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from chunkdl.caches.removal import Removal, RepoRemoval
    from chunkdl.caches.seen import PartialSeen, RepoSeen


@dataclass(slots=True)
class Outcome:
    """What went and what stayed. ``skipped`` are lines on what somebody is at; ``left`` on what is not ours."""

    freed_bytes: int = 0
    removed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Remover:
    """Removes what one ``Removal`` says, of the caches it was decided for. All methods block."""

    def __init__(self, seen: CachesSeen, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives seconds since the epoch."""
        self._seen = seen
        self._clock = clock
        self._outcome = Outcome()

    def remove(self, removal: Removal) -> Outcome:
        """Carry it out, one thing after the other.

        Raises:
            StoreError: the file system refused; what went before that is gone, what comes after stands.
        """
        for each in removal.repos:
            self._repo(each)
        for one in removal.checkpoints:
            self._unlink(one.stored)
            self._outcome.removed.append(one.id)
        for partial in removal.torch_partials:
            self._partial(partial)
        for payload in removal.payloads:
            self._outcome.freed_bytes += sweep(payload.path, self._seen.hub)
        return self._outcome

    # --- one repository -------------------------------------------------------------------------------------------

    def _repo(self, wanted: RepoRemoval) -> None:
        folder = RepoFolder(self._seen.hub, wanted.repo.folder.name)
        now = scan_repo(folder)
        # Partials have an owner each and are judged one by one; whatever else goes may be a running fetch's.
        more = wanted.revisions or wanted.blobs or wanted.litter or wanted.whole
        if more and (why := self._in_use(now)):
            self._outcome.skipped.append(f"{now.id}: {why}")
            return
        with store_errors(folder.path):
            _check_writable(folder)
            for revision in wanted.revisions:
                self._revision(folder, revision.commit)
            self._blobs(folder, wanted)
        for partial in wanted.partials:
            self._partial(partial)
        for each in wanted.litter:
            self._unlink(each)
        if wanted.whole:
            self._rest(folder, wanted.repo)

    def _in_use(self, repo: RepoSeen) -> str:
        busy = next((each for each in repo.partials if is_busy(each, self._clock())), None)
        if busy is not None:
            return f"a fetch is under way, nothing of it was removed: {busy.whose}"
        locks = self._seen.hub / ".locks" / repo.folder.name
        for each in repo.incomplete:
            if is_held(locks / f"{each.path.name.partition('.')[0]}.lock"):
                return "another program is fetching into it, nothing of it was removed"
        return ""

    def _revision(self, repo: RepoFolder, commit: str) -> None:
        """A commit: its refs, what is known of it, and its folder last: beside a tree it must never lack a file."""
        for ref, says in read_refs(repo).items():
            if says == commit:
                (repo.refs / ref).unlink(missing_ok=True)
                _remove_empty((repo.refs / ref).parent, up_to=repo.path)
        if is_commit(commit):
            repo.tree(commit).unlink(missing_ok=True)
            shutil.rmtree(repo.path / ".no_exist" / commit, ignore_errors=True)
        folder = repo.snapshots / commit
        for each in (each for each in folder.rglob("*") if each.is_file() and not each.is_symlink()):
            self._outcome.freed_bytes += _last_name_bytes(each)
        _remove_folder(folder)
        self._outcome.removed.append(f"{repo.name} {commit}")

    def _blobs(self, repo: RepoFolder, wanted: RepoRemoval) -> None:
        """Those that nothing links to *now*: a fetch beside us may have shown one of them meanwhile."""
        names = [each for each in self._seen.repos if each.folder != repo.path]
        links = Links(CachesSeen(self._seen.hub, self._seen.torch, (*names, scan_repo(repo))))
        locks = self._seen.hub / ".locks" / repo.name
        for each in wanted.blobs:
            if links.lead_to(each.path):
                continue
            if is_held(locks / f"{each.path.name}.lock"):
                self._outcome.skipped.append(f"{each.path}: another program has locked it")
                continue
            payload = payload_of(each.path, self._seen.hub)
            self._unlink(each)
            if payload is not None:
                self._outcome.freed_bytes += sweep(payload, self._seen.hub)

    def _rest(self, repo: RepoFolder, seen: RepoSeen) -> None:
        """Records and empty folders; whatever else is in them is somebody's, and said."""
        with store_errors(repo.path):
            now = scan_repo(repo)
            for ref, _ in now.dangling_refs:
                (repo.refs / ref).unlink(missing_ok=True)
            for folder in (repo.path / "trees", repo.path / ".no_exist"):
                _remove_folder(folder)
            for each in children(repo.blobs):
                if each.is_symlink() and not each.exists():  # into the shared store, whose payload is gone
                    each.unlink(missing_ok=True)
            for folder in (repo.refs, repo.blobs):
                _remove_empties(folder)
            strangers = [*now.strange, *(f"blobs/{each.path.name}" for each in now.incomplete)]
            self._outcome.left += [f"{seen.id}: left alone: {each}" for each in strangers]
            if repo.path.is_symlink() or set(children(repo.path)) - {repo.snapshots}:
                return  # without an (empty) snapshots/ huggingface_hub's scanner calls what is left corrupt
            _remove_empties(repo.snapshots)
            with suppress(OSError):  # something came meanwhile
                repo.path.rmdir()

    # --- single files ---------------------------------------------------------------------------------------------

    def _partial(self, partial: PartialSeen) -> None:
        """As its owner: nobody begins to write to it while it goes."""
        if is_busy(partial, self._clock()):
            self._outcome.skipped.append(f"{partial.id} ({partial.place}): {partial.whose}")
            return
        owned = Ownership.acquire(partial.owner_file, time.monotonic)
        if isinstance(owned, HeldElsewhere) and partial.owner != "unknown":
            self._outcome.skipped.append(f"{partial.id} ({partial.place}): {owned.owner} is at it")
            return
        for each in partial.files:
            if each.path != partial.owner_file:
                self._unlink(each)
        if isinstance(owned, HeldElsewhere):  # a host that was silent for a day, see ``pruning``
            with store_errors(partial.owner_file):
                partial.owner_file.unlink(missing_ok=True)
        else:
            owned.release()
        self._outcome.freed_bytes += sum(each.size for each in partial.files if each.path == partial.owner_file)
        self._outcome.removed.append(partial.id)

    def _unlink(self, file: Stored) -> None:
        with store_errors(file.path):
            freed = file.size if not file.is_link and _is_last_name(file.path) else 0
            with suppress(FileNotFoundError):
                file.path.unlink()
                self._outcome.freed_bytes += freed


def _check_writable(repo: RepoFolder) -> None:
    """Before the first name goes: a removal that stops midway for lack of a right would leave half a revision."""
    for folder in (repo.path, repo.refs, repo.snapshots, repo.blobs):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _is_last_name(path: Path) -> bool:
    try:
        return path.lstat().st_nlink <= 1
    except OSError:
        return False


def _last_name_bytes(path: Path) -> int:
    return path.lstat().st_size if _is_last_name(path) else 0


def _remove_folder(folder: Path) -> None:
    """A folder and all in it; links in it go, what they lead to stays."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _remove_empties(folder: Path) -> None:
    """The folders below and at ``folder`` that hold nothing, files of desktop programs apart."""
    below: Iterable[tuple[str, list[str], list[str]]] = os.walk(folder, topdown=False)
    for where, _, _ in below:
        with suppress(OSError):
            os.rmdir(where)  # noqa: PTH106  # os.walk gives text


def _remove_empty(folder: Path, *, up_to: Path) -> None:
    while folder != up_to:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
