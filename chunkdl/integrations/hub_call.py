"""One call of huggingface_hub's download functions, carried out by the engine with the meaning that theirs has.

Decides what their keywords mean here, when the cache may answer for a hub that does not, and what is returned.
The rules are those of ``snapshot_download`` and ``hf_hub_download`` in huggingface_hub 2.4.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from chunkdl.api import FetchFailed, FetchOptions, completed, result_of, shared_fetch
from chunkdl.errors import ArtifactNotFound, OfflineMiss
from chunkdl.identify.references import parse_reference
from chunkdl.integrations.hub_bars import Bar
from chunkdl.model import RepoType, is_commit
from chunkdl.pipeline.destinations import destination_of, hub_of, named_by
from chunkdl.settings.called import SourceOptions
from chunkdl.settings.registry import known_mirror

if TYPE_CHECKING:
    from chunkdl.api import FetchResult
    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.model import Reference
    from chunkdl.settings import Settings

_log = logging.getLogger("chunkdl.integrations.huggingface_hub")
_BEARER = "bearer "
_TRANSPORT_EXIT_CODE = 4
# The default of huggingface_hub's etag_timeout: whoever says another number wishes one.
ETAG_TIMEOUT_S = 10
# The default of its max_workers: the same.
MAX_WORKERS = 8
_MOST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCall:
    """Keywords as huggingface_hub describes them; ``filename`` None means the whole snapshot."""

    repo_id: str
    filename: str | None = None
    repo_type: str | None = None
    revision: str | None = None
    cache_dir: str | Path | None = None
    local_dir: str | Path | None = None
    etag_timeout: float = ETAG_TIMEOUT_S
    force_download: bool = False
    token: bool | str | None = None
    local_files_only: bool = False
    allow_patterns: tuple[str, ...] | None = None
    ignore_patterns: tuple[str, ...] = ()
    max_workers: int = MAX_WORKERS
    tqdm_class: type[Any] | None = None
    headers: dict[str, str] | None = None
    endpoint: str | None = None
    dry_run: bool = False

    def settings(self) -> Settings:
        """Where from and where to."""
        environ = dict(os.environ)
        origin = self.endpoint
        if origin and known_mirror(origin):  # a public mirror: asked for bytes, as in HF_ENDPOINT
            environ["HF_ENDPOINT"], origin = origin, None
        token = self._bearer() if self.token is None else self.token
        called = SourceOptions(origin=origin, token=token, cache_dir=_resolved(self.cache_dir))
        settings = called.settings(environ)
        if self.etag_timeout != ETAG_TIMEOUT_S:
            settings = replace(settings, answer_s=max(settings.answer_s, float(self.etag_timeout)))
        return replace(settings, local_dir=_resolved(self.local_dir))

    def _bearer(self) -> str | None:
        """A token that was given as a header. Other headers are for the stock client's servers, not for mirrors."""
        given = {name.lower(): value for name, value in (self.headers or {}).items()}
        token = given.pop("authorization", "")
        if given:
            _log.warning("chunkdl sends none of these headers: %s", ", ".join(sorted(given)))
        return token[len(_BEARER) :] if token.lower().startswith(_BEARER) else None

    def reference(self) -> Reference:
        """What is asked for; ``ReferenceInvalid`` if it cannot be a repository or a path in one."""
        return parse_reference(self.text())

    def text(self) -> str:
        """The reference as chunkdl spells it."""
        kind = RepoType(self.repo_type or "model")
        revision = self.revision or "main"
        at = revision if revision.startswith("refs/") else quote(revision, safe="")
        return f"hf://{kind.url_prefix}{self.repo_id}@{at}{f'/{self.filename}' if self.filename else ''}"

    def options(self) -> FetchOptions:
        """All files unless patterns say otherwise."""
        workers = max(1, min(self.max_workers, _MOST_CONNECTIONS))
        return FetchOptions(
            include=self.allow_patterns or (),
            exclude=self.ignore_patterns,
            format="all",
            may_miss=True,
            force=self.force_download,
            dry_run=self.dry_run,
            connections=0 if self.max_workers == MAX_WORKERS else workers,
        )

    # -- what is here ------------------------------------------------------------------------------

    def found_here(self, settings: Settings) -> str:
        """The path without asking anybody.

        Raises:
            OfflineMiss: it is not here, or, as far as the listing is known, not all of it; ``file`` names the folder.
        """
        reference = self.reference()
        for destination in (destination_of(reference, settings), hub_of(reference, settings)):
            cached = destination.cached(reference.revision)
            if cached is not None:
                return self._in(cached, reference)
            if settings.local_dir is None:
                break
            if self.filename is None and settings.local_dir.is_dir() and any(settings.local_dir.iterdir()):
                return str(settings.local_dir)
        raise OfflineMiss(f"{self.repo_id} is not in the cache, and nobody may be asked")

    def _in(self, cached: CachedSnapshot, reference: Reference) -> str:
        if self.filename is not None:
            if self.filename not in cached.files:
                raise OfflineMiss(f"{self.filename} of {self.repo_id} is not in the cache, and nobody may be asked")
            return str(named_by(reference, cached.path))
        wanted = [each for each in cached.listing or () if self._matches(each.path)]
        missing = cached.missing(wanted)
        if missing:
            message = f"{cached.path} lacks {len(missing)} files of {self.repo_id} ({missing[0]})"
            raise OfflineMiss(message, file=str(cached.path))
        return str(cached.path)

    def _matches(self, path: str) -> bool:
        allowed = self.allow_patterns is None or any(_fits(path, each) for each in self.allow_patterns)
        return allowed and not any(_fits(path, each) for each in self.ignore_patterns)

    # -- what is not -------------------------------------------------------------------------------

    def pinned_here(self, settings: Settings) -> str | None:
        """A file of a commit that is here needs no question: commits do not change."""
        if self.filename is None or self.force_download or self.dry_run or not is_commit(self.revision or ""):
            return None
        try:
            return self.found_here(settings)
        except OfflineMiss:
            return None

    def fetched(self, settings: Settings) -> FetchResult:
        """Fetch it, showing a bar if one is wanted; raises ``FetchFailed``."""
        options, text = self.options(), self.text()
        bar = Bar(self.tqdm_class, self.filename or self.repo_id, wanted=settings.progress != "none")
        try:
            return result_of(completed(lambda: shared_fetch(text, options, settings, bar.watch)))
        finally:
            bar.close()

    def instead(self, failed: FetchFailed, settings: Settings) -> str | None:
        """What may stand for a fetch that failed: what is here while nobody can be reached; None if nothing may."""
        if failed.exit_code != _TRANSPORT_EXIT_CODE or self.force_download or self.dry_run:
            return None
        try:
            path = self.found_here(settings)
        except OfflineMiss:
            return None
        _log.warning("%s; %s is what the cache holds", failed.message, path)
        return path

    def matches_nothing(self, failed: FetchFailed | None) -> bool:
        """True if a snapshot's patterns left nothing to fetch: a warning to huggingface_hub, no error."""
        if self.filename is not None:
            return False
        if failed is None:
            return self.allow_patterns == ()
        cause = failed.__cause__
        patterned = bool(self.allow_patterns or self.ignore_patterns)
        return patterned and isinstance(cause, ArtifactNotFound) and cause.missing == "file"

    def empty(self, settings: Settings) -> str:
        """The folder that a snapshot without files would have; it is not made. Raises ``FetchFailed``."""
        _log.warning(
            "no files matched allow_patterns=%r, ignore_patterns=%r", self.allow_patterns, self.ignore_patterns
        )
        whole = replace(self, allow_patterns=None, ignore_patterns=(), dry_run=True, tqdm_class=None)
        commit = whole.fetched(settings).commit
        return str(settings.local_dir or hub_of(self.reference(), settings).repo.snapshot(commit))


def _resolved(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder).expanduser().resolve()


def _fits(path: str, pattern: str) -> bool:
    pattern = pattern.replace("\\", "/")
    return fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern)
