"""The arguments of ``fetch`` as one value, and what they mean to the parts below.

Decides which argument becomes a setting and which an option of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from chunkdl.api import FetchOptions
    from chunkdl.identify.lockfile import Lock
    from chunkdl.settings import Flags
    from chunkdl.settings.values import ProjectWishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What was typed; names are those of the options, None and empty mean nothing was said."""

    references: tuple[str, ...]
    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    weights_format: str | None = None
    variant: str | None = None
    quant: str | None = None
    mirrors: tuple[str, ...] = ()
    add_mirrors: tuple[str, ...] = ()
    no_mirrors: bool = False
    origin: str | None = None
    trust: Literal["auto", "strict"] | None = None
    offline: bool | None = None
    cache_dir: str | None = None
    local_dir: str | None = None
    force: bool = False
    space_check: bool = True
    allow_unverified: bool = False
    limit_rate: str | None = None
    connections: int | None = None
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    progress: str = "auto"
    locked: str | None = None
    lock: Lock | None = None

    def read(self) -> Wishes:
        """With the lock file that was named, and its references where none was typed.

        Raises:
            UsageError: no reference; a lock file that is none; a selection beside it.
            StoreError: the lock file cannot be read.
        """
        if self.locked is None:
            if not self.references:
                raise UsageError("fetch needs a REF", hint="chunkdl fetch bert-base-uncased, or --locked FILE")
            return self
        typed = (self.weights_format, self.variant, self.quant, *self.include, *self.exclude)
        if any(typed):
            raise UsageError(f"{self.locked} says which files", hint="leave the selection out, or lock anew with it")
        from chunkdl.pipeline.locking import read_lock  # noqa: PLC0415 - imported when a fetch begins

        lock = read_lock(Path(self.locked))
        return replace(self, lock=lock, references=self.references or tuple(each.ref for each in lock.artifacts))

    @property
    def takes_smallest_set(self) -> bool:
        """True if what is left out was left out by rule, not by the user's patterns."""
        return self.weights_format in {None, "auto"} and not (self.include or self.exclude or self.locked)

    def variant_of(self, reference: str) -> str | None:
        """The variant that was asked for, here or when ``reference`` was locked."""
        if self.lock is None:
            return self.variant
        from chunkdl.pipeline.wanted import locked_in  # noqa: PLC0415 - imported when a fetch begins

        return locked_in(self.lock, reference).selection.variant

    def completed(self, project: ProjectWishes) -> Wishes:
        """What was typed, and the project's own wishes where nothing was; a typed selection replaces the project's."""
        if self.lock is not None:
            return self
        completed = replace(
            self,
            revision=self.revision or project.revision,
            variant=self.variant or project.variant,
            quant=self.quant or project.quant,
        )
        if self.include or self.exclude or self.weights_format:
            return completed
        return replace(
            completed, include=project.include, exclude=project.exclude, weights_format=project.format or None
        )

    def flags(self) -> Flags:
        """What concerns settings."""
        from chunkdl.settings import Flags  # noqa: PLC0415 - imported when a fetch begins

        return Flags(
            origin=self.origin,
            mirrors=self.mirrors,
            add_mirrors=self.add_mirrors,
            no_mirrors=self.no_mirrors,
            trust=self.trust,
            cache_dir=Path(self.cache_dir) if self.cache_dir else None,
            local_dir=Path(self.local_dir) if self.local_dir else None,
            offline=self.offline,
        )

    def options(self) -> FetchOptions:
        """What concerns this run alone.

        Raises:
            UsageError: ``--limit-rate`` is no rate.
        """
        from chunkdl.api import FetchOptions  # noqa: PLC0415 - imported when a fetch begins
        from chunkdl.core.bandwidth import parse_rate  # noqa: PLC0415

        return FetchOptions(
            revision=self.revision,
            include=self.include,
            exclude=self.exclude,
            format=self.weights_format or "auto",
            variant=self.variant,
            quant=self.quant,
            force=self.force,
            dry_run=self.dry_run,
            limit_rate_bytes_per_s=parse_rate(self.limit_rate) if self.limit_rate else 0.0,
            connections=self.connections or 0,
            space_check=self.space_check,
            lock=self.lock,
            allow_unverified=self.allow_unverified,
        )
