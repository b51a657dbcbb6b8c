"""The memory of mirrors on disk: one small JSON file in the state folder, read at start, written at the end.

Decides its form and that it may be lost: a file that does not read back is set aside with a notice, a folder that
cannot be written costs memory, never a fetch. What the numbers mean is ``remembered``'s.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkdl.disk import replacing, write_all
from chunkdl.mirrors.remembered import Book, Experience, Way, learn, prior
from chunkdl.observe import Notice
from chunkdl.own_folder import check_own, make_own

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chunkdl.mirrors.remembered import Prior, Seen

MEMORY_FILE = "mirrors.json"
_FORM = 1  # raised when the form changes; a file of another form is set aside
_MAX_FILE_BYTES = 1 << 20  # MAX_ENTRIES of some 200 bytes each
_FIELDS = ("rate_bytes_per_s", "failures", "lies", "at")


class _Spoilt(ValueError):
    """The file is no memory of this form."""


@dataclass(slots=True)
class Memory:
    """What is known of mirrors in the state folder ``root``; use ``load_memory``. No method fails for a bad disk."""

    root: Path
    book: Book = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def prior(self, mirror_url: str, proxy: str, now: float) -> Prior | None:
        """What a run that starts ``now`` (seconds since the epoch) may expect of a mirror; None if nothing is known."""
        return prior(self.book, mirror_url, proxy, now)

    def learn(self, seen: Sequence[Seen], now: float) -> None:
        """Add what a run saw to what is on disk by now: another process may have written meanwhile."""
        if not seen:
            return
        self._read()
        self.book = learn(self.book, seen, now)
        try:
            make_own(self.root)
            check_own(self.root)
            with replacing(self.root / MEMORY_FILE, sync=False) as fd:  # a power cut may cost a memory
                write_all(fd, _encode(self.book), 0)
        except OSError as error:
            self._say(f"what this run taught about mirrors is forgotten: {error}")

    def _read(self) -> None:
        path = self.root / MEMORY_FILE
        try:
            check_own(self.root)
            with path.open("rb") as file:
                self.book = _decode(file.read(_MAX_FILE_BYTES + 1))
        except FileNotFoundError:
            return
        except _Spoilt as error:
            self._set_aside(path, error)
        except OSError as error:
            self._say(f"what earlier runs taught about mirrors cannot be read: {error}")

    def _set_aside(self, path: Path, error: _Spoilt) -> None:
        aside = path.with_name(f"{path.name}.spoilt")
        try:
            path.replace(aside)
        except OSError as failure:
            self._say(f"{path} is spoilt ({error}) and cannot be set aside: {failure}")
        else:
            self._say(f"the memory of mirrors was spoilt ({error}): it begins anew, the old file is {aside}")

    def _say(self, message: str) -> None:
        notice = Notice("mirror-memory", message)
        if notice not in self.notices:
            self.notices.append(notice)


def load_memory(root: Path) -> Memory:
    """Read the memory in the state folder ``root``; ``notices`` says if it was unusable."""
    memory = Memory(root)
    memory._read()  # noqa: SLF001  # the constructor that may touch the disk
    return memory


def _encode(book: Book) -> bytes:
    rows = [
        {
            "mirror": way.mirror,
            "host": way.host,
            "proxy": way.proxy,
            **{name: round(getattr(known, name), 3) for name in _FIELDS},
        }
        for way, known in book.items()
    ]
    return json.dumps({"form": _FORM, "ways": rows}, indent=1).encode()


def _decode(data: bytes) -> Book:
    if len(data) > _MAX_FILE_BYTES:
        raise _Spoilt("too long")
    try:
        values = json.loads(data)
        return dict(map(_entry, _ways(values)))
    except _Spoilt:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Spoilt(f"{type(error).__name__}: no memory of mirrors") from error


def _ways(values: dict[str, Any]) -> list[dict[str, Any]]:
    if values["form"] != _FORM:
        raise _Spoilt(f"its form is {values['form']!r}, not {_FORM}")
    return list(values["ways"])


def _entry(row: dict[str, Any]) -> tuple[Way, Experience]:
    names = [row[key] for key in ("mirror", "host", "proxy")]
    numbers = [float(row[name]) for name in _FIELDS]
    if not all(isinstance(each, str) for each in names) or not all(math.isfinite(n) and n >= 0 for n in numbers):
        raise _Spoilt("a value that cannot be")
    return Way(*names), Experience(*numbers)
