"""``mirrors test``: what every mirror holds and how it delivers, in several rounds, within a budget.

Decides the order of measuring: one mirror at a time, so that none takes the link from another, in rounds that begin
with another mirror each, so that a bad moment hits nobody twice. Bytes and seconds are bounded beforehand.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from chunkdl.errors import AuthorityUnreachable
from chunkdl.identify.authority import identify
from chunkdl.identify.sources import MirrorCoverage, source_of
from chunkdl.mirrors.holding import Holding
from chunkdl.mirrors.inquiry import inquire
from chunkdl.mirrors.measures import Trial, count_wrong
from chunkdl.mirrors.probe import Probe, Subject, spread
from chunkdl.model import MIB, Artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from chunkdl.identify.authority import Identified
    from chunkdl.identify.huggingface import MetadataClient
    from chunkdl.identify.known import Known
    from chunkdl.mirrors.measures import Sample
    from chunkdl.mirrors.probe import BodyClient
    from chunkdl.model import ByteRange, Mirror, Reference
    from chunkdl.observe import Notice
    from chunkdl.settings import Settings

    class Client(MetadataClient, BodyClient, Protocol):
        """The part of ``HttpClient`` that an evaluation needs."""


# Of a round's bytes, those over one connection: it takes as long as several do with the rest.
_SINGLE_SHARE = 1 / 3
# Of the time, what asking for names and listings may take; the rest is for measuring.
_ASKING_SHARE = 0.5
_MAX_ASKED_AT_ONCE = 8
# Share of the artifact's bytes from which the largest proven file is a fair sample.
_WORTH_TIMING = 0.05


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an evaluation may cost, all mirrors together: rounds, bytes of content, seconds, connections at once."""

    rounds: int = 3
    max_bytes: int = 64 * MIB
    max_time_s: float = 120.0
    connections: int = 4


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found out. ``modified`` is what the authority says of the first reference's revision, or empty."""

    trials: tuple[Trial, ...]
    modified: str = ""
    authority: str = ""
    notices: tuple[Notice, ...] = ()
    bytes: int = 0
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an evaluation works with: ``clock`` is monotonic, ``now`` the wall clock at its start, ``rng`` in [0, 1)."""

    settings: Settings
    client: Client
    known: Known
    bounds: Bounds
    clock: Callable[[], float]
    now: float
    rng: Callable[[], float]
    on_step: Callable[[str], None] = lambda _: None


async def evaluate(references: Sequence[Reference], about: Circumstances) -> Evaluation:
    """Measure every source of the settings with ``references``.

    Raises:
        ArtifactNotFound, AccessDenied: the origin says that a reference is not there or not yours.
    """
    began = about.clock()
    asking_s = about.bounds.max_time_s * _ASKING_SHARE
    named = [await _identified(each, about, asking_s / len(references)) for each in references]
    holdings = await _all_holdings(references, named, about, began + asking_s)
    subjects = {name: _subjects(held, named) for name, held in holdings.items()}
    run = _Rounds(about, began + about.bounds.max_time_s)
    samples = await run.measure({name: found for name, found in subjects.items() if found})
    trials = [Trial(each, holdings[each.name], tuple(samples.get(each.name, ()))) for each in about.settings.sources]
    first = next((each for each in named if each is not None), None)
    return Evaluation(
        _cross_checked(trials),
        _modified(trials, first),
        first.artifact.authority.name if first else "",
        tuple(dict.fromkeys(notice for each in named if each for notice in each.notices)),
        sum(sample.bytes for each in trials for sample in each.samples),
        about.clock() - began,
    )


async def _identified(reference: Reference, about: Circumstances, limit_s: float) -> Identified | None:
    """What the reference is; None if nobody who may be believed answers, which is a result here."""
    about.on_step(f"asking what {reference.text} is")
    try:
        async with asyncio.timeout(limit_s):
            return await identify(
                reference, settings=about.settings, client=about.client, known=about.known, now=about.now
            )
    except (AuthorityUnreachable, TimeoutError):
        return None


async def _all_holdings(
    references: Sequence[Reference], named: Sequence[Identified | None], about: Circumstances, until: float
) -> dict[str, tuple[Holding, ...]]:
    about.on_step("asking every mirror what it holds")
    places = asyncio.Semaphore(_MAX_ASKED_AT_ONCE)

    async def bounded(work: Coroutine[object, object, Holding], text: str) -> Holding:
        try:
            async with asyncio.timeout(max(0.0, until - about.clock())), places:
                return await work
        except TimeoutError:
            return Holding(text, note="no complete answer in time")
        finally:
            work.close()

    async def all_of(mirror: Mirror) -> tuple[Holding, ...]:
        asked = zip(references, named, strict=True)
        return tuple([await bounded(_holding(mirror, *each, about), each[0].text) for each in asked])

    sources = about.settings.sources
    found = await asyncio.gather(*(all_of(each) for each in sources))
    return {mirror.name: holdings for mirror, holdings in zip(sources, found, strict=True)}


async def _holding(
    mirror: Mirror, reference: Reference, identified: Identified | None, about: Circumstances
) -> Holding:
    if not _may_hear(mirror, reference, identified, about.settings):
        return Holding(reference.text, note="not asked: the name is private, or the repository is gated")
    artifact = identified.artifact if identified else None
    return await inquire(reference, artifact, mirror, client=about.client, settings=about.settings)


def _may_hear(mirror: Mirror, reference: Reference, identified: Identified | None, settings: Settings) -> bool:
    """Identification knows who may be told a name; if nobody answered, a token may stand for a private one."""
    if mirror.is_origin:
        return True
    if identified is not None:
        if settings.is_private(identified.artifact.canonical_id):  # the name that was typed may be an elder one
            return False
        told = {each.mirror.name for each in identified.sources} | {each.name for each in identified.to_ask}
        return mirror.name in told
    return not settings.is_private(reference.repo_id) and settings.origin.token is None


def _subjects(holdings: Sequence[Holding], named: Sequence[Identified | None]) -> list[Subject]:
    """The largest content of each reference that the mirror proved to hold, or else the largest of its own."""
    found = (
        _subject(held, identified.artifact if identified else None)
        for held, identified in zip(holdings, named, strict=True)
    )
    return [each for each in found if each is not None]


def _subject(held: Holding, artifact: Artifact | None) -> Subject | None:
    story = held.story
    # A mirror that shares a README alone is timed with weights of its own: small files tell nothing about speed.
    proven = held.share >= _WORTH_TIMING or (story is None and held.share > 0)
    if artifact is not None and held.coverage is not None and proven:
        return _largest(held.coverage, artifact)
    if story is None or artifact is None:
        return None
    own = replace(artifact, canonical_id=story.info.canonical_id, commit=story.info.commit, files=story.files)
    return _largest(MirrorCoverage(story.mirror, has_commit=True), own)


def _largest(coverage: MirrorCoverage, artifact: Artifact) -> Subject | None:
    for file in sorted(artifact.files, key=lambda each: -each.size):
        source = source_of(coverage, artifact, file)
        if source is not None and file.size:
            return Subject(source, file.size, str(file.digest))
    return None


class _Rounds:
    """Rounds of samples over several mirrors, until they are done or the time is up."""

    def __init__(self, about: Circumstances, until: float) -> None:
        self._about = about
        self._until = until
        self._probe = Probe(about.client, about.clock)

    async def measure(self, subjects: Mapping[str, Sequence[Subject]]) -> dict[str, list[Sample]]:
        """Samples by mirror: in each round one over one connection and one over several."""
        names = list(subjects)
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        for number in range(self._about.bounds.rounds):
            at = self._about.rng()
            turn = number % max(1, len(names))
            order = names[turn:] + names[:turn]
            for place, name in enumerate(order):
                subject = subjects[name][number % len(subjects[name])]
                left = 2 * ((self._about.bounds.rounds - number) * len(names) - place)
                samples[name] += await self._pair(subject, number, at, (left, len(names)))
        return samples

    async def _pair(self, subject: Subject, number: int, at: float, left_of: tuple[int, int]) -> list[Sample]:
        """One sample over one connection and, if the mirror allows them, one over several."""
        left, mirrors = left_of
        bounds = self._about.bounds
        budget = bounds.max_bytes / bounds.rounds / mirrors
        several = min(bounds.connections, subject.source.mirror.max_connections)
        # The second lies elsewhere in the content: a cache that the first has warmed would flatter it.
        one = spread(subject.size, int(budget * _SINGLE_SHARE), 1, at)
        many = spread(subject.size, int(budget * (1 - _SINGLE_SHARE)), several, (at + 0.5) % 1)
        taken = [
            await self._sample(subject, one, number, left, several=False),
            await self._sample(subject, many, number, left - 1, several=True),
        ]
        return [each for each in taken if each is not None]

    async def _sample(
        self, subject: Subject, ranges: Sequence[ByteRange], number: int, left: int, *, several: bool
    ) -> Sample | None:
        """A sample in its share of the time that is left; None if none is."""
        limit_s = (self._until - self._about.clock()) / left
        if limit_s <= 0:
            return None
        name = subject.source.mirror.name
        self._about.on_step(f"round {number + 1} of {self._about.bounds.rounds}: {name}, {len(ranges)} at once")
        return await self._probe.sample(subject, ranges, number=number, limit_s=limit_s, several=several)


def _cross_checked(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    truth = next((each for each in trials if each.mirror.is_origin and each.samples), None)
    return tuple(replace(each, wrong_bytes=count_wrong(each, truth)) for each in trials)


def _modified(trials: Sequence[Trial], first: Identified | None) -> str:
    """When the authority's revision was made, by whoever shows the same commit."""
    if first is None:
        return ""
    told = (held.last_modified for each in trials for held in each.holdings if held.commit == first.artifact.commit)
    return max(told, default="")
