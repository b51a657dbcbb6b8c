"""The folder that loaders read: links to blobs, the hub's own records, and the ref at the very end.

Decides the order in which names appear, so that at no moment a reader, the scanner or the prune of
huggingface_hub sees a ref without its files, and what is taken back if a step fails. Deliberately
does not know how blobs came to be; it refuses to link one that is missing or has the wrong size.

Order: blobs synced, links back to back, folders synced once each, tree and gaps, ref. A step that
fails takes the links of this call back: a commit folder without a ref would fall to ``hf cache
prune``, and the blobs with it, while unlinked blobs are left alone and found again.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.listing import absent_paths, encode_tree
from chunkdl.assemble.names import check_names
from chunkdl.assemble.pointers import Pointers
from chunkdl.assemble.staging import put_file
from chunkdl.assemble.weight_maps import check_weight_maps
from chunkdl.disk import create_new, fsync_folder, store_errors
from chunkdl.model import AuthorityKind, is_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chunkdl.assemble.layout import RepoFolder
    from chunkdl.model import Artifact, RemoteFile

# The hub's name for "no revision given".
DEFAULT_REVISION = "main"

# Loaders act on trees and gaps without asking anybody: only a listing that came from the origin
# itself, or was recorded in a lock, may become one; and a ref that is there may be newer than what
# anybody else knows.
_RECORDING = frozenset({AuthorityKind.LOCK, AuthorityKind.ORIGIN})


def place_snapshot(
    repo: RepoFolder, artifact: Artifact, chosen: Sequence[RemoteFile], *, write_ref: bool, use_symlinks: bool
) -> Path:
    """Make the chosen files of a commit visible; returns the snapshot folder.

    Writes nothing at all if everything stands already, so that a read-only cache serves. Blocking.

    Args:
        repo: where; prepared, with every chosen blob in place (or its real file in the snapshot).
        artifact: whose commit, listing and authority count.
        chosen: the files to show; what else stands in the snapshot stays.
        write_ref: False to leave refs alone. A 40-hex revision never gets one, and only the origin's word of this
            run, or a lock, moves one that exists.
        use_symlinks: False for real files (``HF_HUB_DISABLE_SYMLINKS``): a blob that nothing else
            needs is moved, any other is copied.

    Raises:
        PlacementRefused: a hostile path, a foreign thing in the way, names that this file system cannot tell apart.
        StoreError: a blob is missing, or the file system refused; what this call had made is gone again.
    """
    check_names([each.path for each in chosen], probe_in=repo.blobs)
    check_weight_maps(chosen, lambda file: repo.blob(file.digest))
    snapshot = repo.snapshot(artifact.commit)
    with store_errors(snapshot), ExitStack() as undo:
        pointers = Pointers(repo, artifact.commit, use_symlinks=use_symlinks)
        missing = [each for each in chosen if not pointers.stands(each)]
        if missing:
            fsync_folder(repo.blobs)
            pointers.place(missing, undo)
        _record(repo, artifact, undo)
        if write_ref:
            write_ref_of(repo, artifact, undo.pop_all)
        undo.pop_all()
    return snapshot


def placement_notices(repo: RepoFolder, artifact: Artifact, before: str | None = None) -> tuple[str, ...]:
    """What a user should know about the cache after placement, one line each; reads only.

    ``before`` is what the ref said until then.
    """
    notices = []
    absent = count_absent(artifact, _shown(repo, artifact))
    if absent and repo.tree(artifact.commit).exists():
        notices.append(
            f"huggingface_hub's listing of this commit is in the cache, but {absent} of its files are not: offline, "
            "transformers may not find named chat templates; --format all fetches the rest"
        )
    revision = artifact.reference.revision or DEFAULT_REVISION
    current = ref_of(repo, artifact)
    if current is not None and current != artifact.commit:
        notices.append(f'the cache\'s {revision} stays at {current}: load with revision="{artifact.commit}"')
    return (*notices, *moved_by_lock(repo, artifact, before))


def moved_by_lock(repo: RepoFolder, artifact: Artifact, before: str | None) -> tuple[str, ...]:
    """What to say of a ref that named ``before`` and names the artifact's commit now, if a lock did that."""
    stood = before is None or before.strip() == artifact.commit
    if stood or artifact.authority.kind is not AuthorityKind.LOCK or ref_of(repo, artifact) != artifact.commit:
        return ()
    revision = artifact.reference.revision or DEFAULT_REVISION
    return (f"the cache's {revision} was at {before} and is now where the lock has it, at {artifact.commit}",)


def ref_of(repo: RepoFolder, artifact: Artifact) -> str | None:
    """What the ref of the artifact's revision says; None if there is none, or the revision is a commit."""
    revision = artifact.reference.revision or DEFAULT_REVISION
    return None if is_commit(revision) else read_ref(repo, revision)


def read_ref(repo: RepoFolder, revision: str) -> str | None:
    """What the ref says, exactly; None if there is none that can be read."""
    try:
        return repo.ref(revision).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def count_absent(artifact: Artifact, shown: Callable[[str], Path]) -> int:
    """How many files of the whole listing are not where ``shown`` says, or not with their size."""
    return sum(_size(shown(each.path)) != each.size for each in artifact.files)


def may_record(artifact: Artifact) -> bool:
    """True if the listing is whole and its authority one whose word loaders may be given as a fact."""
    return artifact.complete and artifact.authority.authenticated and artifact.authority.kind in _RECORDING


def record_tree(tree: Path, artifact: Artifact, shown: Callable[[str], Path], *, stage_in: Path) -> bool:
    """Write the whole listing to ``tree`` if every file of it is shown; True if it was written.

    Beside a folder that lacks a file, loaders would lose named chat templates offline. ``OSError`` if it
    cannot be written.
    """
    if not may_record(artifact) or tree.exists() or count_absent(artifact, shown):
        return False
    tree.parent.mkdir(exist_ok=True)
    put_file(tree, encode_tree(artifact.files), stage_in=stage_in)
    return True


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _shown(repo: RepoFolder, artifact: Artifact) -> Callable[[str], Path]:
    return lambda path: repo.pointer(artifact.commit, path)


def _record(repo: RepoFolder, artifact: Artifact, undo: ExitStack) -> None:
    if not may_record(artifact):
        return
    # Records only spare later requests: huggingface_hub too goes on without them, and where the disk is
    # full or read-only the ref that follows is what fails loudly.
    with suppress(OSError):
        tree = repo.tree(artifact.commit)
        if record_tree(tree, artifact, _shown(repo, artifact), stage_in=repo.blobs):
            undo.callback(tree.unlink, missing_ok=True)
    with suppress(OSError):
        for path in absent_paths(artifact.reference.repo_type, artifact.files):
            _mark_absent(repo.no_exist(artifact.commit, path))


def _mark_absent(marker: Path) -> None:
    if marker.exists():
        return
    marker.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(create_new(marker))


def write_ref_of(repo: RepoFolder, artifact: Artifact, written: Callable[[], object] | None = None) -> None:
    """Let the artifact's revision name its commit, which the cache must hold; ``OSError`` if it cannot be written.

    A 40-hex revision gets no ref. One that exists is moved by a lock, and by the origin if it says now that the
    revision is this commit; never on the word of mirrors or of an earlier run. ``written`` is called when the ref has
    its new text, before that is synced: what it names must then stay, even if the sync fails.
    """
    revision = artifact.reference.revision or DEFAULT_REVISION
    if is_commit(revision):
        return
    current = read_ref(repo, revision)
    if current == artifact.commit:
        return
    moves = current is not None and current.strip() != artifact.commit
    if moves and not (artifact.authority.kind in _RECORDING and artifact.current):
        return
    ref = repo.ref(revision)
    ref.parent.mkdir(parents=True, exist_ok=True)
    put_file(ref, artifact.commit.encode(), stage_in=repo.blobs)  # a newline at the end would break readers
    if written is not None:
        written()
    fsync_folder(ref.parent)
