"""From stored bytes to a proven, placed content: following the front, judging the digest.

Decides when to hash; what a failed digest sets off is ``mending``'s. Runs
one proof a content at a time; answers the scheduler in events. Deliberately does not move bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core.events import FileDropped, FileProven, RangesRejected
from chunkdl.errors import ChunkdlError
from chunkdl.model import MIB
from chunkdl.transfer.mending import doubt, name_the_guilty, take_second_copies
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from chunkdl.core.events import Event
    from chunkdl.core.journal_codec import Record
    from chunkdl.model import ByteRange, Verified
    from chunkdl.observe import Observer
    from chunkdl.transfer.content import Content
    from chunkdl.transfer.threads import Threads

# The front is followed in steps of this size: 10 ms of sha256, so a proof never lags by more than that,
# a file smaller than a step is hashed once, at its end, and nobody who cancels waits for longer.
FOLLOW_BYTES = 16 * MIB
# Claims of an earlier run looked at in one step: a segment (8 MiB) each at most.
AUDIT_CLAIMS = 4


@dataclass(frozen=True, slots=True)
class Court:
    """What a proof needs from its surroundings."""

    threads: Threads
    post: Callable[[Event], None]
    observer: Observer
    known_bad: Callable[[], Sequence[str]]
    elsewhere: Callable[[int, Collection[str]], bool]  # has a host that is not among these the file too?


def worth_following(content: Content) -> bool:
    """True if the front has moved far enough for one more step of hashing."""
    return not content.proving.locked() and content.front_at - content.front.hashed_to >= FOLLOW_BYTES


async def follow(content: Content, file: int, court: Court) -> None:
    """Hash up to the present front; a claim that does not hold sends its range back."""
    async with content.proving:
        await _advance(content, file, content.front_at, court)


async def prove(content: Content, file: int, court: Court) -> Verified | ChunkdlError | None:
    """Judge a complete content: the proof, a final failure, or None if bytes have to come again."""
    async with content.proving:
        if content.pending:  # rejected while a lease that had taken them for present ended: the scheduler cannot know
            court.post(RangesRejected(file, content.pending))
            return None
        if content.repair.step and not await take_second_copies(content, court):
            return await doubt(content, file, court)  # the digest cannot hold now either
        if not await _advance(content, file, content.identity.size, court):
            return None
        proof = content.front.prove(content.identity.digest)
        if proof is None:
            return await doubt(content, file, court)
        await name_the_guilty(content, court)
        return await _place(content, file, proof, court)


async def _advance(content: Content, file: int, stop: int, court: Court) -> bool:
    """Hash up to ``stop``; False if bytes have to come again, or if nobody wants the content any more."""
    front = content.front
    while front.hashed_to < stop and not content.abandoned:
        step = min(stop, front.hashed_to + FOLLOW_BYTES)
        broken = await settled(court.threads.submit(court.threads.hash, front.advance, step))
        if broken is not None:
            ranges = (broken, *await _audit(content, court))
            content.reject(ranges)
            court.post(RangesRejected(file, ranges))
            return False
    return not content.abandoned


async def _audit(content: Content, court: Court) -> list[ByteRange]:
    """One claim did not hold, as after a power cut: look at all others now, and not one a round trip."""
    broken: list[ByteRange] = []
    for some in _batches(content.front.claims):
        broken += await settled(court.threads.submit(court.threads.hash, content.front.broken, some))
        if content.abandoned:
            break
    return broken


def _batches(claims: Sequence[Record]) -> Iterator[Sequence[Record]]:
    return (claims[at : at + AUDIT_CLAIMS] for at in range(0, len(claims), AUDIT_CLAIMS))


async def _place(content: Content, file: int, proof: Verified, court: Court) -> Verified | ChunkdlError:
    try:
        async with content.placing():
            await settled(court.threads.submit(court.threads.sync, content.commit, proof))
    except ChunkdlError as error:
        court.post(FileDropped(file))
        return error
    court.post(FileProven(file))
    return proof
