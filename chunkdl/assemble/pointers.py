"""The entries of one snapshot folder: a relative link to a blob, or the real file where links do not work.

Decides whether an entry is as it should be, how it is made, and how its making is undone. Follows no
link below the commit's folder: a link where a folder should be is refused, since it could lead
anywhere. Deliberately knows no ref, no tree and no authority.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.folders import make_folders, refuse_folder
from chunkdl.assemble.staging import staging
from chunkdl.disk import fsync_folder, replace
from chunkdl.errors import StoreBroken
from chunkdl.second_name import link_or_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from chunkdl.assemble.layout import RepoFolder
    from chunkdl.model import Digest, RemoteFile

# How file systems say that they know no links: FAT and exFAT EPERM, SMB and FUSE the others.
_NO_SYMLINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_WINERROR_PRIVILEGE = 1314  # "a required privilege is not held": Windows without developer mode


class Pointers:
    """Entries of ``snapshots/<commit>/``."""

    def __init__(self, repo: RepoFolder, commit: str, *, use_symlinks: bool) -> None:
        self._repo = repo
        self._commit = commit
        self._use_symlinks = use_symlinks
        self._linked: set[str] | None = None
        self._touched: dict[Path, None] = {}  # folders with new names, in order

    def stands(self, file: RemoteFile) -> bool:
        """True if the entry already shows the right content and must not be touched."""
        pointer, blob = self._repo.pointer(self._commit, file.path), self._repo.blob(file.digest)
        entry, content = _lstat(pointer), _stat(blob)
        if entry is None:
            return False
        has_blob = content is not None and content.st_size == file.size
        if stat.S_ISLNK(entry.st_mode):
            return has_blob and _readlink(pointer) == self._repo.link_target(file.path, file.digest)
        real = stat.S_ISREG(entry.st_mode) and entry.st_size == file.size
        if not has_blob or content is None:
            return real
        # A blob newer than the real file was proven after the file was placed, as --force does.
        return real and not self._use_symlinks and content.st_mtime_ns <= entry.st_mtime_ns

    def place(self, files: Sequence[RemoteFile], undo: ExitStack) -> None:
        """Make the entries of ``files`` and sync each folder once; ``undo`` learns how to take all back."""
        uses = Counter(each.digest for each in files)
        for each in files:
            self._check_blob(each)
            pointer = self._make_folder(each.path, undo)
            uses[each.digest] -= 1
            if not (self._use_symlinks and self._link(each, pointer, undo)):
                self._real_file(each, pointer, undo, move=not uses[each.digest] and not self._is_linked(each.digest))
            self._touched[pointer.parent] = None
        for folder in self._touched:
            fsync_folder(folder)

    def _is_linked(self, digest: Digest) -> bool:
        """True if a link leads to the blob, which must therefore stay; found out when links have ceased to be made."""
        if self._linked is None:
            self._linked = _linked_names(self._repo)
        return digest.hex in self._linked

    def _check_blob(self, file: RemoteFile) -> None:
        content = _stat(self._repo.blob(file.digest))
        if content is None or content.st_size != file.size:
            raise StoreBroken(
                f"the blob of {file.path} went away or changed before it could be linked",
                hint="another program cleans the cache; run the same command again",
                file=file.path,
            )

    def _make_folder(self, path: str, undo: ExitStack) -> Path:
        """Make the entry's folders one by one, none of them through a link; returns the entry's path."""
        self._repo.snapshots.mkdir(parents=True, exist_ok=True)
        pointer = self._repo.pointer(self._commit, path)

        def made(folder: Path) -> None:
            undo.callback(_quietly, folder.rmdir)
            self._touched[folder.parent] = None

        make_folders(self._repo.snapshots, (self._commit, *path.split("/")[:-1]), made, path)
        refuse_folder(pointer, path)
        return pointer

    def _link(self, file: RemoteFile, pointer: Path, undo: ExitStack) -> bool:
        """Make the link; False if this file system has none, which is then remembered."""
        target = self._repo.link_target(file.path, file.digest)
        try:
            self._replace_by_link(pointer, target, undo)
        except OSError as error:
            if error.errno not in _NO_SYMLINKS and getattr(error, "winerror", None) != _WINERROR_PRIVILEGE:
                raise
            self._use_symlinks = False
        return self._use_symlinks

    def _replace_by_link(self, pointer: Path, target: str, undo: ExitStack) -> None:
        try:
            pointer.symlink_to(target)
        except FileExistsError:
            with staging(self._repo.blobs) as new:
                new.symlink_to(target)
                replace(new, pointer)
        else:
            undo.callback(_quietly, pointer.unlink)

    def _real_file(self, file: RemoteFile, pointer: Path, undo: ExitStack, *, move: bool) -> None:
        blob = self._repo.blob(file.digest)
        if move and not blob.is_symlink():
            replace(blob, pointer)
            undo.callback(_quietly, lambda: replace(pointer, blob))
            return
        fresh = not os.path.lexists(pointer)
        with staging(self._repo.blobs) as new:
            link_or_copy(blob, new)
            replace(new, pointer)
        if fresh:
            undo.callback(_quietly, pointer.unlink)


def _linked_names(repo: RepoFolder) -> set[str]:
    """Names of blobs that some snapshot of the repository links to, and that therefore must stay."""
    names = set()
    for folder, _, files in os.walk(repo.snapshots):
        for name in files:
            target = _readlink(Path(folder, name))
            if target is not None:
                names.add(Path(target).name)
    return names


def _quietly(step: Callable[[], object]) -> None:
    """Undo as far as possible: the failure that made us undo is the one to report."""
    with suppress(OSError):
        step()


def _readlink(path: Path) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115  # a Path would normalise the text that is compared
    except OSError:
        return None


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
