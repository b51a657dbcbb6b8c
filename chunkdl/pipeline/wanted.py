"""What the options of a run make of a reference and of a listing: the same online and offline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.core.selection import select
from chunkdl.errors import UsageError
from chunkdl.identify.references import parse_reference
from chunkdl.model import RepoType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.core.selection import Selection
    from chunkdl.model import Reference, RemoteFile
    from chunkdl.pipeline.options import FetchOptions


def parse_with(text: str, options: FetchOptions) -> Reference:
    """The reference that ``text`` and ``--revision`` name together.

    Raises:
        ReferenceInvalid: ``text`` names nothing.
        UsageError: both name a revision, and not the same.
    """
    reference = parse_reference(text)
    if options.revision is None:
        return reference
    if reference.revision not in {None, options.revision}:
        raise UsageError(
            f"{text} names revision {reference.revision}, --revision says {options.revision}", hint="keep one of them"
        )
    return replace(reference, revision=options.revision)


def select_with(reference: Reference, files: Sequence[RemoteFile], options: FetchOptions) -> Selection:
    """Which files of a listing are wanted; the rules about weights are for models only.

    Raises:
        ArtifactNotFound: a pattern, variant or quantisation matches nothing.
    """
    return select(
        files,
        format=options.format if reference.repo_type is RepoType.MODEL else "all",
        variant=options.variant,
        quant=options.quant,
        include=options.include,
        exclude=options.exclude,
        path=reference.path,
    )
