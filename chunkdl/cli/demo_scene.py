"""Three mirrors of one generated model on loopback, each bad in its own way, and a fetch from all of them.

Decides how bad: the whole takes ten to twenty seconds. Everything happens below one temporary folder:
settings are built here, so that neither the user's caches nor any variable or file of theirs matters.
"""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.model import MIB
from chunkdl.observe import CorruptionFound
from chunkdl.settings import Settings, mirror_at
from chunkdl.testing import MirrorServer, bert_repo, fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.report import Report
    from chunkdl.testing import Fault, HubRepo

REFERENCE = "bert-base-uncased"
WEIGHTS = "model.safetensors"
# At the rates below some ten seconds, repair included: long enough to watch, short enough to try.
WEIGHTS_BYTES = 32 * MIB
# A round trip to the next city, so that requests cost what they cost on a link.
_LATENCY_S = 0.05
_SLOW_BYTES_PER_S = 2 * MIB
_STALLING_BYTES_PER_S = 6 * MIB
_LYING_BYTES_PER_S = 1.5 * MIB
# An answer goes silent after this much, with the connection open: what hangs other downloaders for ever.
_SILENT_AFTER_BYTES = MIB // 2


@dataclass(frozen=True, slots=True)
class Character:
    """One mirror of the scene: its name and what is wrong with it, in words."""

    name: str
    vice: str
    server: MirrorServer


def cast(repo: HubRepo) -> tuple[Character, ...]:
    """The three; the first is the origin, whose listing is believed."""
    silent = fault("stall-after-n-bytes", path=WEIGHTS, where="content", every=4, n=_SILENT_AFTER_BYTES)
    flips = fault("flip-bits", path=WEIGHTS, where="content", every=2)
    return (
        Character("slow", "honest, 2 MiB/s; the origin, whose digests are believed", _server(repo, _SLOW_BYTES_PER_S)),
        Character(
            "stalling", "6 MiB/s, but every fourth answer falls silent", _server(repo, _STALLING_BYTES_PER_S, silent)
        ),
        Character(
            "lying", "1.5 MiB/s, but flips bits in every second answer", _server(repo, _LYING_BYTES_PER_S, flips)
        ),
    )


def _server(repo: HubRepo, rate_bytes_per_s: float, *faults: Fault) -> MirrorServer:
    return MirrorServer([repo], rate_bytes_per_s=rate_bytes_per_s, latency_s=_LATENCY_S, faults=faults)


@dataclass(slots=True)
class Scene:
    """The fetch, and what was seen of it. ``home`` is an empty folder."""

    home: Path
    repo: HubRepo = field(default_factory=lambda: bert_repo(WEIGHTS_BYTES, repo_id=REFERENCE))
    characters: tuple[Character, ...] = field(init=False)
    corruptions: list[CorruptionFound] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Cast the mirrors; they start when the scene is played."""
        self.characters = cast(self.repo)

    async def play(self, observer: Observer) -> Report:
        """Start the mirrors, fetch, stop them."""

        def watch(event: WatchedEvent) -> None:
            if isinstance(event, CorruptionFound):
                self.corruptions.append(event)
            observer(event)

        async with AsyncExitStack() as stack:
            for each in self.characters:
                await stack.enter_async_context(each.server)
                self._names[urlsplit(each.server.url).netloc] = each.name
            return await run_fetch([REFERENCE], FetchOptions(), self.settings(), watch)

    def settings(self) -> Settings:
        """Nothing but this folder and these mirrors."""
        origin, *others = self.characters
        return Settings(
            origin=replace(mirror_at(origin.server.url, is_origin=True), name=origin.name),
            mirrors=tuple(replace(mirror_at(each.server.url), name=each.name) for each in others),
            cache_dir=self.home / "hub",
            state_dir=self.home / "state",
        )

    def caught(self) -> Iterator[str]:
        """A line for each liar that was found out."""
        for each in self.corruptions:
            if each.host is not None and each.repaired:
                who = self._names.get(each.host, each.host)
                yield f"caught: {each.ranges} ranges of {each.path} from {who} were wrong; fetched again elsewhere"

    def is_proven(self, snapshot: Path) -> bool:
        """Hash the placed weights with Python's own sha256 and compare with what the generator says."""
        with (snapshot / WEIGHTS).open("rb") as weights:
            return hashlib.file_digest(weights, "sha256").hexdigest() == self.repo.entries[WEIGHTS].digest
