"""Where this process is at work on storage, for whoever must say what holds it up: a mount that hangs answers nobody.

Decides nothing; a step is noted while it lasts. Knows of no files, only of their names.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_under_way: dict[object, tuple[float, Path]] = {}  # since when, and where


@contextmanager
def at_work(path: Path) -> Iterator[None]:
    """While the block runs this process is at work on ``path``; from any thread or task, nested as may be."""
    step = object()
    _under_way[step] = (time.monotonic(), path)
    try:
        yield
    finally:
        del _under_way[step]


def slow_steps(for_s: float) -> list[tuple[Path, float]]:
    """Where this process has been at work for ``for_s`` seconds or longer, and for how long; slowest first.

    A long copy is among them as much as a mount that never answers: nobody can tell them apart from here.
    """
    now = time.monotonic()
    return [(path, now - since) for since, path in sorted(_under_way.copy().values()) if now - since >= for_s]
