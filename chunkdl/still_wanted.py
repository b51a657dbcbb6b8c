"""Whether anybody still waits for what a thread is at: long steps over a file ask between its pieces.

Decides nothing; whoever sends the thread says how it can tell. A thread asks what its own caller set, and nobody
else's; where nothing was set, all work is wanted.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _always() -> bool:
    return True


_wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=_always)


class NotWanted(Exception):
    """Nobody waits for this any more."""


@contextmanager
def while_wanted(wanted: Callable[[], bool]) -> Iterator[None]:
    """Hashing and copying inside the block, in this thread, raise ``NotWanted`` soon after ``wanted`` says no."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def check_wanted() -> None:
    """Raise ``NotWanted`` if the work at hand is not."""
    if not _wanted.get()():
        raise NotWanted
