"""Lay out what a cache holds as a mirror folder: prove every file, then give it a second name there.

Decides the order in which names appear: contents, documents, record, nginx's configuration; so that a
server never offers what is not there yet, and a stopped export leaves an older offer whole. Makes no request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chunkdl.assemble.digests import hash_file
from chunkdl.assemble.staging import staging
from chunkdl.disk import Means, fsync_folder, replace, replacing, store_errors, write_all, write_atomically
from chunkdl.errors import PolicyRefused, UsageError
from chunkdl.identify.references import parse_repository
from chunkdl.model import is_commit
from chunkdl.second_name import link_or_copy
from chunkdl.share import documents, hub_json
from chunkdl.share.folder import MARKER
from chunkdl.share.holdings import Holding, damaged, look_up
from chunkdl.share.nginx import render
from chunkdl.share.offer import DEFAULT_REVISION, OfferedCommit, OfferedRepo, encode_repo
from chunkdl.spelling import spell_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chunkdl.model import RemoteFile
    from chunkdl.settings import Settings
    from chunkdl.share.folder import MirrorFolder


@dataclass(frozen=True, slots=True)
class Exported:
    """One reference as it is offered now. ``bytes_copied`` of ``bytes`` took space; the rest are links."""

    reference: str
    repo_id: str
    commit: str
    files: int
    bytes: int
    bytes_copied: int
    complete: bool
    notices: tuple[str, ...] = ()


def prepare(folder: MirrorFolder, settings: Settings) -> None:
    """Make the folder, or take one that an earlier export made.

    Raises:
        UsageError: it lies in the cache, or holds something else already.
        StoreError: it cannot be made.
    """
    root = folder.root.resolve()
    if root.is_relative_to(settings.cache_dir.resolve()):
        raise UsageError(f"{folder.root} lies inside the cache, where other programs would trip over it")
    with store_errors(folder.root):
        if not folder.marker.is_file() and folder.root.exists() and any(folder.root.iterdir()):
            raise UsageError(f"{folder.root} holds something else", hint="name a new or empty folder")
        for each in (folder.root, folder.blobs, folder.records, folder.scratch):
            each.mkdir(parents=True, exist_ok=True)
        if not folder.marker.exists():
            write_atomically(folder.marker, MARKER)


def export(
    text: str,
    folder: MirrorFolder,
    settings: Settings,
    *,
    restricted: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> Exported:
    """Offer one reference in ``folder``, which is prepared. Blocking: every byte is hashed.

    Args:
        text: as typed.
        folder: where to.
        settings: which cache and which memory.
        restricted: True exports what the origin called gated or private, too.
        on_bytes: told of each step's bytes; may raise to stop.

    Raises:
        ReferenceInvalid, ArtifactNotFound: nothing to export.
        IntegrityError: a file of the cache is not what its publisher named; nothing of the reference is offered.
        PolicyRefused: gated or private.
        StoreError: the disk.
    """
    holding = look_up(parse_repository(text), settings)
    if (holding.gated or holding.private) and not restricted:
        raise _not_for_everybody(holding)
    copied = _prove_and_store(holding, folder, on_bytes)
    offered = _offered(holding, folder)
    with store_errors(folder.root):
        _write_documents(offered, holding.commit, folder)
        write_atomically(folder.record(offered.repo_type, offered.repo_id), encode_repo(offered))
        for name in offered.names:
            folder.record(offered.repo_type, name).unlink(missing_ok=True)  # joined into the record just written
        fsync_folder(folder.records)
    size = sum(each.size for each in holding.files)
    return Exported(
        text,
        offered.repo_id,
        holding.commit,
        len(holding.files),
        size,
        copied,
        holding.complete,
        tuple(_notices(holding, restricted=restricted)),
    )


def write_config(folder: MirrorFolder, listen: str) -> str:
    """Write nginx's configuration for everything that is offered in ``folder``; returns its text."""
    text = render(folder.read(), listen=listen)
    with store_errors(folder.config):
        write_atomically(folder.config, text.encode())
    return text


def _prove_and_store(holding: Holding, folder: MirrorFolder, on_bytes: Callable[[int], None] | None) -> int:
    """Returns how many bytes had to be copied because the cache lies elsewhere."""
    copied = 0
    for digest, file in {each.digest: each for each in holding.files}.items():
        blob = folder.blob(digest)
        with store_errors(blob, file.path):
            if blob.exists() and hash_file(blob, digest, file.size, on_bytes):
                continue
            means = _store(holding, file, blob, on_bytes)
        copied += file.size if means is Means.COPIED else 0
    with store_errors(folder.blobs):
        fsync_folder(folder.blobs)
    return copied


def _store(holding: Holding, file: RemoteFile, blob: Path, on_bytes: Callable[[int], None] | None) -> Means:
    """Link or copy first and hash what will stand there: the bytes proven are the bytes served."""
    with staging(blob.parent) as new:
        means = link_or_copy(holding.path_of(file), new)
        if not hash_file(new, file.digest, file.size, on_bytes):
            raise damaged(holding.reference, file)
        replace(new, blob)
    return means


def _offered(holding: Holding, folder: MirrorFolder) -> OfferedRepo:
    """This holding, joined with what was offered of the same repository before, under either of its ids."""
    reference = holding.reference
    revision = reference.revision or DEFAULT_REVISION
    now = OfferedRepo(
        reference.repo_type,
        holding.canonical_id,
        tuple({reference.repo_id} - {holding.canonical_id}),
        MappingProxyType({} if is_commit(revision) else {revision: holding.commit}),
        MappingProxyType({holding.commit: OfferedCommit(holding.commit, holding.files, complete=holding.complete)}),
        gated=holding.gated,
        private=holding.private,
    )
    for repo_id in now.ids:
        earlier = folder.find(reference.repo_type, repo_id)
        now = earlier.joined(now) if earlier else now
    return now


def _write_documents(repo: OfferedRepo, commit: str, folder: MirrorFolder) -> None:
    """The hub's own JSON, for nginx: about what is new, and under an id that is new about all the rest too."""
    found: list[tuple[str, Any]] = [(documents.REFS, hub_json.refs(repo))]
    for each in repo.commits.values():
        if each.commit == commit or not folder.document(repo, documents.last_name(each.commit)).exists():
            found += documents.of_commit(repo, each)
    for name, value in found:
        path = folder.document(repo, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync=False) as fd:  # a listing that a power cut spoils is made anew by any export
            write_all(fd, json.dumps(value).encode(), 0)


def _not_for_everybody(holding: Holding) -> PolicyRefused:
    kind = "gated" if holding.gated else "private"
    return PolicyRefused(
        f"{holding.reference.repo_id} is {kind}: a mirror would hand it to everybody who can reach it",
        hint="pass --restricted if everybody there may have it",
    )


def _notices(holding: Holding, *, restricted: bool) -> Iterator[str]:
    name = holding.reference.text
    if holding.unknown:
        first = holding.unknown[0]
        yield f"{name}: {spell_count(len(holding.unknown), 'file')} without a known digest left out ({first})"
    if not holding.complete:
        yield (
            f"{name}: only what the cache holds is offered, {spell_count(len(holding.files), 'file')}, as if it were "
            f"all of the commit; for the whole: chunkdl fetch {name} --format all"
        )
    if not (holding.remembered or restricted):
        yield (
            f"{name}: whether it is gated or private is not known here, and the mirror hands it to everybody who can "
            f"reach it; chunkdl fetch {name} asks the origin"
        )
    if holding.unconfirmed:
        yield f"{name}: placed on the word of {holding.unconfirmed}, which the origin has not confirmed"
