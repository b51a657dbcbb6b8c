"""What the folders and what lies in them mean to the next fetch. Pure."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from chunkdl.doctor.seen import Finding, Level
from chunkdl.model import GIB
from chunkdl.spelling import spell_bytes, spell_count, spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chunkdl.doctor.seen import FolderSeen, LeftoverSeen

# The smallest model that people fetch in earnest (BERT base, 0.4 GiB in one format) and room to work.
_LITTLE_BYTES = 2 * GIB
_DAY_S = 86_400
# As ``chunkdl cache prune``: what nobody was at for so long, it removes.
STALE_S = 14 * _DAY_S


def judge_folder(seen: FolderSeen) -> Iterator[Finding]:
    """One folder. A state folder that cannot be used costs memory, never a fetch."""
    subject = f"{seen.role} folder"
    if seen.trouble:
        vital = seen.role == "cache"
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


def judge_leftovers(leftovers: Iterable[LeftoverSeen], cache: str) -> Iterator[Finding]:
    """Downloads that were begun, by repository: alive, to be resumed, or forgotten."""
    by_repo: dict[str, list[LeftoverSeen]] = {}
    for each in leftovers:
        by_repo.setdefault(each.repo, []).append(each)
    for repo, found in by_repo.items():
        yield from _judge_repo(repo, found, cache)


def _judge_repo(repo: str, found: list[LeftoverSeen], cache: str) -> Iterator[Finding]:
    running = [each for each in found if each.owner == "alive"]
    idle = [each for each in found if each.owner != "alive"]
    if running:
        message = f"{repo}: {spell_count(len(running), 'file')} in transfer by a running process"
        yield Finding(Level.NOTE, "in-transfer", repo, message)
    stale = [each for each in idle if each.age_s >= STALE_S]
    if stale:
        message = f"{_spell(repo, stale)} untouched for {spell_age(min(each.age_s for each in stale))}"
        advice = (
            f"chunkdl fetch {repo} goes on with them; or chunkdl cache prune --cache-dir {quote(cache)} removes them"
        )
        yield Finding(Level.WARNING, "stale-partials", repo, message, advice)
    young = [each for each in idle if each.age_s < STALE_S]
    if young:
        orphaned = any(each.owner == "dead" for each in young)
        why = "; the process that began it is gone, which is harmless" if orphaned else ""
        yield Finding(
            Level.NOTE, "partials", repo, f"{_spell(repo, young)}{why}", f"chunkdl fetch {repo} goes on with it"
        )


def _spell(repo: str, found: list[LeftoverSeen]) -> str:
    size = spell_bytes(sum(each.bytes for each in found))
    return f"{repo}: {spell_count(len(found), 'unfinished file')} ({size})"


def spell_age(seconds: float) -> str:
    """Whole days from two on, else hours and minutes."""
    return f"{int(seconds // _DAY_S)} days" if seconds >= 2 * _DAY_S else spell_duration(seconds)
