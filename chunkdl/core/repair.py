"""Who corrupted a file, when only a digest of the whole exists.

Decides, after a failed digest, whose bytes to fetch again from somebody else, and whom the comparison
convicts. Nothing proves a single range, but honest mirrors agree and a liar disagrees with all of them:

1. *Sampling*: a slice of each host's bytes comes again from another host, then two slices, and so on,
   until two copies differ. Where a host's runs begin goes first: an answer that is wrong at all is mostly
   wrong there. If one host sent everything there is nothing to find out: it is the suspect.
2. *Breaking ties*: of two that differ nobody knows who lies, so one such range comes a third time from
   a third host: the odd one out is suspected. Where there are only two, both are asked again: who
   contradicts himself is suspected.
3. *Probing*: of the suspect's every piece one slice comes again, its beginning first. Where it differs
   the rest of the piece follows, and only there. If the digest still fails every piece is halved by
   one more slice, and so on down to its last byte; then it is the next suspect's turn, and sampling goes
   on if none is left.
4. *Trusting*: liars may agree with each other and outvote the only honest host. So in the end all that one
   host did not send comes from it alone, one host after the other.

No byte comes more than once on account of one suspect, no tie is broken more than once, nobody is trusted
more than once: the inquiry ends.
Who is guilty is said only when the digest holds, by comparing every copy with the truth. Deliberately
does not know how bytes are fetched, compared or hashed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chunkdl.core.provenance import Piece
from chunkdl.core.ranges import RangeSet
from chunkdl.model import MIB, ByteRange

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from chunkdl.core.provenance import Provenance

    Shares = Mapping[str, list[Piece]]


# What one sample brings: a round trip's worth on a fast line, 1/16 of a segment of 4 MiB: to probe every piece of a
# liar costs 6 % of what it sent, 3 % where segments have 8 MiB.
_SLICE_BYTES = MIB // 4
# A round of probes ends early enough that the lie may be found before the rest has come: an eighth of it, but no less
# than a second or two of a fast line, or the round trips would add up.
_ROUND_SHARE = 1 / 8
_ROUND_BYTES = 16 * MIB
# Knuth's multiplicative hash: offsets in an order that has nothing to do with their size.
_SCRAMBLE, _SCRAMBLE_MOD = 2654435761, 1 << 32


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
        self._came_again = RangeSet()
        self._asked: defaultdict[str, RangeSet] = defaultdict(RangeSet)  # on account of this suspect
        self._cleared: set[str] = set()  # suspects of which nothing is left to ask
        self._cut_from: dict[ByteRange, ByteRange] = {}  # slice -> the piece that it stands for
        self._rests: set[int] = set()  # where what follows a slice begins
        self._rest_stops: set[int] = set()  # where what precedes a slice ends
        self._ties_tried: set[tuple[ByteRange, str]] = set()
        self._sole: str | None = None  # sent every byte of a file whose digest failed
        self._samples = 1
        self._trusted: set[str] = set()
        self._changed = False  # since the digest was last computed

    @property
    def compared(self) -> tuple[ByteRange, ...]:
        """Ranges of which two copies were seen."""
        return tuple(self._copies)

    def next_step(
        self, provenance: Provenance, known_bad: Collection[str] = (), *, elsewhere: bool = False
    ) -> tuple[Doubt, ...] | BeyondRepair:
        """Choose what comes again.

        ``known_bad`` hosts broke the protocol in this run; ``elsewhere``: a host that has sent nothing yet has it too.
        """
        shares = provenance.shares()
        if len(shares) == 1 and not self._copies:
            self._sole = next(iter(shares))
        self.step = (
            self._break_tie(shares)
            or self._ask_both_again(shares)
            or self._suspect_prime(shares, known_bad, alone=len(shares) == 1 and not elsewhere)
            or self._sample(shares)
            or self._trust(shares)
        )
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

    def learn(self, second: Sequence[Copy], provenance: Provenance) -> bool:
        """Take the second copies of the step's pieces in; True if the digest may hold now.

        It may not while nothing changed since it failed, and hardly while bytes beside a proven lie still stand.
        """
        first = {piece.range: piece for doubt in self.step for piece in doubt.pieces}
        self.step = ()
        for copy in second:
            piece = first[copy.range]
            self._came_again.add(copy.range.start, copy.range.stop)
            if piece.xxh3 is None:
                continue
            seen = self._copies.setdefault(copy.range, [Copy(piece.range, frozenset({piece.host}), piece.xxh3)])
            seen.append(copy)
            self._changed |= copy.xxh3 != piece.xxh3
        shares = provenance.shares()
        if not self._changed or any(self._hot(shares, host) for host in self._evident() & shares.keys()):
            return False
        self._changed = False
        return True

    def guilty(self, truth: Mapping[ByteRange, bytes]) -> tuple[Guilty, ...]:
        """Whose copies were wrong, now that the digest holds and ``truth`` is what the compared ranges hash to."""
        wrong: defaultdict[str, RangeSet] = defaultdict(RangeSet)
        for span, copies in self._copies.items():
            for copy in copies:
                if copy.xxh3 != truth[span] and len(copy.hosts) == 1:
                    wrong[next(iter(copy.hosts))].add(span.start, span.stop)
        return tuple(Guilty(host, tuple(ranges)) for host, ranges in sorted(wrong.items()))

    # --- what the copies say -----------------------------------------------------------------------

    def _disputed(self) -> dict[ByteRange, list[Copy]]:
        return {span: copies for span, copies in self._copies.items() if len({copy.xxh3 for copy in copies}) > 1}

    def _conflicts(self) -> dict[str, tuple[ByteRange, ...]]:
        """Ranges where a host's copy differs from another one."""
        found: defaultdict[str, RangeSet] = defaultdict(RangeSet)
        for span, copies in self._disputed().items():
            for host in sorted({host for copy in copies for host in copy.hosts}):
                found[host].add(span.start, span.stop)
        return {host: tuple(ranges) for host, ranges in found.items()}

    def _exposed(self) -> Counter[str]:
        """How often each host was against what two or more agreed on, or contradicted itself."""
        exposed: Counter[str] = Counter()
        for copies in self._disputed().values():
            witnesses = {(copy.hosts, copy.xxh3) for copy in copies}
            (winner, count), *_ = Counter(xxh3 for _, xxh3 in sorted(witnesses, key=str)).most_common(1)
            if count > 1:
                exposed.update(host for copy in copies if copy.xxh3 != winner for host in copy.hosts)
            said = Counter(host for hosts, _ in witnesses for host in hosts)
            exposed.update(host for host, different in said.items() if different > 1)
        return exposed

    def _evident(self) -> set[str]:
        """Hosts against which there is more than another's word."""
        return set(self._exposed()) | ({self._sole} if self._sole is not None else set())

    def _quarrel(self, host: str) -> float:
        """Which part of a host's compared ranges is disputed."""
        compared = [span for span, copies in self._copies.items() if any(host in copy.hosts for copy in copies)]
        disputed = self._disputed()
        return sum(span in disputed for span in compared) / len(compared) if compared else 0.0

    def _confirmed(self, piece: Piece, suspect: str) -> bool:
        """Another host delivered the same bytes."""
        others = [copy for copy in self._copies.get(piece.range, ()) if suspect not in copy.hosts]
        return any(copy.xxh3 == piece.xxh3 for copy in others)

    # --- ties --------------------------------------------------------------------------------------

    def _open_disputes(self) -> list[tuple[ByteRange, list[Copy]]]:
        """Disputed ranges that say nothing yet about who lied, smallest first; none if somebody is suspected."""
        if self._evident() - self._cleared:
            return []
        return sorted(
            ((span, copies) for span, copies in self._disputed().items() if not _hosts(copies) & self._cleared),
            key=lambda each: (len(each[0]), each[0]),
        )

    def _break_tie(self, shares: Shares) -> tuple[Doubt, ...]:
        """The smallest disputed range, from a host that has not delivered it yet."""
        for span, copies in self._open_disputes():
            known = _hosts(copies)
            if (span, "") not in self._ties_tried and set(shares) - known:
                self._ties_tried.add((span, ""))
                return (Doubt(tuple(sorted(known)), (Piece(span, "", copies[-1].xxh3),)),)
        return ()

    def _ask_both_again(self, shares: Shares) -> tuple[Doubt, ...]:
        """The smallest disputed range, once more from each of the two that have it: a liar may contradict itself."""
        for span, copies in self._open_disputes()[:1]:
            for host in sorted(_hosts(copies)):
                others = tuple(sorted(set(shares) - {host}))
                if (span, host) not in self._ties_tried and others:
                    self._ties_tried.add((span, host))
                    return (Doubt(others, (Piece(span, "", copies[-1].xxh3),)),)
        return ()

    # --- suspects ----------------------------------------------------------------------------------

    def _suspect_prime(self, shares: Shares, known_bad: Collection[str], *, alone: bool) -> tuple[Doubt, ...]:
        """What is to come again of the prime suspect's bytes, or of the next one's if nothing is left of its own."""
        conflicts, exposed = self._conflicts(), self._exposed()
        left = [host for host in shares if host not in self._cleared and (host in conflicts or host == self._sole)]
        left.sort(
            key=lambda host: (
                host != self._sole,
                -exposed[host],
                -self._quarrel(host),
                host not in known_bad,
                _size(shares[host]),
                host,
            )
        )
        for prime in left:
            pieces = tuple(self._unasked(shares, prime)) if alone else self._probe(shares, prime)
            if pieces:
                for piece in pieces:
                    self._asked[prime].add(piece.range.start, piece.range.stop)
                return (Doubt(self._avoiding(prime), pieces),)
            self._cleared.add(prime)
        return ()

    def _avoiding(self, host: str) -> tuple[str, ...]:
        """Whoever is known to lie does not bear witness against others."""
        return (host, *sorted(self._evident() - {host}))

    def _unasked(self, shares: Shares, host: str) -> Iterable[Piece]:
        """What ``host`` delivered, nobody confirmed, and was not asked for again on its account."""
        for piece in shares[host]:
            span = piece.range
            if not self._asked[host].overlap(span.start, span.stop) and not self._confirmed(piece, host):
                yield piece

    def _hot(self, shares: Shares, host: str) -> tuple[Piece, ...]:
        """What of ``host`` still stands in a piece of which a slice was disputed."""
        lies = RangeSet()
        for span, copies in self._disputed().items():
            if host in _hosts(copies):
                whole = self._cut_from.get(span, span)
                lies.add(whole.start, whole.stop)
        return tuple(each for each in self._unasked(shares, host) if lies.overlap(each.range.start, each.range.stop))

    def _probe(self, shares: Shares, host: str) -> tuple[Piece, ...]:
        """All that stands beside a lie; else every piece's beginning; then more slices, of the largest first.

        In no order that a liar could foresee, or the last byte of a file would always come last.
        """
        left = tuple(self._unasked(shares, host))
        begun = self._hot(shares, host) or tuple(map(self._slice, filter(self._is_fresh, left)))
        return begun or self._further(left)

    def _is_fresh(self, piece: Piece) -> bool:
        """True if not even its beginning came again."""
        return piece.range.start not in self._rests and piece.range.stop not in self._rest_stops

    def _further(self, left: Sequence[Piece]) -> tuple[Piece, ...]:
        left = sorted(left, key=lambda piece: (-len(piece.range), _scrambled(piece.range.start)))
        room = max(_ROUND_BYTES, _size(left) * _ROUND_SHARE)
        chosen: list[Piece] = []
        for piece in left:
            chosen.append(self._slice(piece))
            room -= len(chosen[-1].range)
            if room <= 0:
                break
        return tuple(chosen)

    def _sample(self, shares: Shares) -> tuple[Doubt, ...]:
        """The next few unchecked slices of each host, twice as many as the last time."""
        doubts = []
        for host, pieces in sorted(shares.items()):
            unchecked = [each for each in pieces if not self._came_again.covers(each.range.start, each.range.stop)]
            starts = _run_starts(unchecked)
            unchecked.sort(key=lambda each: (each.range.start not in starts, len(each.range), each.range))
            if unchecked and host not in self._cleared:
                chosen = tuple(self._slice(piece) for piece in unchecked[: self._samples])
                doubts.append(Doubt(self._avoiding(host), chosen))
        self._samples *= 2
        return tuple(doubts)

    def _trust(self, shares: Shares) -> tuple[Doubt, ...]:
        """All that the least suspect host did not send, from nobody else; the last resort, if hosts disagree at all."""
        conflicts, exposed = self._conflicts(), self._exposed()
        left = [host for host in conflicts if host not in self._trusted and host != self._sole]
        for host in sorted(left, key=lambda each: (exposed[each], self._quarrel(each), each)):
            self._trusted.add(host)
            pieces = sorted((each for other in shares if other != host for each in shares[other]), key=_start)
            if pieces:
                return (Doubt(tuple(sorted({*conflicts, *shares} - {host})), tuple(pieces)),)
        return ()

    def _slice(self, piece: Piece) -> Piece:
        """The beginning of a piece; its middle where it follows a slice that came already; all of a small one."""
        span = piece.range
        if len(span) <= 2 * _SLICE_BYTES:
            return piece
        start = span.start
        if start in self._rests:
            start += len(span) // (2 * _SLICE_BYTES) * _SLICE_BYTES
        part = ByteRange(start, min(span.stop, start + _SLICE_BYTES))
        self._cut_from[part] = span
        self._rests.add(part.stop)
        if part.start > span.start:
            self._rest_stops.add(part.start)
        return Piece(part, piece.host, None)


def _hosts(copies: Iterable[Copy]) -> set[str]:
    return {host for copy in copies for host in copy.hosts}


def _scrambled(offset: int) -> int:
    return offset // _SLICE_BYTES * _SCRAMBLE % _SCRAMBLE_MOD


def _start(piece: Piece) -> int:
    return piece.range.start


def _size(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.range) for piece in pieces)


def _run_starts(pieces: Sequence[Piece]) -> set[int]:
    """Where a piece begins that does not adjoin the one before."""
    stops = {piece.range.stop for piece in pieces}
    return {piece.range.start for piece in pieces} - stops
