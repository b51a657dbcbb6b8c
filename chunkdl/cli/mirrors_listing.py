"""``chunkdl mirrors list``: the registry as a table, with what is known and what past runs taught.

Decides columns and words; what there is to show comes from ``mirrors.registry``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chunkdl.cli.answering import Answer, answer, table
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.mirrors.memory import load_memory
from chunkdl.mirrors.registry import entries, entry_json
from chunkdl.settings import load_settings
from chunkdl.settings.load import load_declared, user_settings_path
from chunkdl.settings.user_file import FACTS
from chunkdl.spelling import printable, spell_count, spell_duration, spell_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.mirrors.registry import Entry
    from chunkdl.mirrors.remembered import Experience, Way

_DAY_S = 86_400
_INDENT = "    "


def show(around: Surroundings, *, as_json: bool) -> int:
    """Print the registry; the exit code."""
    return answer(around, lambda: _made(around), as_json=as_json, empty=EMPTY["mirrors list"])


def _made(around: Surroundings) -> Answer:
    now = time.time()
    settings = load_settings(around.environ, folder=around.folder)
    memory = load_memory(settings.state_dir)
    found = entries(settings, load_declared(around.environ), memory, now)
    path, _ = user_settings_path(around.environ)
    values = {"settings_file": str(path), "mirrors": [entry_json(each, now) for each in found]}
    return Answer(values, list(_lines(found, now)), (*settings.notices, *memory.notices))


def _lines(found: tuple[Entry, ...], now: float) -> Iterator[str]:
    heading, *rows = table([("NAME", "STATE", "KIND", "CONNECTIONS", "FROM"), *map(_row, found)])
    yield heading
    for row, each in zip(rows, found, strict=True):
        yield row
        yield from (f"{_INDENT}{printable(line)}" for line in _details(each, now))


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    cap = str(entry.mirror.max_connections) if entry.mirror else "-"
    return printable(entry.name), entry.state, entry.kind, cap, printable(entry.where)


def _details(entry: Entry, now: float) -> Iterator[str]:
    if entry.url.partition("://")[2] != entry.name:
        yield entry.url
    for key in FACTS:
        if entry.facts.get(key):
            yield f"{key}: {entry.facts[key]}"
    if entry.caveat:
        yield f"caveat: {entry.caveat}"
    if policy := _policy(entry):
        yield f"policy: {policy}"
    for way, known in entry.learnt:
        yield f"learnt: {_learnt(way, known, now)}"


def _policy(entry: Entry) -> str:
    mirror = entry.mirror
    if mirror is None:
        return ""
    said = {
        "instead of": mirror.replaces,
        "priority": mirror.priority or "",
        "at most": spell_rate(mirror.rate_cap_bytes_per_s) if mirror.rate_cap_bytes_per_s else "",
        "first byte within": spell_duration(mirror.first_byte_s) if mirror.first_byte_s != _usual_s() else "",
        "token from": entry.token_env,
        "trusts": mirror.ca_file,
        "proxy": "" if mirror.proxy == "env" else mirror.proxy.rpartition("@")[2],
    }
    return ", ".join(f"{name} {value}" for name, value in said.items() if value)


def _usual_s() -> float:
    from chunkdl.settings.values import FIRST_BYTE_S  # noqa: PLC0415 - one constant

    return FIRST_BYTE_S


def _learnt(way: Way, known: Experience, now: float) -> str:
    age_s = max(0.0, now - known.at)
    when = f"{spell_count(int(age_s // _DAY_S), 'day')} ago" if age_s >= _DAY_S else f"{spell_duration(age_s)} ago"
    parts = [f"{spell_rate(known.rate_bytes_per_s)} a connection"] if known.rate_bytes_per_s else []
    parts.append(f"from {way.host}" + (f" through {way.proxy}" if way.proxy else ""))
    # Counts fade: what is left of one failure is still one in words.
    if known.failures:
        parts.append(spell_count(max(1, round(known.failures)), "recent failure"))
    if known.lies:
        parts.append(f"wrong bytes {spell_count(max(1, round(known.lies)), 'time')}")
    return f"{', '.join(parts)} ({when})"
