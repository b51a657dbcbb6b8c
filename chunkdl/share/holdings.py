"""What the cache holds of one reference, with everything that proves it: paths, sizes, digests.

Decides which listing counts: the hub's own tree in the cache, else what the origin once said (our memory),
else the names of the blobs. Makes no request and hashes nothing: ``export`` does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.assemble.cached import cached_snapshot
from chunkdl.assemble.layout import HubCache
from chunkdl.errors import ArtifactNotFound, IntegrityError
from chunkdl.identify.known import Known

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.assemble.layout import RepoFolder
    from chunkdl.identify.known import Earlier
    from chunkdl.model import Reference, RemoteFile
    from chunkdl.settings import Settings


@dataclass(frozen=True, slots=True)
class Holding:
    """One commit in the cache.

    Args:
        reference: what was asked for.
        canonical_id: the hub's own id if the origin once said it, else the reference's.
        commit: what the reference means in this cache.
        files: what is here of it and can be proven.
        complete: nothing is lacking.
        unknown: paths whose digest nobody here knows; they cannot be proven.
        remembered: the origin once said something of this commit. gated: it said so. private: likewise.
        unconfirmed: by whose word it was placed, if the origin never confirmed it.
    """

    reference: Reference
    repo: RepoFolder
    canonical_id: str
    commit: str
    files: tuple[RemoteFile, ...]
    complete: bool
    unknown: tuple[str, ...] = ()
    remembered: bool = False
    gated: bool = False
    private: bool = False
    unconfirmed: str | None = None

    def path_of(self, file: RemoteFile) -> Path:
        """Where its bytes can be read; a link, mostly."""
        return self.repo.pointer(self.commit, file.path)


def look_up(reference: Reference, settings: Settings) -> Holding:
    """What the cache holds of ``reference``; blocking, names and sizes only.

    Raises:
        ArtifactNotFound: nothing of it, or not the file that it names.
        IntegrityError: a file has another size than its listing says.
    """
    repo = HubCache(settings.cache_dir).repo(reference.repo_type, reference.repo_id)
    cached = cached_snapshot(repo, reference.revision)
    if cached is None:
        raise _absent(reference, "is not in the cache")
    earlier, unconfirmed = asyncio.run(_remembered(reference, cached.commit, settings))
    listing = cached.listing if cached.listing is not None else earlier.artifact.files if earlier else None
    listed = {each.path: each for each in (listing if listing is not None else cached.known)}
    held = tuple(listed[path] for path in cached.files if path in listed and _wanted(reference, path))
    if not held:
        raise _absent(reference, "has no file in the cache that could be exported")
    _check_sizes(reference, held, cached)
    return Holding(
        reference,
        repo,
        earlier.artifact.canonical_id if earlier else reference.repo_id,
        cached.commit,
        held,
        complete=listing is not None and len(held) == len(listed),
        unknown=tuple(path for path in cached.files if path not in listed and _wanted(reference, path)),
        remembered=earlier is not None,
        gated=earlier is not None and earlier.gated,
        private=earlier is not None and earlier.private,
        unconfirmed=unconfirmed,
    )


async def _remembered(reference: Reference, commit: str, settings: Settings) -> tuple[Earlier | None, str | None]:
    """What the origin once said about this very commit, and who vouched for it if the origin did not."""
    known = Known.of(settings)
    earlier = await known.last(replace(reference, revision=commit))
    unconfirmed = await known.unconfirmed(reference)
    vouchers = unconfirmed.vouchers if unconfirmed and unconfirmed.commit == commit else None
    return earlier, vouchers


def _wanted(reference: Reference, path: str) -> bool:
    """A reference may name one file, or a folder by its final slash."""
    named = reference.path
    return named is None or path == named or (named.endswith("/") and path.startswith(named))


def _check_sizes(reference: Reference, held: tuple[RemoteFile, ...], cached: CachedSnapshot) -> None:
    for each in held:
        if cached.files[each.path] != each.size:
            raise damaged(reference, each)


def damaged(reference: Reference, file: RemoteFile) -> IntegrityError:
    """The cache's copy of a file is not what its publisher named."""
    return IntegrityError(
        f"{reference.text}: {file.path} in the cache is not {file.digest}",
        hint=f"repair it: chunkdl fetch {reference.text} --force",
        file=file.path,
    )


def _absent(reference: Reference, what: str) -> ArtifactNotFound:
    return ArtifactNotFound(
        f"{reference.text} {what}", hint=f"fetch it first: chunkdl fetch {reference.text} --format all"
    )
