"""Every mirror that there is to know of, used or not: the origin, those in use, those switched off, those known.

Decides what a person is shown about each and where it comes from. Facts are repeated, never invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkdl.http.proxies import redacted_proxy
from chunkdl.settings.registry import KNOWN_MIRRORS, OTHER_HUBS, KnownMirror, known_mirror, other_hub

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkdl.mirrors.memory import Memory
    from chunkdl.mirrors.remembered import Experience, Way
    from chunkdl.model import Mirror
    from chunkdl.settings import Settings
    from chunkdl.settings.declared import Declared


@dataclass(frozen=True, slots=True)
class Entry:
    """One mirror as ``mirrors list`` shows it.

    Args:
        name: how messages call it.
        url: base URL.
        kind: how it is asked.
        state: ``origin``, ``on``, ``off``.
        where: what put it there: ``built-in``, a file, a flag or a variable.
        mirror: its policy; None for one that is only known.
        facts: what somebody wrote about it.
        caveat: what we know that a user should.
        token_env: which variable holds its token; the token itself is nobody's business.
        learnt: what past runs taught, newest first.
    """

    name: str
    url: str
    kind: str
    state: str
    where: str
    mirror: Mirror | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    caveat: str = ""
    token_env: str = ""
    learnt: tuple[tuple[Way, Experience], ...] = ()


def entries(settings: Settings, declared: Sequence[Declared], memory: Memory, now: float) -> tuple[Entry, ...]:
    """The origin, then mirrors in use, then those that are off; ``now`` in seconds since the epoch."""
    origin = settings.origin
    listed = [_entry(origin, "origin", settings.provenance.get("origin", "default"), None, memory, now)]
    by_url = {each.mirror.url: each for each in declared}
    listed += [
        _entry(each, "on", _where(each, by_url, settings), by_url.get(each.url), memory, now)
        for each in dict.fromkeys((*settings.mirrors, *settings.url_mirrors))
    ]
    used = {each.url for each in listed}
    off = [each for each in declared if each.mirror.url not in used]
    listed += [_entry(each.mirror, "off", each.place.partition(": ")[0], each, memory, now) for each in off]
    used |= {each.mirror.url for each in off}
    return (*listed, *(_known(each) for each in (*KNOWN_MIRRORS, *OTHER_HUBS) if each.url not in used))


def _where(mirror: Mirror, by_url: Mapping[str, Declared], settings: Settings) -> str:
    if mirror.url in by_url:
        return by_url[mirror.url].place.partition(": ")[0]
    if not mirror.vouches:
        return "this folder's chunkdl.toml"
    known = known_mirror(mirror.url) or other_hub(mirror.url)
    said = settings.provenance.get("mirrors", "default")
    from_words = said.startswith(("flag", "environment"))
    return "built-in" if known is not None and known.on and not from_words else said


def _entry(mirror: Mirror, state: str, where: str, declared: Declared | None, memory: Memory, now: float) -> Entry:
    known = known_mirror(mirror.url) or other_hub(mirror.url)
    facts = {"covers": known.covers} if known and known.covers else {}
    return Entry(
        mirror.name,
        mirror.url,
        mirror.kind.value,
        state,
        where,
        mirror,
        {**facts, **(declared.facts if declared else {})},
        known.caveat if known else "",
        declared.token_env if declared else "",
        _learnt(memory, mirror.url, now),
    )


def _learnt(memory: Memory, url: str, now: float) -> tuple[tuple[Way, Experience], ...]:
    found = [(way, known.faded(now)) for way, known in memory.book.items() if way.mirror == url]
    return tuple(sorted(found, key=lambda each: -each[1].at))


def _known(known: KnownMirror) -> Entry:
    facts = {"covers": known.covers} if known.covers else {}
    return Entry(known.host, known.url, known.kind.value, "off", "known", None, facts, known.caveat)


def entry_json(entry: Entry, now: float) -> dict[str, Any]:
    """One element of ``mirrors[]`` of ``mirrors list --json``; proxies come without passwords."""
    mirror = entry.mirror
    policy = {
        "max_connections": mirror.max_connections if mirror else None,
        "rate_cap_bytes_per_s": mirror.rate_cap_bytes_per_s if mirror else None,
        "first_byte_s": mirror.first_byte_s if mirror else None,
        "priority": mirror.priority if mirror else None,
        "proxy": redacted_proxy(mirror.proxy) if mirror else None,
        "ca_file": (mirror.ca_file or None) if mirror else None,
        "has_token": bool(mirror.token) if mirror else False,
        "token_env": entry.token_env or None,
        "replaces": (mirror.replaces or None) if mirror else None,
    }
    return {
        "name": entry.name,
        "url": entry.url,
        "kind": entry.kind,
        "state": entry.state,
        "where": entry.where,
        **policy,
        "facts": dict(entry.facts),
        "caveat": entry.caveat or None,
        "learnt": [_learnt_json(way, known, now) for way, known in entry.learnt],
    }


def _learnt_json(way: Way, known: Experience, now: float) -> dict[str, Any]:
    return {
        "host": way.host,
        "proxy": way.proxy or None,
        "rate_bytes_per_s": known.rate_bytes_per_s or None,
        "failures": round(known.failures, 2),
        "lies": round(known.lies, 2),
        "age_s": round(max(0.0, now - known.at), 1),
    }
