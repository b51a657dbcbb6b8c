"""A reference from what is on this disk: no request, no event loop, and nothing imported that could make one.

Decides when what is here is enough: every file that the selection wants of the recorded listing, or, where
no listing was recorded, of what the cache or the folder shows. A local folder that holds nothing yet, or not
all, is filled from the cache.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.assemble.digests import hash_bytes
from chunkdl.assemble.place import place_small
from chunkdl.core.planner import Action, check_space, make_plan
from chunkdl.errors import ArtifactNotFound, ChunkdlError, OfflineMiss
from chunkdl.identify.known import Known
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, Hub, RemoteFile
from chunkdl.observe import ReferencePlaced, ReferencePlanned
from chunkdl.pipeline.checkpoint_offline import find_checkpoint
from chunkdl.pipeline.destinations import destination_of, hub_of, named_by
from chunkdl.pipeline.outcome import failed, found_offline
from chunkdl.pipeline.wanted import parse_with, revision_of, select_with
from chunkdl.report import Report, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.assemble.destination import Destination
    from chunkdl.core.planner import Plan, PlannedContent
    from chunkdl.core.selection import Selection
    from chunkdl.model import Reference
    from chunkdl.observe import Observer
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.report import ReferenceReport
    from chunkdl.settings import Settings


def fetch_offline(references: Sequence[str], options: FetchOptions, settings: Settings, observer: Observer) -> Report:
    """What this disk holds of ``references``; blocking, a few directory reads unless a folder is to be filled."""
    for notice in settings.notices:
        observer(notice)
    results = tuple(_result(each, options, settings, observer) for each in references)
    for each in results:
        if each.path is not None:
            observer(ReferencePlaced(each.ref, each.path))
    total = sum(file.size for each in results for file in each.files)
    return Report(results, Totals(bytes=total, bytes_reused=total), notices=settings.notices)


def _result(text: str, options: FetchOptions, settings: Settings, observer: Observer) -> ReferenceReport:
    def tell(plan: Plan) -> None:
        if options.dry_run:
            observer(ReferencePlanned(text, plan))

    try:
        reference = parse_with(text, options)
        if reference.hub.names_files:
            return find_checkpoint(text, reference, options, settings, tell)
        return _Lookup(text, reference, options, settings, tell).run()
    except ChunkdlError as error:
        return failed(text, error)


class _Lookup:
    """One reference, sought where it should be and, for a local folder, in the cache."""

    def __init__(
        self, text: str, reference: Reference, options: FetchOptions, settings: Settings, tell: Callable[[Plan], None]
    ) -> None:
        self._text = text
        self._tell = tell
        self._reference = reference
        self._revision = revision_of(reference, options)
        self._options = options
        self._settings = settings

    def run(self) -> ReferenceReport:
        destination = destination_of(self._reference, self._settings)
        cached = destination.cached(self._revision)
        try:
            return self._found(destination, cached)
        except OfflineMiss:
            if self._settings.local_dir is None or self._reference.hub is not Hub.HUGGING_FACE:
                raise
            elsewhere = hub_of(self._reference, self._settings).cached(self._revision)
            if elsewhere is None or (cached is not None and cached.commit != elsewhere.commit):
                raise  # another commit over what the folder holds is the origin's decision
        return self._filled(destination, elsewhere)

    def _found(self, destination: Destination, cached: CachedSnapshot | None) -> ReferenceReport:
        """Raises ``OfflineMiss`` unless everything wanted is there."""
        selection = self._selection(cached)
        assert cached is not None
        path = None
        if self._options.dry_run:
            inventory = destination.inventory(cached.commit, selection.chosen)
            self._tell(make_plan(self._artifact(cached), selection, inventory))
        else:
            path = named_by(self._reference, cached.path)
        return found_offline(self._text, self._reference, cached.commit, selection.chosen, path)

    def _artifact(self, cached: CachedSnapshot) -> Artifact:
        files = self._files(cached)
        authority = Authority(AuthorityKind.LAST_KNOWN, str(self._settings.cache_dir), authenticated=False)
        return Artifact(self._reference, self._reference.repo_id, cached.commit, files, authority)

    def _files(self, cached: CachedSnapshot) -> tuple[RemoteFile, ...]:
        """What there is to choose from: the commit's files, or, where nobody wrote those down, what is shown of it.

        A link says by its blob's name what it shows; of a real file only an earlier fetch of ours may know.
        """
        if cached.listing is not None:
            return cached.listing
        known = {each.path: each for each in cached.known}
        real = [path for path in cached.files if path not in known and not (cached.path / path).is_symlink()]
        listed = Known.of(self._settings).listed(self._reference, cached.commit) if real else ()
        known |= {each.path: each for each in listed if each.path in real and cached.files[each.path] == each.size}
        unnamed = {path: _unnamed(cached, path) for path in real if path not in known}
        return tuple(file for _, file in sorted((known | unnamed).items()))

    def _selection(self, cached: CachedSnapshot | None) -> Selection:
        if cached is None:
            where = "the folder" if self._settings.local_dir is not None else "the cache"
            raise self._miss(f"it is not in {where}")
        try:
            selection = select_with(self._reference, self._files(cached), self._options)
        except ArtifactNotFound as error:
            raise self._miss(error.message) from error
        missing = cached.missing(selection.chosen)
        if missing:
            raise self._miss(f"{cached.path} lacks {len(missing)} files of it ({missing[0]})")
        return selection

    def _filled(self, destination: Destination, cached: CachedSnapshot) -> ReferenceReport:
        """Copied from the cache, hashed on the way, and placed as a fetch would."""
        selection, reference, artifact = self._selection(cached), self._reference, self._artifact(cached)
        inventory = destination.inventory(cached.commit, selection.chosen)
        plan = make_plan(artifact, selection, inventory)
        self._tell(plan)
        if self._options.space_check:
            check_space(plan.disk_needed, inventory.free_bytes, where=str(destination.root))
        path = None
        if not self._options.dry_run:
            destination.prepare()
            for each in plan.contents:
                self._take(destination, each)
            path = named_by(reference, destination.place(artifact, selection.chosen))
        return found_offline(self._text, reference, cached.commit, selection.chosen, path)

    def _take(self, destination: Destination, content: PlannedContent) -> None:
        if content.action is Action.PRESENT:
            return
        if content.digest.algorithm is DigestAlgorithm.UNPROVEN:
            raise self._miss(f"nothing says what the cache's {content.paths[0]} must be")
        empty = hash_bytes(b"", content.digest) if content.action is Action.EMPTY else None
        if empty is not None:
            place_small(b"", empty, destination.paths_of(content).blob)
        elif not any(destination.reuse(Path(source), content) for source in content.reuse_from):
            raise self._miss(f"the cache's {content.paths[0]} is damaged or gone")

    def _miss(self, what: str) -> OfflineMiss:
        because = self._settings.offline_because or "--offline"
        return OfflineMiss(
            f"{self._reference.repo_id}: {what}, and {because} forbids asking anybody",
            hint=f"pass --online, or unset {because}" if because != "--offline" else "run it once without --offline",
        )


def _unnamed(cached: CachedSnapshot, path: str) -> RemoteFile:
    """A real file that only its place speaks for: as good as a load from there, and no digest of anything."""
    name = hashlib.sha256(f"{cached.commit}/{path}".encode()).hexdigest()
    return RemoteFile(path, cached.files[path], Digest(DigestAlgorithm.UNPROVEN, name))
