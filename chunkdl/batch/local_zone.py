"""The time zone of this machine, with its rules: what a clock on its wall shows in summer and in winter.

Decides where that is looked up: the variable TZ, the system's ``/etc/localtime``, else whatever the C library says.
Deliberately returns no fixed offset, which would be wrong half of the year.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SYSTEM_FILE = Path("/etc/localtime")
_DATABASE = "zoneinfo"  # the folder below which a file's path is its name, on Linux and macOS


class LibraryClock(tzinfo):
    """Local time as the C library computes it for this process: rules such as ``CET-1CEST,M3.5.0,M10.5.0``, Windows."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        """Of a wall clock's time; ``fold`` tells the two times apart that a clock shows twice."""
        if when is None:
            return None
        naive = when.replace(tzinfo=None)
        return naive - datetime.fromtimestamp(naive.timestamp(), UTC).replace(tzinfo=None)

    def dst(self, when: datetime | None) -> timedelta | None:
        """Not told apart from the standard time."""
        return None if when is None else timedelta(0)

    def tzname(self, when: datetime | None) -> str | None:
        """As the library calls it at that time."""
        return None if when is None else when.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, when: datetime) -> datetime:
        """The time on the wall at an instant."""
        local = datetime.fromtimestamp(when.replace(tzinfo=UTC).timestamp())  # noqa: DTZ006 - naive: local, with its fold
        return local.replace(tzinfo=self)

    def __str__(self) -> str:
        return "local time"


_LIBRARY_CLOCK = LibraryClock()


def local_zone(environ: Mapping[str, str], system_file: Path = _SYSTEM_FILE) -> tzinfo:
    """This machine's time zone; reads the time zone database, and ``system_file`` where TZ is not set.

    POSIX says what TZ means: a rule, or after a colon whatever the system likes, which is a name or a file.
    """
    said = environ.get("TZ")
    if said is None:
        return _of_file(system_file) or _LIBRARY_CLOCK
    name = said.removeprefix(":")
    if not name:
        return UTC
    found = _of_file(Path(name)) if name.startswith("/") else _of_name(name)
    return found or _LIBRARY_CLOCK


def _of_name(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a rule, or a name that is a folder
        return None


def _of_file(path: Path) -> tzinfo | None:
    """By the name that a link leads to, else by the file's own content."""
    try:
        parts = path.resolve(strict=True).parts
        if _DATABASE in parts:
            named = _of_name("/".join(parts[parts.index(_DATABASE) + 1 :]))
            if named is not None:
                return named
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(path))
    except (OSError, ValueError):
        return None
