"""What the options of a run make of a reference and of a listing: the same online and offline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.core.selection import Selection, found_among, select
from chunkdl.errors import PolicyRefused, UsageError
from chunkdl.identify.references import parse_reference
from chunkdl.model import RepoType
from chunkdl.spelling import spell_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.identify.lockfile import Lock, LockedArtifact
    from chunkdl.model import Reference, RemoteFile
    from chunkdl.pipeline.options import FetchOptions


def parse_with(text: str, options: FetchOptions) -> Reference:
    """The reference that ``text`` and ``--revision`` name together.

    Raises:
        ReferenceInvalid: ``text`` names nothing.
        UsageError: both name a revision, and not the same; or there are none; or the lock does not have it.
        PolicyRefused: the lock has it at another revision.
    """
    if options.lock is not None:
        return _locked_reference(options.lock, text, options.revision)
    reference = parse_reference(text)
    if options.revision is None:
        return reference
    if reference.hub.names_files:
        what = spell_reference(text)
        raise UsageError(f"{what} has no revisions, and {options.revision} is asked for", hint="leave --revision out")
    if reference.revision not in {None, options.revision}:
        raise UsageError(
            f"{spell_reference(text)} names revision {reference.revision}, --revision says {options.revision}",
            hint="keep one of them",
        )
    return replace(reference, revision=options.revision)


def _locked_reference(lock: Lock, text: str, revision: str | None) -> Reference:
    locked = locked_in(lock, text)
    typed = revision or (parse_reference(text).revision if text != locked.ref else locked.reference.revision)
    if typed not in {None, locked.reference.revision, locked.commit}:
        held = locked.reference.revision or "the default revision"
        raise PolicyRefused(
            f"{spell_reference(text)}: {lock.where} fixes {held} at {locked.commit}, not {typed}",
            hint="leave the revision out, or lock that one",
        )
    return replace(locked.reference, text=text)


def locked_in(lock: Lock, text: str) -> LockedArtifact:
    """The entry of a reference.

    Raises:
        UsageError: there is none; the message lists what there is.
    """
    locked = lock.of(text) or lock.like(parse_reference(text))
    if locked is None:
        there = ", ".join(spell_reference(each.ref) for each in lock.artifacts[:8]) or "nothing"
        what = spell_reference(text)
        raise UsageError(f"{what} is not in {lock.where}, which has {there}", hint=f"chunkdl lock {what}")
    return locked


def revision_of(reference: Reference, options: FetchOptions) -> str | None:
    """Which revision to look for on this disk: a lock's commit, whatever a branch of that name says by now."""
    return reference.revision if options.lock is None else locked_in(options.lock, reference.text).commit


def select_with(reference: Reference, files: Sequence[RemoteFile], options: FetchOptions) -> Selection:
    """Which files of a listing are wanted; the rules about weights are for models only.

    Raises:
        ArtifactNotFound: a pattern, variant or quantisation matches nothing.
    """
    if options.lock is not None:
        return Selection(locked_in(options.lock, reference.text).files)
    return select(
        files,
        format="all" if reference.hub.names_files or reference.repo_type is not RepoType.MODEL else options.format,
        variant=options.variant,
        quant=options.quant,
        include=_patterns(files, options),
        exclude=options.exclude,
        path=reference.path,
    )


def _patterns(files: Sequence[RemoteFile], options: FetchOptions) -> tuple[str, ...]:
    found = found_among(options.include, files) if options.may_miss else options.include
    return found or options.include  # if none matches, the selection says so
