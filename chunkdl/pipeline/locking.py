"""Making and checking lock files: references in, what they mean today out, no byte of content fetched.

Decides that an entry which means the same as before keeps its date, so that locking again changes no byte, and
that a revision which moved over the same contents is no drift.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.core.drift import agree, drift
from chunkdl.disk import replacing, store_errors, write_all
from chunkdl.errors import ChunkdlError, PolicyRefused, UsageError
from chunkdl.identify.checkpoints import checkpoint_of
from chunkdl.identify.lockfile import (
    MAX_LOCK_BYTES,
    Lock,
    LockedArtifact,
    LockedSelection,
    decode_lock,
    encode_lock,
)
from chunkdl.model import AuthorityKind
from chunkdl.observe import Notice
from chunkdl.pipeline.askers import authority_asker
from chunkdl.pipeline.options import FetchOptions
from chunkdl.pipeline.session import opened
from chunkdl.pipeline.wanted import parse_with, select_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chunkdl.core.drift import Drift
    from chunkdl.identify.authority import Identified
    from chunkdl.model import Artifact, Reference
    from chunkdl.observe import Observer
    from chunkdl.pipeline.session import Session
    from chunkdl.settings import Settings


@dataclass(frozen=True, slots=True)
class Compared:
    """One entry against today: ``now`` is what it means today, or ``error`` why that is not known."""

    locked: LockedArtifact
    now: LockedArtifact | None
    drift: Drift | None = None
    error: ChunkdlError | None = None

    @property
    def moved(self) -> bool:
        """True if the revision names another commit, whatever that holds."""
        return self.now is not None and self.now.commit != self.locked.commit


def read_lock(path: Path) -> Lock:
    """The lock file at ``path``.

    Raises:
        UsageError: there is none, it is cut off, edited, or of a newer version.
        StoreError: it cannot be read.
    """
    with store_errors(path):
        try:
            data = path.read_bytes() if path.stat().st_size <= MAX_LOCK_BYTES else b""
        except (FileNotFoundError, NotADirectoryError):
            hint = f"make it: chunkdl lock REF -o {path}"
            raise UsageError(f"{path}: no such lock file", hint=hint) from None
    return decode_lock(data.decode(errors="replace"), str(path))


def write_lock(path: Path, lock: Lock) -> bool:
    """Write ``lock`` unless ``path`` holds exactly that; True if it was written. Raises ``StoreError``."""
    data = encode_lock(lock).encode()
    with store_errors(path):
        if path.exists() and path.read_bytes() == data:
            return False
        with replacing(path) as fd:
            write_all(fd, data, 0)
    return True


async def lock_references(
    references: Sequence[str], options: FetchOptions, settings: Settings, observer: Observer, before: Lock
) -> Lock:
    """What each reference means now, with its files as ``options`` select them, in the order given.

    ``before`` is the lock that stands: its other entries stay, behind.

    Raises:
        ChunkdlError: the first reference that cannot be locked.
    """
    async with opened(settings, options, observer) as session:
        found = [await _locked_or_error(each, session) for each in references]
    locked = [_undated(_raised(each), before.of(text)) for text, each in zip(references, found, strict=True)]
    again = {each.ref for each in locked}
    return Lock((*locked, *(each for each in before.artifacts if each.ref not in again)))


async def compare_lock(lock: Lock, settings: Settings, observer: Observer) -> list[Compared]:
    """Each entry of ``lock`` against what it means now; one that cannot be asked about is an error of its own."""
    async with opened(settings, FetchOptions(), observer) as session:
        return [await _compare(each, session) for each in lock.artifacts]


async def _locked_or_error(text: str, session: Session) -> LockedArtifact | ChunkdlError:
    """An error as a value: raised inside the session it would come out as a group."""
    try:
        return await _lock(text, session)
    except ChunkdlError as error:
        return error


def _raised(found: LockedArtifact | ChunkdlError) -> LockedArtifact:
    if isinstance(found, ChunkdlError):
        raise found
    return found


async def _compare(locked: LockedArtifact, session: Session) -> Compared:
    chosen = locked.selection
    options = FetchOptions(
        locked.reference.revision, chosen.include, chosen.exclude, chosen.format, chosen.variant, chosen.quant
    )
    now = await _locked_or_error(locked.ref, session.view(session.settings, options, session.observer))
    if isinstance(now, ChunkdlError):
        return Compared(locked, None, error=now)
    return Compared(locked, now, drift(locked.files, now.files))


async def _lock(text: str, session: Session) -> LockedArtifact:
    options = session.options
    reference = parse_with(text, options)
    asker = authority_asker(reference, session)
    try:
        identified = await asker.identify(frozenset())
    except PolicyRefused as error:
        if reference.hub.names_files and error.hint:
            error.hint = _UNKNOWN_DIGEST
        raise
    for notice in identified.notices:
        session.notice(notice)
    if reference.hub.names_files:
        return _locked_file(text, reference, identified, session)
    artifact = identified.artifact
    selection = select_with(reference, artifact.files, options)
    earlier = await asker.known.last(reference)
    return LockedArtifact(
        text,
        reference,
        artifact.canonical_id,
        artifact.commit,
        artifact.authority.name,
        artifact.authority.authenticated,
        _dated(artifact),
        LockedSelection(options.format, options.variant, options.quant, options.include, options.exclude),
        tuple(sorted(selection.chosen, key=lambda each: each.path)),
        len(selection.left_out),
        public=_is_public(identified) if earlier is None else not (earlier.private or earlier.gated),
    )


_UNKNOWN_DIGEST = (
    "add #sha256=HEX if its publisher names it; or chunkdl fetch it once with --allow-unverified, and lock what came"
)


def _locked_file(text: str, reference: Reference, identified: Identified, session: Session) -> LockedArtifact:
    """A file by torch's name or its address, with as much of its digest as is known."""
    checkpoint, artifact = checkpoint_of(reference), identified.artifact
    (file,) = artifact.files
    if not file.digest.names_content:
        digits = f"the first {len(file.digest.hex)} digits of its sha256"
        message = f"{file.path}: nobody names more than {digits}: fetch it, lock it again, and the whole is fixed"
        session.notice(Notice("prefix", message))
    if "?" in checkpoint.url:
        message = f"{file.path}: the lock holds its address with what follows the question mark: is that a secret?"
        session.notice(Notice("query", message))
    return LockedArtifact(
        text,
        replace(reference, path=file.path, url=reference.url or checkpoint.url),
        checkpoint.title,
        "",
        artifact.authority.name,
        artifact.authority.authenticated,
        _dated(artifact),
        LockedSelection(),
        (file,),
        public=not session.settings.is_private(checkpoint.title),
    )


def _dated(artifact: Artifact) -> float:
    return float(int(artifact.authority.as_of or time.time()))


def _is_public(identified: Identified) -> bool:
    """Whatever mirrors vouched for they show to everybody."""
    return identified.artifact.authority.kind is AuthorityKind.MIRRORS


def _undated(now: LockedArtifact, before: LockedArtifact | None) -> LockedArtifact:
    """With the date of before if nothing else differs; a whole digest is never given up for digits that agree."""
    if before is None:
        return now
    if before.reference.hub.names_files and before.reference == now.reference:
        ((old,), (new,)) = before.files, now.files
        return before if agree(old, new) and len(old.digest.hex) >= len(new.digest.hex) else now
    return before if replace(now, locked_at=before.locked_at) == before else now


def first_error(compared: Sequence[Compared]) -> ChunkdlError | None:
    """Of an entry that could not be compared, the first."""
    return next((each.error for each in compared if each.error is not None), None)
