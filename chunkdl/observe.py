"""What a running fetch tells whoever watches: typed, past tense, coalesced; watchers cannot influence it.

Deliberately knows neither terminals nor JSON: ``progress`` draws these, ``cli`` prints them, a
library caller gets them through ``on_event``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.core.planner import Plan
    from chunkdl.model import ByteRange


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know and that is no failure; ``code`` is stable for scripts."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReferencePlanned:
    """One reference is identified and planned; transfer starts."""

    reference: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One final data host at one moment. Rates are bytes per second, ``bytes`` since the start.

    ``state``: ``active``, ``idle``, ``cooling``, ``stalled``, ``excluded``.
    """

    host: str
    mirrors: tuple[str, ...]
    bytes: int
    rate_bytes_per_s: float
    connections: int
    state: str
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """The whole run, at most ten times a second.

    ``done_bytes`` counts stored bytes of all contents, what was there before included;
    ``eta_s`` is None while no rate is known. ``waiting_for`` names another process that owns the work.
    """

    done_bytes: int
    total_bytes: int
    fetched_bytes: int
    goodput_bytes_per_s: float
    eta_s: float | None
    files_done: int
    files_total: int
    hosts: tuple[HostStatus, ...]
    waiting_for: str | None = None


@dataclass(frozen=True, slots=True)
class FilePlaced:
    """A content was proven and is at its final path.

    ``source``: ``network``, ``cache``, ``partial``. ``verified``: what proved it, as ``Strength`` spells it.
    """

    reference: str
    path: str
    size: int
    source: str
    verified: str = "digest"


@dataclass(frozen=True, slots=True)
class CorruptionFound:
    """A whole-file digest failed; ``host`` is the liar once known.

    ``ranges`` says how many of its ranges were wrong, ``where`` which.
    """

    path: str
    host: str | None
    ranges: int
    repaired: bool
    where: tuple[ByteRange, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferencePlaced:
    """Everything of one reference is where loaders look; ``path`` is the snapshot folder or the file."""

    reference: str
    path: str


WatchedEvent = Notice | ReferencePlanned | Progress | FilePlaced | CorruptionFound | ReferencePlaced

if TYPE_CHECKING:
    Observer = Callable[[WatchedEvent], None]


def ignore(_event: WatchedEvent) -> None:
    """The observer of those who do not care."""
