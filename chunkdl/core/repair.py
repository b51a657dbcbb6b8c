"""Who corrupted a file, when only a digest of the whole exists.

Decides, after a failed digest, whose bytes to fetch again from somebody else, and whom the comparison
convicts. Nothing proves a single range, but honest mirrors agree and a liar disagrees with all of them:

1. *Sampling*: a slice of each host's bytes comes again from another host, then two slices, and so on,
   until two copies differ. Where a host's runs begin goes first: an answer that is wrong at all is mostly
   wrong there.
2. *Breaking ties*: of two that differ nobody knows who lies, so one such range comes a third time from
   a third host, if there is one: the odd one out is suspected.
3. *Replacing*: the suspect's bytes come again, all that nobody else confirmed; of a suspect that was
   outvoted the last run waits, since not each of its answers is a lie and the digest may hold without.
   If the digest still fails, that run comes, then the next suspect's bytes, and sampling goes on if
   none is left.

Each byte is sampled at most once, each tie broken at most once, each host replaced at most once and in
two parts: the inquiry ends. Who is guilty is said only when the digest holds, by comparing every
copy with the truth. Deliberately does not know how bytes are fetched, compared or hashed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.core.provenance import Piece
from chunkdl.core.ranges import RangeSet
from chunkdl.model import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from chunkdl.core.provenance import Provenance


# The digest of a whole file is not computed once more for a share that is likely to hold a lie.
_WAITING_SHARE = 1 / 8
# What one sample brings: a round trip's worth on a fast line, a sixteenth of the smallest segment.
_SLICE_BYTES = MIB // 4


@dataclass(frozen=True, slots=True)
class Doubt:
    """Fetch ``pieces`` again, not from the hosts in ``avoid`` while anybody else has the file."""

    avoid: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def ranges(self) -> tuple[ByteRange, ...]:
        """What becomes pending again."""
        return tuple(piece.range for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Copy:
    """What one host delivered for one range; ``hosts`` are several where the range was shared."""

    range: ByteRange
    hosts: frozenset[str]
    xxh3: bytes


@dataclass(frozen=True, slots=True)
class Guilty:
    """The digest holds, and these ranges as ``host`` had sent them were not what it covers."""

    host: str
    ranges: tuple[ByteRange, ...]


@dataclass(frozen=True, slots=True)
class BeyondRepair:
    """Everything came twice and the digest still fails; ``differing`` maps hosts to ranges where copies differed."""

    differing: tuple[tuple[str, tuple[ByteRange, ...]], ...]


class Repair:
    """The inquiry into one file."""

    def __init__(self) -> None:
        """Nobody is doubted yet."""
        self.step: tuple[Doubt, ...] = ()
        self._copies: dict[ByteRange, list[Copy]] = {}
        self._checked = RangeSet()  # bytes that came from a second host
        self._replaced: set[str] = set()
        self._begun: set[str] = set()  # all but the last run of these was replaced
        self._ties_tried: set[ByteRange] = set()
        self._samples = 1

    @property
    def compared(self) -> tuple[ByteRange, ...]:
        """Ranges of which two copies were seen."""
        return tuple(self._copies)

    def next_step(self, provenance: Provenance, known_bad: Collection[str] = ()) -> tuple[Doubt, ...] | BeyondRepair:
        """Choose what comes again after a failed digest; ``known_bad`` hosts broke the protocol in this run."""
        shares = provenance.shares()
        self.step = self._break_tie(shares) or self._replace(shares, known_bad) or self._sample(shares)
        return self.step or BeyondRepair(tuple(self._conflicts().items()))

    @property
    def unhashed(self) -> tuple[ByteRange, ...]:
        """Of the step, what has to be hashed where it lies before it comes again, or nothing could be compared."""
        return tuple(piece.range for doubt in self.step for piece in doubt.pieces if piece.xxh3 is None)

    def know(self, hashes: Mapping[ByteRange, bytes]) -> None:
        """Take the hashes of what was ``unhashed``."""
        self.step = tuple(
            replace(doubt, pieces=tuple(replace(each, xxh3=hashes.get(each.range, each.xxh3)) for each in doubt.pieces))
            for doubt in self.step
        )

    def learn(self, second: Sequence[Copy]) -> bool:
        """Take the second copies of the step's pieces in; True if any differs from the first."""
        first = {piece.range: piece for doubt in self.step for piece in doubt.pieces}
        self.step = ()
        differs = False
        for copy in second:
            piece = first[copy.range]
            self._checked.add(copy.range.start, copy.range.stop)
            if piece.xxh3 is None:
                continue
            seen = self._copies.setdefault(copy.range, [Copy(piece.range, frozenset({piece.host}), piece.xxh3)])
            seen.append(copy)
            differs = differs or copy.xxh3 != piece.xxh3
        return differs

    def guilty(self, truth: Mapping[ByteRange, bytes]) -> tuple[Guilty, ...]:
        """Whose copies were wrong, now that the digest holds and ``truth`` is what the compared ranges hash to."""
        wrong: dict[str, list[ByteRange]] = defaultdict(list)
        for span, copies in self._copies.items():
            for copy in copies:
                if copy.xxh3 != truth[span] and len(copy.hosts) == 1:
                    wrong[next(iter(copy.hosts))].append(span)
        return tuple(Guilty(host, tuple(sorted(ranges))) for host, ranges in sorted(wrong.items()))

    def _disputed(self) -> dict[ByteRange, list[Copy]]:
        return {span: copies for span, copies in self._copies.items() if len({copy.xxh3 for copy in copies}) > 1}

    def _conflicts(self) -> dict[str, tuple[ByteRange, ...]]:
        """Ranges where a host's copy differs from another host's."""
        found: dict[str, list[ByteRange]] = defaultdict(list)
        for span, copies in self._disputed().items():
            for host in sorted({host for copy in copies for host in copy.hosts}):
                found[host].append(span)
        return {host: tuple(ranges) for host, ranges in found.items()}

    def _outvoted(self) -> Counter[str]:
        """How often each host stood alone against two that agreed."""
        alone: Counter[str] = Counter()
        for copies in self._disputed().values():
            votes = Counter(copy.xxh3 for copy in {(each.hosts, each.xxh3): each for each in copies}.values())
            winner, count = votes.most_common(1)[0]
            if count > 1:
                alone.update(host for copy in copies if copy.xxh3 != winner for host in copy.hosts)
        return alone

    def _break_tie(self, shares: Mapping[str, list[Piece]]) -> tuple[Doubt, ...]:
        """The smallest disputed range, from a host that has not delivered it yet."""
        if any(host not in self._replaced for host in self._outvoted()):
            return ()
        for span, copies in sorted(self._disputed().items(), key=lambda each: (len(each[0]), each[0])):
            known = {host for copy in copies for host in copy.hosts}
            if span not in self._ties_tried and not known & self._replaced and set(shares) - known:
                self._ties_tried.add(span)
                return (Doubt(tuple(sorted(known)), (Piece(span, "", copies[-1].xxh3),)),)
        return ()

    def _replace(self, shares: Mapping[str, list[Piece]], known_bad: Collection[str]) -> tuple[Doubt, ...]:
        """All that the prime suspect delivered and nobody confirmed; a host that is alone gets one more pass."""
        left = [host for host in shares if host not in self._replaced]
        conflicts, outvoted = self._conflicts(), self._outvoted()
        suspects = left if len(shares) == 1 else [host for host in left if host in conflicts]
        prime = min(
            suspects,
            key=lambda host: (-outvoted[host], -self._quarrel(host), host not in known_bad, _size(shares[host]), host),
            default=None,
        )
        if prime is None:
            return ()
        wanted = tuple(piece for piece in shares[prime] if not self._confirmed(piece, prime))
        first = self._all_but_last_run(wanted) if outvoted[prime] and prime not in self._begun else ()
        (self._begun if first else self._replaced).add(prime)
        chosen = first or wanted
        return (Doubt((prime,), chosen),) if chosen else self._replace(shares, known_bad)

    def _all_but_last_run(self, wanted: Sequence[Piece]) -> tuple[Piece, ...]:
        """Without the adjoining pieces at the end, which mostly came in one answer: true or false together.

        At least as many bytes wait as the inquiry has cost, so that it pays if they were true; nothing
        waits if that were too many.
        """
        most = _size(wanted) * _WAITING_SHARE
        cost = sum(len(span) * (len(copies) - 1) for span, copies in self._copies.items())
        at, held = len(wanted), 0
        while at > 0 and (held <= cost or _fits(wanted[at - 1 : at + 1], most - held)):
            at -= 1
            held += len(wanted[at].range)
        return tuple(wanted[:at]) if held <= most else ()

    def _quarrel(self, host: str) -> float:
        """Which part of a host's compared ranges is disputed."""
        compared = [span for span, copies in self._copies.items() if any(host in copy.hosts for copy in copies)]
        disputed = self._disputed()
        return sum(span in disputed for span in compared) / len(compared) if compared else 0.0

    def _confirmed(self, piece: Piece, suspect: str) -> bool:
        """Another host delivered the same bytes."""
        others = [copy for copy in self._copies.get(piece.range, ()) if suspect not in copy.hosts]
        return any(copy.xxh3 == piece.xxh3 for copy in others)

    def _sample(self, shares: Mapping[str, list[Piece]]) -> tuple[Doubt, ...]:
        """The next few unchecked slices of each host, twice as many as the last time."""
        doubts = []
        for host, pieces in sorted(shares.items()):
            unchecked = [each for each in pieces if not self._checked.covers(each.range.start, each.range.stop)]
            starts = _run_starts(unchecked)
            unchecked.sort(key=lambda each: (each.range.start not in starts, len(each.range), each.range))
            if unchecked and host not in self._replaced:
                doubts.append(Doubt((host,), tuple(map(_slice, unchecked[: self._samples]))))
        self._samples *= 2
        return tuple(doubts)


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.range) for piece in pieces)


def _run_starts(pieces: Sequence[Piece]) -> set[int]:
    """Where a piece begins that does not adjoin the one before."""
    stops = {piece.range.stop for piece in pieces}
    return {piece.range.start for piece in pieces} - stops


def _slice(piece: Piece) -> Piece:
    """The beginning of a piece; all of a small one."""
    span = piece.range
    if len(span) <= _SLICE_BYTES:
        return piece
    return Piece(ByteRange(span.start, span.start + _SLICE_BYTES), piece.host, None)


def _fits(pair: Sequence[Piece], room_bytes: float) -> bool:
    """The first of two pieces adjoins the second and is small enough."""
    return pair[0].range.stop == pair[1].range.start and len(pair[0].range) <= room_bytes
