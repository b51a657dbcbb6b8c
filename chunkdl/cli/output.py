"""stdout: data only. Paths in the order asked for, as soon as they are known; or one JSON object.

Decides order and spelling. A reader that goes away (``| head -1``) ends the output, never the fetch; what cannot be
written for another reason, as on a full disk, is an error.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, BinaryIO

from chunkdl.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.report import Report


class Output:
    """Writes bytes to stdout until nobody reads any more."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._broken = False

    @property
    def broken(self) -> bool:
        """True once nothing can be written any more."""
        return self._broken

    def line(self, data: bytes) -> None:
        """One line, flushed: a pipe's reader acts on it at once.

        Raises:
            StoreError: it cannot be written, for the first time: what follows is dropped.
        """
        self._write(data + b"\n")

    def flush(self) -> None:
        """Write what others left in the buffer; raises as ``line`` does."""
        self._write(b"")

    def _write(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            self._broken = True
            self._forget_buffer()
        except OSError as error:
            self._broken = True
            self._forget_buffer()
            raise cannot_write(error) from error

    def text(self, line: str) -> None:
        """A line of text; what no UTF-8 spells is escaped."""
        self.line(line.encode("utf-8", "backslashreplace"))

    def json(self, report: Report) -> None:
        """The one object of ``--json``; ASCII, so that every pipe carries it."""
        self.line(spell_json(report))

    def _forget_buffer(self) -> None:
        # The interpreter flushes stdout at exit and would complain: what is left goes nowhere instead.
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, self._stream.fileno())
        except OSError:
            return  # a stream without a descriptor has no flush at exit either
        finally:
            os.close(null)


def cannot_write(error: OSError) -> StoreError:
    """What it means that stdout refused."""
    hint = "what was done stays done: run it again with its output to where there is room"
    return StoreError(f"cannot write to standard output: {error.strerror or error}", hint=hint)


def spell_json(report: Report) -> bytes:
    """A report on one line."""
    return json.dumps(report.as_json()).encode("ascii")


class PathsInOrder:
    """Prints placed paths in the order of the references, each once all before it are settled.

    ``output`` None only remembers them.
    """

    def __init__(self, references: Sequence[str], output: Output | None) -> None:
        self._references = list(references)
        self._output = output
        self._paths: list[str | None] = [None] * len(self._references)
        self._next = 0

    @property
    def placed(self) -> tuple[str | None, ...]:
        """What is known so far, one for each reference."""
        return tuple(self._paths)

    def add(self, reference: str, path: str) -> None:
        """``reference`` is placed; one that was typed twice fills its first free place."""
        for index, each in enumerate(self._references):
            if each == reference and self._paths[index] is None:
                self._paths[index] = path
                break
        while self._next < len(self._paths) and (known := self._paths[self._next]) is not None:
            self._print(known)

    def finish(self, paths: Sequence[str | None]) -> None:
        """The run ended with ``paths``, None for what failed: print those still held back."""
        for path in paths[self._next :]:
            if path is None:
                self._next += 1
            else:
                self._print(path)

    def _print(self, path: str) -> None:
        if self._output is not None:
            self._output.line(os.fsencode(path))
        self._next += 1
