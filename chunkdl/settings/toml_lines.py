"""In which line of a TOML text a key stands, for messages about its value.

Decides by a scan that is good enough for settings files; the parser itself (``tomllib``) tells no lines. A key
that it does not find (inline tables, dotted keys) is reported without a line, never with a wrong one.
"""

from __future__ import annotations

import re
from collections import Counter

_HEADER = re.compile(r"\s*(\[\[?)\s*[\"']?([\w-]+)[\"']?\s*\]")
_KEY = re.compile(r"\s*(?:\"([^\"\\]*)\"|'([^']*)'|([\w-]+))\s*=")
_LONG_QUOTES = ('"""', "'''")

Path = tuple[str | int, ...]


def lines_by_key(text: str) -> dict[Path, int]:
    """Path of a key → its line, counted from 1: ``("trust",)``, ``("mirror", 0)``, ``("mirror", 0, "url")``."""
    found: dict[Path, int] = {}
    table: Path = ()
    seen: Counter[str] = Counter()
    quotes = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not quotes and (header := _HEADER.match(line)):
            name = header[2]
            table = (name, seen[name]) if header[1] == "[[" else (name,)
            seen[name] += 1
            found.setdefault(table, number)
        elif not quotes and (key := _KEY.match(line)):
            found.setdefault((*table, next(each for each in key.groups() if each is not None)), number)
        quotes = _open_quotes(line, quotes)
    return found


def _open_quotes(line: str, quotes: str) -> str:
    """Which long quotes are open after ``line``: what stands inside them is no key."""
    if quotes:
        return "" if line.count(quotes) % 2 else quotes
    if line.lstrip().startswith("#"):
        return ""
    return next((each for each in _LONG_QUOTES if line.count(each) % 2), "")
