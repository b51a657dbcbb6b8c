"""The whole examination: look at everything, within a limit, then judge.

Decides what is looked at when: nothing is asked of anybody while offline. The report is a value; printing it
is the command's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.assemble.cached import cached_snapshot
from chunkdl.assemble.layout import HubCache
from chunkdl.caches.checkpoints import scan_torch
from chunkdl.caches.scanning import scan_partials
from chunkdl.doctor.judge_network import judge_delivery, judge_sources
from chunkdl.doctor.judge_settings import judge_settings, list_settings
from chunkdl.doctor.judge_storage import judge_folder, judge_leftovers
from chunkdl.doctor.network import look_at_sources, probing
from chunkdl.doctor.storage import STORAGE_LIMIT_S, look_at_folder, silent, within
from chunkdl.errors import StoreError
from chunkdl.identify.references import parse_repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkdl.caches.seen import PartialSeen
    from chunkdl.doctor.seen import Finding, FolderSeen, Setting, SourceSeen
    from chunkdl.model import Reference
    from chunkdl.settings import Settings

# Asked about if nobody names a repository: public, small to list, known to every mirror, and no secret.
DEFAULT_REFERENCE = "bert-base-uncased"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, worst first as a fetch would meet it; ``exit_code`` is what that fetch would end with."""

    reference: str
    settings: tuple[Setting, ...] = ()
    sources: tuple[SourceSeen, ...] = ()
    folders: tuple[FolderSeen, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of the first finding in the way."""
        return next((each.exit_code for each in self.findings if each.exit_code), 0)

    def as_json(self) -> dict[str, Any]:
        """The one object of ``--json``: integers are bytes, floats seconds."""
        return {
            "schema": SCHEMA,
            "ok": self.exit_code == 0,
            "exit_code": self.exit_code,
            "reference": self.reference,
            "settings": [asdict(each) for each in self.settings],
            "sources": [asdict(each) for each in self.sources],
            "folders": [asdict(each) for each in self.folders],
            "findings": [asdict(each) for each in self.findings],
            "error": None,
        }


async def examine(
    text: str | None, settings: Settings, environ: Mapping[str, str], wall_clock: Callable[[], float]
) -> Examination:
    """Examine everything; ``text`` is the reference that was typed, None for the usual one.

    Raises:
        ReferenceInvalid: ``text`` names nothing.
    """
    reference = parse_repository(text or DEFAULT_REFERENCE)
    sources: tuple[SourceSeen, ...] = ()
    now, cached = wall_clock(), False
    if settings.offline:
        folders, leftovers = await _look_at_storage(settings)
        cached = bool(await within(STORAGE_LIMIT_S, partial(_is_cached, reference if text else None, settings)))
    else:
        async with probing(settings, environ) as probes:
            looking = look_at_sources(reference, parse_repository(DEFAULT_REFERENCE), settings, probes)
            sources, (folders, leftovers) = await asyncio.gather(looking, _look_at_storage(settings))
    findings = [
        *judge_settings(settings, environ, cached=cached),
        *(judge_sources(sources, strict=settings.trust == "strict", typed=text is not None) if sources else ()),
        *(finding for each in folders for finding in judge_folder(each)),
        *judge_delivery(sources),
        *judge_leftovers(leftovers, str(settings.cache_dir), now),
    ]
    return Examination(reference.text, tuple(list_settings(settings, environ)), sources, folders, tuple(findings))


async def _look_at_storage(settings: Settings) -> tuple[tuple[FolderSeen, ...], tuple[PartialSeen, ...]]:
    cache, state, leftovers = await asyncio.gather(
        _folder("cache", settings.cache_dir, settings),
        _folder("state", settings.state_dir, settings),
        within(STORAGE_LIMIT_S, partial(_leftovers, settings)),
    )
    return (cache, state), leftovers or ()


async def _folder(role: str, path: Path, settings: Settings) -> FolderSeen:
    where = settings.provenance.get(f"{role}_dir", "default")
    seen = await within(STORAGE_LIMIT_S, partial(look_at_folder, role, path, where))
    return seen if seen is not None else silent(role, path, where, STORAGE_LIMIT_S)


def _leftovers(settings: Settings) -> tuple[PartialSeen, ...]:
    """Those of the hub's cache and of torch's folder; where one cannot be read, trying it has said so."""
    found: list[PartialSeen] = []
    with suppress(StoreError):
        found += scan_partials(settings.cache_dir)
    with suppress(StoreError):
        found += scan_torch(settings.torch_dir / "checkpoints")[1]
    return tuple(found)


def _is_cached(reference: Reference | None, settings: Settings) -> bool:
    """Whether the cache holds the reference; or, if none was named, anything at all."""
    if reference is None:
        return any(Path(settings.cache_dir).glob("*--*/snapshots/*/*"))
    repo = HubCache(settings.cache_dir).repo(reference.repo_type, reference.repo_id)
    return cached_snapshot(repo, reference.revision) is not None
