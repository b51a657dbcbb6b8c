"""What the scheduler is told and what it answers: the whole interface between deciding and doing.

Events are past tense and every ending of a lease has its own type; instructions are imperative.
All are plain values without a clock: time comes beside them. Identifiers: ``file`` counts the
contents of a run, ``lease`` counts grants, ``mirror`` is a mirror's name, ``host`` is the final data
host ``name:port`` after redirects, which capacity, statistics and blame belong to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkdl.model import ByteRange


@dataclass(frozen=True, slots=True)
class MirrorAdded:
    """A mirror may be used from now on.

    ``host`` is where it is expected to lead (its own host until an answer tells better),
    ``rate_bytes_per_s`` what one connection gave in earlier runs, 0 if unknown.
    """

    mirror: str
    host: str
    max_connections: int = 16
    first_byte_s: float = 15.0
    priority: int = 0
    rate_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FileAdded:
    """A content is to be fetched: ``pending`` of its ``size`` bytes, from any of ``mirrors``."""

    file: int
    size: int
    pending: tuple[ByteRange, ...]
    mirrors: tuple[str, ...]
    segment_bytes: int


@dataclass(frozen=True, slots=True)
class SourceAdded:
    """One more mirror proved that it has this content."""

    file: int
    mirror: str


@dataclass(frozen=True, slots=True)
class MirrorsAsked:
    """Mirrors are being asked whether they have files of this run (``begun``), or that is over: no SourceAdded comes.

    Each asking is told twice, however it ends.
    """

    begun: bool


@dataclass(frozen=True, slots=True)
class JobSealed:
    """No more files will be added; the run may complete."""


@dataclass(frozen=True, slots=True)
class LeaseAccepted:
    """Good headers arrived ``latency_s`` after the request; ``ranged`` False means a 200 from offset 0."""

    lease: int
    host: str
    latency_s: float
    ranged: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one lease is: bytes before ``received_to`` are in memory, before ``stored_to`` in the part file.

    ``held_by_us`` is True while our own disk, memory or limiter keeps it from reading: silence is no stall then.
    ``skipped`` counts bytes of a stream without ranges read past on the way to the lease's own: no progress, but life.
    """

    lease: int
    received_to: int
    stored_to: int
    held_by_us: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Progressed:
    """Marks of all leases that moved, at most ten times a second and before every decision."""

    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class LeaseFinished:
    """All bytes up to the lease's stop are stored; ``excess``: the peer went on sending beyond the range asked for."""

    lease: int
    excess: bool = False


@dataclass(frozen=True, slots=True)
class LeaseCutShort:
    """The peer closed or reset in mid-body; what was stored before stays."""

    lease: int
    stored_to: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseConnectFailed:
    """No connection or no answer: nothing of this lease was delivered."""

    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseOverslept:
    """It failed across a time when our own process stood still: nobody is to blame, what was stored stays."""

    lease: int
    stored_to: int


@dataclass(frozen=True, slots=True)
class LeaseThrottled:
    """429 or 503: too much asked of this host; ``retry_after_s`` is its wish, None if unsaid."""

    lease: int
    retry_after_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """Another bad status. ``final`` True (401, 403, 404, 410 …): this mirror will not serve this file."""

    lease: int
    final: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseMisbehaved:
    """The answer broke the protocol; what was stored before stays."""

    lease: int
    stored_to: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseUnranged:
    """A 200 where a range inside the file was asked for: no byte used; this source only streams."""

    lease: int
    host: str


@dataclass(frozen=True, slots=True)
class LeaseCancelled:
    """The answer to CancelLease: the connection is closed, bytes before ``stored_to`` stay."""

    lease: int
    stored_to: int


@dataclass(frozen=True, slots=True)
class RangesRejected:
    """Stored bytes proved (or are suspected) wrong and must come again.

    ``avoid`` names hosts that must not deliver them while another source exists; empty on resume,
    where only our own disk is to blame.
    """

    file: int
    ranges: tuple[ByteRange, ...]
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostExcluded:
    """A host lied or was refused for good: it serves nothing more in this run."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileProven:
    """The digest of a complete file matched."""

    file: int


@dataclass(frozen=True, slots=True)
class FileDropped:
    """The engine gave this file up (proved wrong everywhere, cancelled, placed by somebody else)."""

    file: int


@dataclass(frozen=True, slots=True)
class LimiterBound:
    """Our own rate limiter holds readers back (True) or no longer does (False)."""

    bound: bool


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time that ``next_deadline`` named has come."""


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The user or the caller wants out: close every lease, decide nothing more."""


Event = (
    MirrorAdded
    | FileAdded
    | SourceAdded
    | MirrorsAsked
    | JobSealed
    | LeaseAccepted
    | Progressed
    | LeaseFinished
    | LeaseCutShort
    | LeaseConnectFailed
    | LeaseOverslept
    | LeaseThrottled
    | LeaseRefused
    | LeaseMisbehaved
    | LeaseUnranged
    | LeaseCancelled
    | RangesRejected
    | HostExcluded
    | FileProven
    | FileDropped
    | LimiterBound
    | DeadlineReached
    | RunCancelled
)


@dataclass(frozen=True, slots=True)
class OpenLease:
    """Ask ``mirror`` for ``range`` of ``file`` over one connection.

    ``whole`` asks without a Range header (a source that only streams) and skips to the range's start.
    ``first_byte_s`` bounds the wait for the answer. ``cause`` says why, in a few words, for the story.
    """

    lease: int
    file: int
    mirror: str
    range: ByteRange
    first_byte_s: float
    hedge: bool = False
    whole: bool = False
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ShortenLease:
    """Deliver only up to ``stop``; never below what Progressed last said was received."""

    lease: int
    stop: int
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CancelLease:
    """Close the connection, keep what is stored, answer with LeaseCancelled (or another ending)."""

    lease: int
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ProveFile:
    """Every byte is stored: hash the rest, then answer FileProven, RangesRejected or FileDropped."""

    file: int


@dataclass(frozen=True, slots=True)
class FailFile:
    """No source is left or the budget without progress is spent; ``reasons`` names mirrors."""

    file: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompleteRun:
    """Every file has ended and no lease is open."""


Instruction = OpenLease | ShortenLease | CancelLease | ProveFile | FailFile | CompleteRun
