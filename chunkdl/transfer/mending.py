"""What a failed digest sets off: second copies, their comparison, a verdict in words.

Decides nothing about guilt (``core.repair`` does); reads the part file, tells the scheduler whom to
avoid, and the user who lied. Runs inside the proof of one content, so never twice at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import xxhash

from chunkdl.core.events import FileDropped, HostExcluded, RangesRejected
from chunkdl.core.journal_codec import Record
from chunkdl.core.repair import BeyondRepair, Copy
from chunkdl.errors import IntegrityError
from chunkdl.model import ByteRange, DigestAlgorithm
from chunkdl.observe import CorruptionFound
from chunkdl.transfer.front import read_exactly
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.transfer.content import Content, Identity
    from chunkdl.transfer.front import Part
    from chunkdl.transfer.proving import Court


async def take_second_copies(content: Content, court: Court) -> bool:
    """What was doubted has come again: True if the digest may hold now."""
    ranges = [piece.range for doubt in content.repair.step for piece in doubt.pieces]
    hashes = await _hashed(content, ranges, court)
    second = [Copy(span, _hosts_of(content, span), xxh3) for span, xxh3 in zip(ranges, hashes, strict=True)]
    return content.repair.learn(second, content.provenance)


async def name_the_guilty(content: Content, court: Court) -> None:
    """The digest holds: say whose copies were wrong, and exclude whom nobody needs any more."""
    ranges = content.repair.compared
    truth = dict(zip(ranges, await _hashed(content, ranges, court), strict=True))
    path = content.identity.path
    for each in content.repair.guilty(truth):
        court.observer(CorruptionFound(path, each.host, len(each.ranges), repaired=True, where=each.ranges))
        if not any(each.host in _hosts_of(content, span) for span in each.ranges):
            court.post(HostExcluded(each.host, f"sent wrong bytes in {len(each.ranges)} ranges of {path}"))


async def doubt(content: Content, file: int, court: Court) -> IntegrityError | None:
    """The digest fails: have the next suspects' bytes fetched from somebody else, or give up."""
    first = not content.repair.compared
    elsewhere = court.elsewhere(file, content.provenance.shares())
    step = content.repair.next_step(content.provenance, court.known_bad(), elsewhere=elsewhere)
    if isinstance(step, BeyondRepair):
        court.post(FileDropped(file))
        return _beyond_repair(content, step)
    if first:
        court.observer(CorruptionFound(content.identity.path, None, 0, repaired=False))
    await _hash_slices(content, court)
    for each in content.repair.step:
        content.reject(each.ranges)
        court.post(RangesRejected(file, each.ranges, avoid=each.avoid))
    return None


async def _hash_slices(content: Content, court: Court) -> None:
    """Give what comes again a hash of its own, and what is left of its piece too: the journal goes on claiming that."""
    for span in content.repair.unhashed:
        for piece in content.provenance.overlapping(span):
            edges = sorted({piece.range.start, piece.range.stop, span.start, span.stop})
            parts = [ByteRange(start, stop) for start, stop in pairwise(edges)]
            hashes = await _hashed(content, parts, court)
            content.took([Record(*each, piece.host) for each in zip(parts, hashes, strict=True)])
            content.repair.know(dict(zip(parts, hashes, strict=True)))


async def _hashed(content: Content, ranges: Sequence[ByteRange], court: Court) -> list[bytes]:
    hashes = []
    for span in ranges:
        call = court.threads.submit(court.threads.hash, _xxh3, content.part, span)
        hashes.append(await settled(call))
    return hashes


def _xxh3(part: Part, span: ByteRange) -> bytes:
    return xxhash.xxh3_128_digest(read_exactly(part, span.start, span.stop))


def _hosts_of(content: Content, span: ByteRange) -> frozenset[str]:
    pieces = content.provenance.overlapping(span)
    return frozenset(piece.host for piece in pieces)


def _beyond_repair(content: Content, verdict: BeyondRepair) -> IntegrityError:
    identity = content.identity
    hosts = ", ".join(sorted(content.provenance.shares()))
    if identity.digest.algorithm is DigestAlgorithm.SHA256_PREFIX and not verdict.differing:
        return _lying_name(identity, content.front.refused, hosts)
    differing = "; ".join(f"{host} {' '.join(map(str, ranges[:3]))}" for host, ranges in verdict.differing)
    return IntegrityError(
        f"{identity.path}: the bytes from {hosts} do not match {identity.digest}"
        + (f" (copies differed: {differing})" if differing else " (every copy was the same)"),
        hint="add a mirror with --add-mirror; the part file is kept and any other source can mend it",
        file=identity.path,
        mirror=hosts or None,
    )


def _lying_name(identity: Identity, sha256: str, hosts: str) -> IntegrityError:
    """Every copy is the same and the first digits of its sha256 are others: a name may be wrong for ever."""
    return IntegrityError(
        f"{identity.path}: its name lies, or {hosts} serves another file: the sha256 should begin with "
        f"{identity.digest.hex} and is {sha256}",
        hint=f"if you know that this is the file, say so: add #sha256={sha256} to its URL",
        file=identity.path,
        mirror=hosts or None,
    )
