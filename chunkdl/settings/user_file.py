"""A settings file, ``chunkdl.toml``: read, checked against the keys that exist, never written here.

Decides what may stand in the user's file and in a project's, and that a mistake is named with file, line and
key. What the values mean is decided by their readers, which ask ``place`` how to name them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from chunkdl.errors import UsageError
from chunkdl.settings.toml_lines import lines_by_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_FILE_BYTES = 1 << 20  # a page of mirrors has a few KiB

_Kinds = dict[str, type | tuple[type, ...]]

# The facts by which people choose mirrors: free text, shown as it is written, never judged and never invented.
FACTS = ("covers", "sync", "operator", "certification")

_USER_KEYS: _Kinds = {
    "origin": str,
    "insecure": bool,
    "trust": str,
    "private": list,
    "cache_dir": str,
    "state_dir": str,
    "connect_s": (int, float),
    "first_byte_s": (int, float),
    "builtin_mirrors": bool,
    "mirror": list,
    "batch": dict,
}
# What batches do by default; a hook is a command, so that only the user may name one.
_BATCH_KEYS: _Kinds = {
    "windows": list,
    "time_zone": str,
    "bwlimit": str,
    "budgets": dict,
    "caps": dict,
    "on_job_done": list,
    "on_window_closed": list,
}
_COMMANDS = ("on_job_done", "on_window_closed")
# What an untrusted checkout may say: what to take and where to, never whom to believe, to pay or to log in to.
_PROJECT_MIRROR_KEYS: _Kinds = {
    "url": str,
    "name": str,
    "kind": str,
    "max_connections": int,
    "first_byte_s": (int, float),
    "rate_cap_bytes_per_s": (int, float),
    **dict.fromkeys(FACTS, str),
}
_USER_MIRROR_KEYS: _Kinds = {
    **_PROJECT_MIRROR_KEYS,
    "enabled": bool,
    "of": str,
    "replaces": str,
    "token_env": str,
    "proxy": str,
    "ca_file": str,
    "priority": int,
}
_PROJECT_KEYS: _Kinds = {
    "revision": str,
    "include": list,
    "exclude": list,
    "format": str,
    "variant": str,
    "quant": str,
    "cache_dir": str,
    "local_dir": str,
    "mirror": list,
}
_LISTS_OF_PATTERNS = ("private", "include", "exclude")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MirrorTable:
    """One ``[[mirror]]`` as it stands in a file; ``number`` counts from 1."""

    values: Mapping[str, Any]
    number: int
    file: str
    lines: Mapping[str, int]

    def place(self, key: str) -> str:
        """How a message names the value of ``key``: file, line, mirror and key."""
        line = self.lines.get(key, self.lines.get("", 0))
        return f"{self.file}{f':{line}' if line else ''}: mirror {self.number}: {key}"


@dataclass(frozen=True, slots=True)
class UserFile:
    """Checked contents of a settings file; ``where`` names it in messages and provenance."""

    where: str
    values: Mapping[str, Any]
    mirrors: tuple[MirrorTable, ...] = ()
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value of ``key``, whose type was checked on reading, or None."""
        value = self.values.get(key)
        return value if isinstance(value, kind) else None

    def place(self, key: str) -> str:
        """How a message names the value of ``key``: file, line and key."""
        return f"{_line(self.where, self.lines, (key,))}: {key}"

    def place_in(self, table: str, key: str) -> str:
        """The same for a ``key`` in a table."""
        return f"{_line(self.where, self.lines, (table, key))}: {table}.{key}"


def read_user_file(path: Path, *, required: bool) -> UserFile:
    """Read the user's own file; an absent one is empty unless ``required``. ``UsageError`` names file, line and key."""
    text = settings_text(path, required=required)
    return UserFile(str(path), {}) if text is None else check_user_text(text, str(path))


def check_user_text(text: str, where: str) -> UserFile:
    """The same for a text that is about to become the user's file."""
    return _Reading(text, where, _USER_KEYS, _USER_MIRROR_KEYS).checked()


def read_project_file(path: Path) -> UserFile:
    """Read a project's file, which a stranger may have written; an absent one is empty.

    Raises:
        UsageError: it says what only the user may say; the message names file, line and key.
    """
    text = settings_text(path, required=False)
    if text is None:
        return UserFile(str(path), {})
    return _Reading(text, str(path), _PROJECT_KEYS, _PROJECT_MIRROR_KEYS, of_project=True).checked()


def settings_text(path: Path, *, required: bool) -> str | None:
    """The text of a settings file, None if it is absent; ``UsageError`` if it is ``required`` or no text."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode()
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise UsageError(f"{path}: no such settings file") from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(str(path), error) from error


def _unreadable(where: str, error: Exception) -> UsageError:
    return UsageError(f"{where}: cannot be read as TOML: {error}")


def _line(where: str, lines: Mapping[tuple[str | int, ...], int], path: tuple[str | int, ...]) -> str:
    line = lines.get(path, lines.get(path[:-1], 0))
    return f"{where}:{line}" if line else where


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text being checked against the keys that may stand in it."""

    text: str
    where: str
    keys: _Kinds
    mirror_keys: _Kinds
    of_project: bool = False

    def checked(self) -> UserFile:
        try:
            values = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise _unreadable(self.where, error) from error
        lines = lines_by_key(self.text)
        self._check_keys(values, self.keys, lines, ())
        self._check_batch(values.get("batch", {}), lines)
        tables = tuple(self._mirror(each, index, lines) for index, each in enumerate(values.pop("mirror", [])))
        for key in _LISTS_OF_PATTERNS:
            if not all(isinstance(each, str) for each in values.get(key, [])):
                raise UsageError(f"{_line(self.where, lines, (key,))}: {key} is a list of patterns such as 'corp/*'")
        return UserFile(self.where, values, tables, lines)

    def _mirror(self, table: Any, index: int, lines: Mapping[tuple[str | int, ...], int]) -> MirrorTable:
        place = _line(self.where, lines, ("mirror", index))
        if not isinstance(table, dict):
            raise UsageError(f"{_line(self.where, lines, ('mirror',))}: mirrors are written as [[mirror]] tables")
        self._check_keys(table, self.mirror_keys, lines, ("mirror", index))
        if "url" not in table:
            raise UsageError(f"{place}: mirror {index + 1} has no url")
        own = {str(path[2]): line for path, line in lines.items() if path[:2] == ("mirror", index) and path[2:]}
        own[""] = lines.get(("mirror", index), 0)
        return MirrorTable(table, index + 1, self.where, own)

    def _check_batch(self, table: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int]) -> None:
        self._check_keys(table, _BATCH_KEYS, lines, ("batch",))
        for key, value in table.items():
            place = f"{_line(self.where, lines, ('batch', key))}: batch.{key}"
            if isinstance(value, dict) and not all(isinstance(each, str) for each in value.values()):
                raise UsageError(f"{place} maps mirrors to texts such as '20G'")
            if isinstance(value, list) and not all(isinstance(each, str) for each in value):
                raise UsageError(f"{place} is a list of texts")
            if key in _COMMANDS and not any(value[:1]):
                raise UsageError(f"{place} names no command", hint='write ["notify-send", "models are here"]')

    def _check_keys(
        self,
        values: Mapping[str, Any],
        known: _Kinds,
        lines: Mapping[tuple[str | int, ...], int],
        table: tuple[str | int, ...],
    ) -> None:
        for key, value in values.items():
            place = _line(self.where, lines, (*table, key))
            if key not in known:
                raise self._foreign(key, place, known)
            kind = known[key]
            # bool is an int to Python, but `priority = true` is a mistake
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise UsageError(f"{place}: {key} has the wrong type")

    def _foreign(self, key: str, place: str, known: _Kinds) -> UsageError:
        if self.of_project and (key in _USER_KEYS or key in _USER_MIRROR_KEYS):
            hint = "a checkout must not decide that: say it in your own settings file, the environment or a flag"
            return UsageError(f"{place}: {key} may not stand in a project's settings", hint=hint)
        return UsageError(f"{place}: unknown key {key!r}", hint=f"known keys: {', '.join(known)}")
