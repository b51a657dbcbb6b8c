"""Proven contents become files of a local folder, all of a plan back to back, each with its record.

Decides the order: folders and copies first, since they may fail for lack of space; then, one after the
other and nothing else in between, each file is renamed over the old one and its record renewed. Until
that moment an old file stays as it was. A record is removed before its file changes, so that a kill in
between leaves a file that will be hashed, never one that is believed to be what it was.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.assemble.folders import make_folders, refuse_folder
from chunkdl.assemble.hub_lock import HubLock
from chunkdl.assemble.local_inventory import check_clear, is_proven
from chunkdl.assemble.local_record import FileRecord, look, regular, write_record
from chunkdl.assemble.names import check_names
from chunkdl.assemble.staging import staging
from chunkdl.disk import fsync_folder, replace, store_errors
from chunkdl.errors import StoreBroken
from chunkdl.second_name import copy_file

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from chunkdl.assemble.local_folder import LocalFolder
    from chunkdl.model import RemoteFile, Verified

# The stock client holds a file's lock for as long as it downloads it; another of us for a rename.
_LOCK_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """A file that stood in the folder and was hashed: the proof, and how to tell that it is still the same."""

    proof: Verified
    status: os.stat_result

    def is_still(self, path: Path) -> bool:
        """True if nobody has written to the file since."""
        now = regular(path)
        return now is not None and _mark(now) == _mark(self.status)


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True)
class _Step:
    """What one file needs: new bytes from ``source``, or, where that is None, a new record alone."""

    file: RemoteFile
    source: Path | None = None
    move: bool = False


class FolderPlacer:
    """Shows the files of one commit in a local folder."""

    def __init__(
        self, folder: LocalFolder, commit: str, adopted: Mapping[str, Adopted], clock: Callable[[], float]
    ) -> None:
        """``adopted`` by repository path; ``clock`` is seconds since the epoch, as files are stamped."""
        self._folder = folder
        self._commit = commit
        self._adopted = adopted
        self._clock = clock
        self._touched: dict[Path, None] = {}  # folders with new names, in order

    def place(self, files: Sequence[RemoteFile]) -> None:
        """Show ``files``; writes nothing at all if everything stands already. Blocking.

        Raises:
            PlacementRefused: something is in the way, or names that this file system cannot tell apart.
            StoreError: a content is missing, or the file system refused.
        """
        check_clear(self._folder, files)
        with store_errors(self._folder.root), ExitStack() as stack:
            steps = self._steps(files)
            if not steps:
                return
            check_names([each.path for each in files], probe_in=self._folder.downloads)
            ready = [self._ready(each, stack) for each in steps]
            for each in ready:
                self._show(each)
            self._touched |= {self._folder.file(each.file.path).parent: None for each in ready if each.source}
            for folder in self._touched:
                fsync_folder(folder)

    def _steps(self, files: Sequence[RemoteFile]) -> list[_Step]:
        """Contents that wait are moved to the last of their paths and copied to the others."""
        last = {each.digest: each.path for each in files}
        steps = []
        for each in files:
            if is_proven(self._folder, each):
                move = last[each.digest] == each.path
                steps.append(_Step(each, self._folder.blob(each.digest), move=move))
            elif each.path in self._adopted:
                steps.append(_Step(each))
            else:
                steps += self._known_or_copied(each, files)
        return steps

    def _known_or_copied(self, file: RemoteFile, files: Sequence[RemoteFile]) -> Iterator[_Step]:
        seen = look(self._folder, file.path)
        if not seen.is_known_as(file):
            with self._turn(file.path):  # another process may be between a file and its record
                seen = look(self._folder, file.path)
        if seen.record is not None and seen.is_known_as(file):
            if seen.record.commit != self._commit:
                yield _Step(file)
            return
        twin = next((each.path for each in files if each.digest == file.digest and each.path in self._adopted), None)
        if twin is None:
            raise _gone(file)
        yield _Step(file, self._folder.file(twin))

    def _ready(self, step: _Step, stack: ExitStack) -> _Step:
        """Whatever may fail for lack of space or permission is done here; returns the step as a rename."""
        path = step.file.path
        parents = path.split("/")[:-1]
        make_folders(self._folder.root, parents, self._made, file=path)
        make_folders(self._folder.root, (*self._folder.download_parts, *parents), file=path)
        if step.source is None or step.move:
            return step
        new = stack.enter_context(staging(self._folder.downloads))
        with suppress(FileNotFoundError):  # another process shows the same: what stands then is looked at
            copy_file(step.source, new)
        self._check_adopted(path, step.source)
        return _Step(step.file, new, move=True)

    def _made(self, folder: Path) -> None:
        self._touched[folder.parent] = None

    def _check_adopted(self, path: str, source: Path) -> None:
        """What was hashed and what was copied must be the same bytes."""
        for name, adopted in self._adopted.items():
            if self._folder.file(name) == source and not adopted.is_still(source):
                raise _changed(path)

    def _show(self, step: _Step) -> None:
        path, target = step.file.path, self._folder.file(step.file.path)
        refuse_folder(target, path)
        with self._turn(path):
            if step.source is not None and regular(step.source) is not None:
                self._folder.metadata(path).unlink(missing_ok=True)
                replace(step.source, target)
            elif step.source is not None or not self._is_adopted(path, target):
                self._check_shown(step)
            record = FileRecord(self._commit, step.file.digest.hex, self._clock())
            write_record(self._folder.metadata(path), record, stage_in=self._folder.downloads)

    def _is_adopted(self, path: str, target: Path) -> bool:
        return path in self._adopted and self._adopted[path].is_still(target)

    def _check_shown(self, step: _Step) -> None:
        """Somebody else acted here: welcome if it was another process with the same plan."""
        if not look(self._folder, step.file.path).is_known_as(step.file):
            raise _gone(step.file) if step.source is not None else _changed(step.file.path)

    @contextmanager
    def _turn(self, path: str) -> Iterator[None]:
        """One process at a time at a file and its record; best effort, as the stock client's own locking is."""
        lock = HubLock(self._folder.lock(path))
        lock.acquire(_LOCK_WAIT_S)
        try:
            yield
        finally:
            lock.release()


def _gone(file: RemoteFile) -> StoreBroken:
    return StoreBroken(
        f"{file.path} went away or changed before it could be placed",
        hint="another program works in this folder; run the same command again",
        file=file.path,
    )


def _changed(path: str) -> StoreBroken:
    return StoreBroken(
        f"{path} was written to while it was verified", hint="run the same command again when it is at rest", file=path
    )
