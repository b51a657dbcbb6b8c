"""What everything in the caches is said to be, and by whom: the list that ``verify`` works through.

Blobs say it by their names, real files by a listing of their commit, files of a local folder by the hub's record
beside them, checkpoints by the digits in their names. Each content is claimed once, however many names it has.
What can be told from names alone (a link that leads nowhere, or to another content than listed) is told here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.cached import digest_named
from chunkdl.assemble.layout import RepoFolder
from chunkdl.assemble.listing import read_tree
from chunkdl.assemble.local_folder import METADATA_SUFFIX, LocalFolder
from chunkdl.assemble.local_record import look, read_record
from chunkdl.caches.proving import Claim, State
from chunkdl.caches.seen import TORCH
from chunkdl.errors import PlacementRefused
from chunkdl.model import Digest, DigestAlgorithm, is_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from chunkdl.caches.seen import CheckpointSeen, Entry, RepoSeen, RevisionSeen
    from chunkdl.model import RemoteFile

    # A commit's listing as far as something on this machine remembers it.
    Listings = Callable[[RepoSeen, str], tuple[RemoteFile, ...] | None]

_SHA256_DIGITS = 64


def tree_of(repo: RepoSeen, commit: str) -> tuple[RemoteFile, ...] | None:
    """The listing that huggingface_hub or we left in the cache."""
    if not is_commit(commit):
        return None
    return read_tree(RepoFolder(repo.folder.parent, repo.folder.name).tree(commit))


def claims_of_repo(
    repo: RepoSeen, revisions: Iterable[RevisionSeen] | None = None, listings: Listings = tree_of
) -> tuple[Claim, ...]:
    """Everything that the repository shows, and what nothing shows; or what only some of its revisions show."""
    chosen = repo.revisions if revisions is None else tuple(revisions)
    found: dict[tuple[Path, str], Claim] = {}
    for revision in chosen:
        listed = {each.path: each for each in listings(repo, revision.commit) or ()}
        for entry in revision.entries:
            claim = _of_entry(repo, revision, entry, listed.get(entry.path))
            key = (claim.file, claim.state or "")
            found[key] = _joined(found[key], claim) if key in found else claim
    claims = list(found.values())
    if revisions is None:
        shown = {each.file for each in claims}
        claims += [
            Claim(each.path, digest_named(each.path.name), None, repo.id, repo=repo)
            for each in repo.blobs
            if each.path not in shown
        ]
        claims += [_of_ref(repo, ref, says) for ref, says in repo.dangling_refs]
    return tuple(claims)


def _of_entry(repo: RepoSeen, revision: RevisionSeen, entry: Entry, listed: RemoteFile | None) -> Claim:
    digest = digest_named(entry.blob.name) if entry.blob is not None else listed.digest if listed else None
    size = listed.size if listed is not None and listed.digest == digest else None
    state, note = None, ""
    if entry.stored is None:
        state, note = State.MISSING, f"its link leads nowhere: {_target(entry.where)}"
        digest = listed.digest if listed is not None else digest
    elif entry.blob is not None and listed is not None and digest != listed.digest:
        state, note, digest = State.MISLINKED, f"its link leads to {entry.blob.name}", listed.digest
    elif entry.blob is None and listed is None:
        note = "a real file, and no listing of its commit is here"
    where = entry.blob if entry.blob is not None else entry.where
    commit = revision.commit if is_commit(revision.commit) else None
    return Claim(where, digest, size, repo.id, (entry.path,), commit, repo, state, note)


def _of_ref(repo: RepoSeen, ref: str, says: str) -> Claim:
    note = f"the ref {ref} names {says[:12] or 'nothing'}, which is not here"
    return Claim(repo.folder / "refs" / ref, None, None, repo.id, (), None, repo, State.UNPROVEN, note)


def _joined(one: Claim, other: Claim) -> Claim:
    """One content under several names; a commit's paths first, whichever commit came first."""
    paths = (*one.paths, *other.paths) if one.commit == other.commit else one.paths
    size = one.size if one.size is not None else other.size
    return Claim(one.file, one.digest, size, one.place, paths, one.commit, one.repo, one.state, one.note)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115  # the text as it stands
    except OSError:
        return "not a link"


def claims_of_checkpoints(
    checkpoints: Iterable[CheckpointSeen], learnt: Callable[[Path], Digest | None]
) -> tuple[Claim, ...]:
    """Checkpoints, by what was learnt of them, else by their names."""
    return tuple(
        Claim(each.stored.path, learnt(each.stored.path) or _promised(each.prefix), None, f"{TORCH}:{each.name}")
        for each in checkpoints
    )


def _promised(prefix: str) -> Digest | None:
    if not prefix:
        return None
    whole = len(prefix) == _SHA256_DIGITS
    return Digest(DigestAlgorithm.SHA256 if whole else DigestAlgorithm.SHA256_PREFIX, prefix)


def is_local_folder(folder: Path) -> bool:
    """True for a folder that ``--local-dir`` filled, ours or huggingface_hub's."""
    return LocalFolder(folder).downloads.is_dir()


def claims_of_folder(folder: LocalFolder) -> tuple[Claim, ...]:
    """Every file with a record, in order of path."""
    return tuple(_of_record(folder, path) for path in _recorded(folder))


def _recorded(folder: LocalFolder) -> Iterator[str]:
    found = []
    for where, _, names in os.walk(folder.downloads):
        for name in names:
            if name.endswith(METADATA_SUFFIX):
                path = Path(where, name).relative_to(folder.downloads).as_posix()
                found.append(path.removesuffix(METADATA_SUFFIX))
    return iter(sorted(found))


def _of_record(folder: LocalFolder, path: str) -> Claim:
    place = str(folder.root)
    try:
        seen, record, file = look(folder, path), read_record(folder.metadata(path)), folder.file(path)
    except PlacementRefused as error:
        return Claim(folder.downloads, None, None, place, (path,), state=State.UNPROVEN, note=error.message)
    if record is None:
        return Claim(file, None, None, place, (path,), note="its record cannot be read")
    listed = {each.path: each for each in read_tree(folder.tree(record.commit)) or ()}.get(path)
    digest = listed.digest if listed is not None and listed.digest.hex == record.etag else digest_named(record.etag)
    size = listed.size if listed is not None and listed.digest == digest else None
    if seen.status is None:
        return Claim(file, digest, size, place, (path,), record.commit, state=State.MISSING, note="the file is gone")
    edited = seen.record is None  # written to since it was recorded
    return Claim(file, digest, size, place, (path,), record.commit, may_be_edited=edited)
