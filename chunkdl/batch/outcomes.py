"""What the end of an attempt means for its job: done, tried again later, or parked until a person has looked.

Decides by exit code, so that batch and command line agree on what may work later. Deliberately runs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

# DESIGN's exit codes: 0 proven and placed; 4 the same may work later. 6 is local storage: a disk that is full at
# three in the morning may have room at four. Everything else fails again until somebody changes something.
_DONE = 0
_TRANSIENT = frozenset({4, 6})
# The first pause, doubled each time up to the last: a mirror that is restarted is back in a minute, one that died
# for the night is asked twice an hour. Jitter keeps machines that share an outage from returning together.
_FIRST_PAUSE_S = 60.0
_LONGEST_BASE_S = 1800.0
_JITTER = 0.2
LONGEST_PAUSE_S = _LONGEST_BASE_S * (1.0 + _JITTER)


@dataclass(frozen=True, slots=True)
class HostBytes:
    """What one final data host gave an attempt."""

    host: str
    mirrors: tuple[str, ...]
    bytes: int
    errors: int
    state: str


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """One file that an attempt left proven and placed; fields as in the report of a fetch."""

    path: str
    size: int
    digest: str
    source: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Args:
        exit_code: as the command line's; None if it was stopped by the window, a signal or a cancellation.
        reason: one line, empty on success.
        hint: the next step, empty if there is none.
        path: where the result is.
        bytes_fetched, bytes_wasted: what the network brought, and in vain.
        hosts: who gave it.
        files: what is placed.
        authenticated: False if only mirrors vouch for it; None where nothing was placed.
    """

    exit_code: int | None
    reason: str = ""
    hint: str = ""
    path: str | None = None
    bytes_fetched: int = 0
    bytes_wasted: int = 0
    hosts: tuple[HostBytes, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    authenticated: bool | None = None

    @property
    def done(self) -> bool:
        """Proven and placed."""
        return self.exit_code == _DONE

    @property
    def stopped(self) -> bool:
        """Nobody's fault: it goes on where it stands at the next opportunity."""
        return self.exit_code is None

    @property
    def transient(self) -> bool:
        """The same may work later."""
        return self.exit_code in _TRANSIENT


def pause_s(failures: int, jitter: float) -> float:
    """How long to leave a job alone after ``failures`` (1 or more) in a row; ``jitter`` in [0, 1)."""
    base = min(_LONGEST_BASE_S, _FIRST_PAUSE_S * 2.0 ** (min(failures, 32) - 1))
    return base * (1.0 + _JITTER * (2.0 * jitter - 1.0))
