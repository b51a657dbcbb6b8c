"""Carrying a conversion out: tensor by tensor, a few megabytes in memory, all or nothing.

Decides in which order bytes are read and written, and that a folder appears under its final name only when
every byte of it is on disk: until then it stands beside, and is removed if anything goes wrong.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.convert.header import BITS, spell_header
from chunkdl.convert.numbers import converted
from chunkdl.convert.plan import Act
from chunkdl.disk import create_new, fsync_file, fsync_folder, new_name, read_into, store_errors, write_all
from chunkdl.errors import IntegrityError, PlacementRefused, PolicyRefused
from chunkdl.second_name import copy_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from chunkdl.convert.header import Tensor
    from chunkdl.convert.plan import Conversion, Work

# So much is read, converted and written at a time; a multiple of every element's size. Four megabytes keep the
# calls cheap and the whole program, buffers of all types together, under some tens of megabytes.
_PIECE_BYTES = 4 << 20


@dataclass(slots=True)
class Outcome:
    """What was done; ``overflowed`` counts by tensor the finite numbers that became infinite."""

    converted: int = 0
    kept: int = 0
    overflowed: dict[str, int] = field(default_factory=dict)


def write_conversion(plan: Conversion, on_bytes: Callable[[int], object], *, allow_overflow: bool = False) -> Outcome:
    """Make ``plan.target``; blocking.

    Args:
        plan: what to do.
        on_bytes: told how many bytes were read since it was last called.
        allow_overflow: store numbers that are too large for the type as infinity.

    Raises:
        PolicyRefused: a number is too large and ``allow_overflow`` is False.
        PlacementRefused: the target came into being meanwhile.
        StoreError: the disk.
    """
    outcome = Outcome()
    with _standing_aside(plan.target) as folder:
        for work in plan.works:
            path = folder / work.name
            with store_errors(plan.target / work.name, work.name):
                path.parent.mkdir(parents=True, exist_ok=True)
                if work.act is Act.CONVERT:
                    _convert(plan, work, path, on_bytes, outcome, allow_overflow=allow_overflow)
                    continue
                if work.act is Act.COPY:
                    copy_file(plan.source / work.name, path)
                else:
                    _put(path, work.text)
                on_bytes(work.read_bytes)
    return outcome


@contextmanager
def _standing_aside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its name at the end, or goes."""
    folder = new_name(target.with_name(f".{target.name}"))
    with store_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    try:
        yield folder
        with store_errors(target):
            for each in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
                fsync_folder(each)
            _take_name(folder, target)
            fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _take_name(folder: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise PlacementRefused(f"{target} came into being meanwhile", hint="name another folder with -o")
    folder.rename(target)


def _put(path: Path, text: bytes) -> None:
    fd = create_new(path)
    try:
        write_all(fd, text, 0)
        fsync_file(fd)
    finally:
        os.close(fd)


def _convert(
    plan: Conversion,
    work: Work,
    path: Path,
    on_bytes: Callable[[int], object],
    outcome: Outcome,
    *,
    allow_overflow: bool,
) -> None:
    assert work.header is not None
    head = spell_header(work.tensors, work.header.metadata)
    sources = {each.name: each for each in work.header.tensors}
    fd = create_new(path)
    try:
        write_all(fd, head, 0)
        with (plan.source / work.name).open("rb", buffering=0) as file:
            for target in work.tensors:
                source = sources[target.name]
                stream = _Stream(file.fileno(), work.header.data_start + source.start, fd, len(head) + target.start)
                lost = stream.carry(source, target, on_bytes, work.name)
                outcome.converted += source.dtype != target.dtype
                outcome.kept += source.dtype == target.dtype
                if lost:
                    _note_overflow(outcome, work, target, lost, allowed=allow_overflow)
        fsync_file(fd)
    finally:
        os.close(fd)
    on_bytes(work.header.data_start)


def _note_overflow(outcome: Outcome, work: Work, tensor: Tensor, lost: int, *, allowed: bool) -> None:
    if not allowed:
        raise PolicyRefused(
            f"{lost} numbers of {tensor.name} in {work.name} are too large for {tensor.dtype}",
            hint="--dtype bf16 has the range of F32; --allow-overflow stores them as infinity",
            file=work.name,
        )
    outcome.overflowed[tensor.name] = outcome.overflowed.get(tensor.name, 0) + lost


@dataclass(frozen=True, slots=True)
class _Stream:
    """From one offset of one file to one of another."""

    source_fd: int
    read_at: int
    target_fd: int
    write_at: int

    def carry(self, source: Tensor, target: Tensor, on_bytes: Callable[[int], object], name: str) -> int:
        """Bring one tensor over; returns how many of its numbers did not fit."""
        buffer = memoryview(bytearray(min(_PIECE_BYTES, source.size)))
        at, lost, scale = 0, 0, (BITS[source.dtype], BITS[target.dtype])
        while at < source.size:
            piece = buffer[: min(len(buffer), source.size - at)]
            if read_into(self.source_fd, piece, self.read_at + at) < len(piece):
                raise IntegrityError(
                    f"{name} became shorter while it was read", hint="run the command again", file=name
                )
            out = piece
            if source.dtype != target.dtype:
                out, overflowed = converted(piece, source.dtype, target.dtype)
                lost += overflowed
            write_all(self.target_fd, out, self.write_at + at * scale[1] // scale[0])
            at += len(piece)
            on_bytes(len(piece))
        return lost
