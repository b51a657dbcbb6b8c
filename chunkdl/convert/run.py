"""One conversion from a path to a folder in half precision: look, plan, check the disk, write.

Decides the order of the steps, so that everything that can be refused is refused before a byte is written.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.convert.places import abandoned, check_target, files_below, usual_target
from chunkdl.convert.plan import DTYPES, plan_conversion
from chunkdl.convert.write import write_conversion
from chunkdl.core.planner import check_space
from chunkdl.disk import free_bytes
from chunkdl.observe import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chunkdl.convert.plan import Conversion
    from chunkdl.convert.write import Outcome
    from chunkdl.observe import Observer

# Displays are told ten times a second, as by a fetch.
_TELL_EVERY_S = 0.1


def prepare(source: Path, target: Path | None, word: str, *, here: Path, cache_dir: Path) -> Conversion:
    """What ``convert source --dtype word`` would do.

    Args:
        source: the folder to convert.
        target: the folder to make; None for the usual one.
        word: a key of ``DTYPES``.
        here: the current folder.
        cache_dir: the hub's cache, where nothing is ever written.

    Raises:
        ArtifactNotFound, IntegrityError, PolicyRefused, StoreError: see ``places`` and ``plan``.
    """
    source = source.absolute()
    target = usual_target(source, word, here.absolute()) if target is None else target.absolute()
    files = files_below(source)
    check_target(target, source, cache_dir)
    return plan_conversion(source, target, files, DTYPES[word])


def leftovers(plan: Conversion) -> list[str]:
    """What a person should know of earlier attempts, one line each."""
    found = abandoned(plan.target)
    return [f"{each} is left of a conversion that was killed, or is another's at work: remove it" for each in found]


def convert(
    plan: Conversion, observer: Observer, *, clock: Callable[[], float] = time.monotonic, **options: bool
) -> Outcome:
    """Carry ``plan`` out; ``allow_overflow`` as in ``write_conversion``, ``space_check`` False ignores a full disk.

    Raises:
        DiskFull: the result does not fit.
        PolicyRefused, PlacementRefused, StoreError: see ``write_conversion``.
    """
    if options.get("space_check", True):
        check_space(plan.size, free_bytes(plan.target), where=str(plan.target.parent))
    told = Told(plan, observer, clock)
    outcome = write_conversion(plan, told.add, allow_overflow=options.get("allow_overflow", False))
    told.finish()
    return outcome


@dataclass(slots=True)
class Told:
    """Counts what was read, and tells it at a bearable pace."""

    plan: Conversion
    observer: Observer
    clock: Callable[[], float]
    done: int = 0
    started_at: float = field(init=False)
    told_at: float = field(init=False)

    def __post_init__(self) -> None:
        """The clock starts with the first byte."""
        self.started_at = self.told_at = self.clock()

    def add(self, count: int) -> None:
        """``count`` more bytes are done."""
        self.done += count
        if self.clock() - self.told_at >= _TELL_EVERY_S:
            self._tell(files_done=0)

    def finish(self) -> None:
        """Everything is done."""
        self.done = self.plan.read_bytes
        self._tell(files_done=len(self.plan.works))

    def _tell(self, *, files_done: int) -> None:
        now = self.told_at = self.clock()
        rate = self.done / (now - self.started_at) if now > self.started_at else 0.0
        left = self.plan.read_bytes - self.done
        eta_s = left / rate if rate > 0 else None
        files = len(self.plan.works)
        self.observer(Progress(self.done, self.plan.read_bytes, 0, rate, eta_s, files_done, files, ()))
