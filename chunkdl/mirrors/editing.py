"""Changing the user's settings file so that everything else in it stays as it was written, comments included.

Decides how a ``[[mirror]]`` is added, changed and taken out. The only importer of tomlkit; text in, text out, but for
``save``, which leaves the old file or the new one and never a part.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from chunkdl.disk import replacing, store_errors, write_all
from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A proxy's URL in it may hold a password.
_OWN = 0o600

TableLike = TypeVar("TableLike", bound="tomlkit.items.Table | tomlkit.items.InlineTable")


def added(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with one more mirror at the end of its mirrors."""
    document = _parsed(text)
    if isinstance(there := document.get("mirror"), tomlkit.items.AoT):
        there.append(_filled(tomlkit.table(), values))
    elif there is not None:
        there.append(_filled(tomlkit.inline_table(), values))
    else:
        tables = tomlkit.aot()
        tables.append(_filled(tomlkit.table(), values))
        if text.strip():
            document.add(tomlkit.nl())
        document.add("mirror", tables)
    return tomlkit.dumps(document)


def changed(text: str, index: int, values: Mapping[str, Any]) -> str:
    """``text`` with ``values`` set in the mirror ``index``, counted from 0; None takes a key out."""
    document = _parsed(text)
    table: Any = document["mirror"][index]
    for key, value in values.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return tomlkit.dumps(document)


def removed(text: str, index: int) -> str:
    """``text`` without the mirror ``index``, counted from 0."""
    document = _parsed(text)
    tables: Any = document["mirror"]
    del tables[index]
    if not tables:
        del document["mirror"]
    return tomlkit.dumps(document)


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except (ParseError, TOMLKitError) as error:
        raise UsageError(f"the settings file cannot be changed: {error}", hint="correct it by hand") from error


def _filled(table: TableLike, values: Mapping[str, Any]) -> TableLike:
    for key, value in values.items():
        table.add(key, value)
    return table


def save(path: Path, text: str) -> None:
    """Put ``text`` at ``path``, through a link to where the file really is, with the mode that it had.

    A new file is its owner's alone.

    Raises:
        StoreError: the folder or the file cannot be written.
    """
    real = path.resolve()
    with store_errors(real):
        real.parent.mkdir(parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o7777 if real.exists() else _OWN
        with replacing(real) as fd:
            if hasattr(os, "fchmod"):
                os.fchmod(fd, mode)
            write_all(fd, text.encode(), 0)
