"""One look at the hub's cache: repositories, revisions, refs, blobs, and whatever else lies between.

Reads names, times, links and listings, never content. Understands what huggingface_hub 2.4 leaves behind:
links to blobs that are links into its shared store, real files where links do not work, refs without a
commit, links that lead nowhere. What is none of that is reported as strange and left to its owner.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.layout import RepoFolder
from chunkdl.assemble.listing import read_tree
from chunkdl.caches import partials
from chunkdl.caches.looking import children, first_hop, modified_at, stored
from chunkdl.caches.seen import MODEL, REPO_KINDS, Entry, RepoSeen, RevisionSeen
from chunkdl.caches.shared_store import is_shared_store
from chunkdl.disk import store_errors
from chunkdl.model import is_commit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkdl.caches.seen import PartialSeen, Stored

_REPO_FOLDER = re.compile(rf"({'|'.join(REPO_KINDS)})--(.+)")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PARTS_OF_REPO = frozenset({"blobs", "snapshots", "refs", "trees", ".no_exist"})
# huggingface_hub's own list (``FILES_TO_IGNORE``), its locks, and the tag for backup programs.
_PASSED_BY = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_PARTS_OF_ROOT = _PASSED_BY | {".locks", "CACHEDIR.TAG"}
_INCOMPLETE = ".incomplete"


def scan_hub(root: Path) -> tuple[tuple[RepoSeen, ...], tuple[str, ...]]:
    """The repositories of a cache, and names in its root that are nobody's we know; blocking.

    Raises:
        StoreError: the root is there and cannot be read.
    """
    repos, strange = [], []
    for each in _root_entries(root):
        match = _REPO_FOLDER.fullmatch(each.name)
        if match and each.is_dir():
            repos.append(scan_repo(RepoFolder(root, each.name)))
        elif each.name not in _PARTS_OF_ROOT and not (each.name == "blobs" and is_shared_store(each)):
            strange.append(each.name)
    return tuple(repos), tuple(strange)


def scan_partials(root: Path) -> tuple[PartialSeen, ...]:
    """The begun transfers of a cache alone: no snapshot is looked into. Blocking.

    Raises:
        StoreError: the root is there and cannot be read.
    """
    found: list[PartialSeen] = []
    for each in _root_entries(root):
        if match := _REPO_FOLDER.fullmatch(each.name):
            ours = [one for one in children(RepoFolder(root, each.name).blobs) if partials.is_ours(one.name)]
            found += partials.group(ours, _place(*_kind_and_id(match)))
    return tuple(found)


def _kind_and_id(match: re.Match[str]) -> tuple[str, str]:
    return REPO_KINDS[match[1]], match[2].replace("--", "/")


def _place(kind: str, repo_id: str) -> str:
    return repo_id if kind == MODEL else f"{kind}s/{repo_id}"


def _root_entries(root: Path) -> list[Path]:
    with store_errors(root):
        try:
            return sorted(root.iterdir())
        except FileNotFoundError:
            return []


def scan_repo(repo: RepoFolder) -> RepoSeen:
    """One repository; what cannot be read is told in ``trouble``."""
    match = _REPO_FOLDER.fullmatch(repo.name)
    assert match is not None  # the caller found it by this name
    refs = read_refs(repo)
    folders = [each for each in children(repo.snapshots) if each.is_dir() and not each.is_symlink()]
    revisions = tuple(scan_revision(repo, each, refs) for each in folders)
    named = {each.commit for each in revisions}
    kind, repo_id = _kind_and_id(match)
    there = [each for each in children(repo.blobs) if each.name not in _PASSED_BY]
    ours = [each for each in there if partials.is_ours(each.name)]
    return RepoSeen(
        kind,
        repo_id,
        repo.path,
        revisions,
        _files(each for each in there if _BLOB.fullmatch(each.name)),
        partials.group(ours, _place(kind, repo_id)),
        tuple((ref, commit) for ref, commit in sorted(refs.items()) if commit not in named),
        _strange(repo, there),
        _files(each for each in there if each.name.endswith(_INCOMPLETE)),
        _files(each for each in there if partials.is_litter(each.name)),
        frozenset(each for each in there if partials.is_dead_litter(each)),
        _trouble(repo),
    )


def _files(paths: Iterable[Path]) -> tuple[Stored, ...]:
    return tuple(found for each in paths if (found := stored(each)) is not None)


def _strange(repo: RepoFolder, there: list[Path]) -> tuple[str, ...]:
    """Names that are neither the hub's nor ours: in the repository's folder, in ``blobs/`` and in ``snapshots/``."""
    found = [each.name for each in children(repo.path) if each.name not in _PARTS_OF_REPO | _PASSED_BY]
    for each in there:
        known = _BLOB.fullmatch(each.name) or partials.is_ours(each.name) or partials.is_litter(each.name)
        if not known and not each.name.endswith(_INCOMPLETE):
            found.append(f"blobs/{each.name}")
    found += [f"snapshots/{each.name}" for each in children(repo.snapshots) if not _is_revision(each)]
    return tuple(found)


def _is_revision(path: Path) -> bool:
    return path.name in _PASSED_BY or (path.is_dir() and not path.is_symlink() and is_commit(path.name))


def _trouble(repo: RepoFolder) -> str:
    for folder in (repo.path, repo.blobs, repo.snapshots):
        try:
            next(folder.iterdir(), None)
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{folder.name} cannot be read: {error.strerror or error}"
    return ""


def read_refs(repo: RepoFolder) -> dict[str, str]:
    """Each ref with what it says; every file in ``refs/`` counts, as for huggingface_hub."""
    found = {}
    for folder, _, names in os.walk(repo.refs):
        for name in names:
            path = Path(folder, name)
            if name in _PASSED_BY:
                continue
            try:
                found[path.relative_to(repo.refs).as_posix()] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                found[path.relative_to(repo.refs).as_posix()] = ""
    return found


def scan_revision(repo: RepoFolder, folder: Path, refs: dict[str, str]) -> RevisionSeen:
    """One commit's folder."""
    entries = tuple(sorted(_entries(folder), key=lambda each: each.path))
    commit = folder.name
    named = tuple(sorted(ref for ref, says in refs.items() if says == commit))
    times = [each.stored.modified_at for each in entries if each.stored is not None]
    return RevisionSeen(
        commit, folder, entries, named, max(times, default=modified_at(folder)), _own_files(repo, commit, entries)
    )


def _entries(folder: Path) -> list[Entry]:
    found = []
    for where, folders, names in os.walk(folder):
        linked = [each for each in folders if Path(where, each).is_symlink()]
        for name in [*names, *linked]:
            path = Path(where, name)
            found.append(Entry(path.relative_to(folder).as_posix(), path, first_hop(path), stored(path)))
    return found


def _own_files(repo: RepoFolder, commit: str, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Real files among links that the commit's listing does not know: somebody put them there."""
    real = [each.path for each in entries if each.blob is None]
    if len(real) == len(entries) or not real:
        return ()
    listed = {each.path for each in read_tree(repo.tree(commit)) or ()} if is_commit(commit) else set()
    return tuple(each for each in real if each not in listed)
