"""What the folders and what lies in them mean to the next fetch. Pure."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from chunkdl.caches.pruning import OLDER_THAN_S, is_busy, is_stale
from chunkdl.caches.seen import TORCH
from chunkdl.doctor.seen import Finding, Level
from chunkdl.model import GIB
from chunkdl.spelling import spell_bytes, spell_count, spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chunkdl.caches.seen import PartialSeen
    from chunkdl.doctor.seen import FolderSeen

# The smallest model that people fetch in earnest (BERT base, 0.4 GiB in one format) and room to work.
_LITTLE_BYTES = 2 * GIB
_DAY_S = 86_400


def judge_folder(seen: FolderSeen) -> Iterator[Finding]:
    """One folder. A state folder that cannot be used costs memory, never a fetch; one that hangs costs that too."""
    subject = f"{seen.role} folder"
    if seen.trouble:
        vital = seen.role == "cache" or not seen.answers
        level = Level.PROBLEM if vital else Level.WARNING
        hint = seen.hint if vital else "set CHUNKDL_STATE_DIR to a folder of yours; until then nothing is remembered"
        yield Finding(level, f"{seen.role}-unusable", subject, seen.trouble, hint, seen.exit_code if vital else 0)
        return
    if seen.exposed:
        message = f"{seen.path} belongs to somebody else or others may write to it: it is not believed"
        yield Finding(Level.WARNING, "state-exposed", subject, message, f"chmod go-w {seen.path}, or CHUNKDL_STATE_DIR")
    if seen.role == "cache":
        yield from _judge_cache(seen, subject)


def _judge_cache(seen: FolderSeen, subject: str) -> Iterator[Finding]:
    if seen.free_bytes is None:
        yield Finding(Level.NOTE, "space-unknown", subject, f"the system does not say how much space {seen.path} has")
    elif seen.free_bytes < _LITTLE_BYTES:
        message = f"only {spell_bytes(seen.free_bytes)} are free for {seen.path}"
        advice = "free some space, or choose another folder: HF_HUB_CACHE or --cache-dir"
        yield Finding(Level.WARNING, "little-space", subject, message, advice)
    if seen.symlinks is False:
        message = f"{seen.path} cannot hold symbolic links: files are placed as copies, shared ones several times"
        yield Finding(Level.WARNING, "no-symlinks", subject, message, "choose another file system with HF_HUB_CACHE")
    if seen.hard_links is False:
        message = f"{seen.path} cannot hold hard links: files that two repositories share are copied"
        yield Finding(Level.NOTE, "no-hard-links", subject, message)


def judge_leftovers(leftovers: Iterable[PartialSeen], cache: str, now: float) -> Iterator[Finding]:
    """Downloads that were begun, by repository: alive, to be resumed, or forgotten; as ``cache prune`` tells them."""
    by_place: dict[str, list[PartialSeen]] = {}
    for each in leftovers:
        by_place.setdefault(each.place, []).append(each)
    for place, found in by_place.items():
        yield from _judge_place(place, found, cache, now)


def _judge_place(place: str, found: list[PartialSeen], cache: str, now: float) -> Iterator[Finding]:
    again = "the same fetch" if place == TORCH else f"chunkdl fetch {place}"
    running = [each for each in found if is_busy(each, now)]
    if running:
        alive = any(each.owner == "alive" for each in running)
        whose = " by a running process" if alive else f": {running[0].whose}"
        message = f"{place}: {spell_count(len(running), 'file')} in transfer{whose}"
        yield Finding(Level.NOTE, "in-transfer", place, message)
    stale = [each for each in found if is_stale(each, OLDER_THAN_S, now)]
    if stale:
        age = spell_age(min(now - each.modified_at for each in stale))
        advice = f"{again} goes on with them; or chunkdl cache prune --cache-dir {quote(cache)} removes them"
        yield Finding(Level.WARNING, "stale-partials", place, f"{_spell(place, stale)} untouched for {age}", advice)
    young = [each for each in found if each not in running and each not in stale]
    if young:
        orphaned = any(each.owner == "dead" for each in young)
        why = "; the process that began it is gone, which is harmless" if orphaned else ""
        yield Finding(Level.NOTE, "partials", place, f"{_spell(place, young)}{why}", f"{again} goes on with it")


def _spell(place: str, found: list[PartialSeen]) -> str:
    size = spell_bytes(sum(each.size for each in found))
    return f"{place}: {spell_count(len(found), 'unfinished file')} ({size})"


def spell_age(seconds: float) -> str:
    """Whole days from two on, else hours and minutes."""
    return f"{int(seconds // _DAY_S)} days" if seconds >= 2 * _DAY_S else spell_duration(seconds)
