"""``chunkdl cache ls``: what is in the caches, as a table, as lines for programs, or as one object.

Decides columns and words; what there is comes from ``caches``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from chunkdl.caches.choosing import choose, in_order, rows
from chunkdl.caches.pruning import is_busy
from chunkdl.caches.seen import CheckpointSeen, PartialSeen, RepoSeen, total_bytes
from chunkdl.cli.answering import Answer, answer, table
from chunkdl.cli.cache_json import seen_json
from chunkdl.cli.cache_sight import look, settings_of
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.observe import Notice
from chunkdl.spelling import printable, spell_bytes, spell_count, spell_duration, spell_share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.caches.choosing import Row
    from chunkdl.caches.seen import CachesSeen, RevisionSeen
    from chunkdl.cli.surroundings import Surroundings

_DAY_S = 86_400
_JUST_NOW_S = 60.0
_REFS_SHOWN = 3
_HEADING = ("ID", "SIZE", "LAST USED", "MODIFIED", "HOLDS")


def show(around: Surroundings, /, *, as_json: bool, quiet: bool, cache_dir: str | None, **how: Any) -> int:
    """Print the list; the exit code."""
    plain = quiet or not around.stdout.isatty()
    return answer(
        around,
        lambda: _made(around, cache_dir, how, plain, quiet),
        as_json=as_json,
        quiet=quiet,
        empty=EMPTY["cache ls"],
    )


def _made(around: Surroundings, cache_dir: str | None, how: dict[str, Any], plain: bool, quiet: bool) -> Answer:  # noqa: FBT001
    now = time.time()
    settings = settings_of(around, cache_dir)
    seen = look(settings)
    found = in_order(choose(rows(seen), how["filters"], now), how["sort"])[: how["limit"]]
    if quiet:
        lines = [printable(each.id) for each in found]
    elif plain:
        lines = ["\t".join(each) for each in _for_programs(found, revisions=how["revisions"])]
    else:
        lines = table([_HEADING, *_for_people(found, now, revisions=how["revisions"])]) if found else []
    notices = (*settings.notices, *_notices(seen))
    return Answer(seen_json(seen, found), lines, notices, notes=(_summary(seen, found),) if not quiet else ())


def _summary(seen: CachesSeen, found: Sequence[Row]) -> str:
    everything = len(rows(seen))
    contents = (one for each in found for one in _contents(each))
    what = f"{len(found)} of {everything} shown" if len(found) < everything else f"{everything} in all"
    return f"{what}: {spell_bytes(total_bytes(contents))} of {spell_bytes(seen.size)} in {seen.hub} and {seen.torch}"


def _contents(row: Row) -> tuple[Any, ...]:
    if isinstance(row.what, RepoSeen):
        return row.what.contents
    return (row.what.stored,) if isinstance(row.what, CheckpointSeen) else row.what.files


def _notices(seen: CachesSeen) -> Iterator[Notice]:
    for repo in seen.repos:
        if repo.trouble:
            yield Notice("unreadable", f"{repo.id}: {repo.trouble}")
        if repo.broken:
            links = spell_count(len(repo.broken), "link")
            yield Notice(
                "broken-links", f"{repo.id}: {links} lead nowhere; chunkdl verify {repo.id} --repair fetches them"
            )
        for ref, _ in repo.dangling_refs:
            yield Notice("dangling-ref", f"{repo.id}: the ref {ref} names a commit that is not here; a fetch mends it")
    if seen.strange:
        names = ", ".join(map(printable, seen.strange[:_REFS_SHOWN]))
        yield Notice("foreign", f"{spell_count(len(seen.strange), 'name')} in {seen.hub} are not the hub's: {names}")


def _for_programs(found: Sequence[Row], *, revisions: bool) -> Iterator[tuple[str, ...]]:
    yield ("id", "type", "bytes", "accessed", "modified", "holds")
    for row in found:
        yield _numbers(row.id, row.kind, row.size, row.accessed_at, row.modified_at, _holds(row))
        for each in _revisions(row) if revisions else ():
            size = total_bytes(each.contents)
            yield _numbers(
                f"{row.id}@{each.commit}", "revision", size, each.accessed_at, each.modified_at, ",".join(each.refs)
            )


def _numbers(name: str, kind: str, size: int, accessed: float, modified: float, holds: str) -> tuple[str, ...]:
    return printable(name), kind, str(size), str(int(accessed)), str(int(modified)), printable(holds)


def _for_people(found: Sequence[Row], now: float, *, revisions: bool) -> Iterator[tuple[str, ...]]:
    for row in found:
        times = (_ago(row.accessed_at, now), _ago(row.modified_at, now))
        yield (printable(row.id), spell_bytes(row.size), *times, printable(_holds(row, now)))
        for each in _revisions(row) if revisions else ():
            size = spell_bytes(total_bytes(each.contents))
            times = (_ago(each.accessed_at, now), _ago(each.modified_at, now))
            refs = ", ".join(each.refs) or "no ref names it"
            yield (f"  @{each.commit}", size, *times, printable(refs))


def _revisions(row: Row) -> tuple[RevisionSeen, ...]:
    return row.what.revisions if isinstance(row.what, RepoSeen) else ()


def _holds(row: Row, now: float | None = None) -> str:
    if isinstance(row.what, RepoSeen):
        return _repo_holds(row.what)
    if isinstance(row.what, CheckpointSeen):
        return f"sha256 begins with {row.what.prefix}" if row.what.prefix else "its name promises no digest"
    return _partial_holds(row.what, now)


def _repo_holds(repo: RepoSeen) -> str:
    refs = repo.refs[:_REFS_SHOWN]
    more = len(repo.refs) - len(refs)
    named = ", ".join(refs) + (f" and {more} more" if more else "")
    detached = sum(not each.refs for each in repo.revisions)
    said = [f"{spell_count(len(repo.revisions), 'revision')}" + (f" ({named})" if named else "")]
    said += [f"{detached} without a ref"] if detached and repo.revisions else []
    said += [spell_count(len(repo.partials), "unfinished transfer")] if repo.partials else []
    said += [f"{spell_count(len(repo.incomplete), 'partial')} of another program"] if repo.incomplete else []
    return ", ".join(said)


def _partial_holds(partial: PartialSeen, now: float | None) -> str:
    said = [f"for {partial.place}"]
    if partial.held_bytes is not None and partial.total_bytes is not None:
        share = spell_share(partial.held_bytes, partial.total_bytes)
        said.insert(0, f"{spell_bytes(partial.held_bytes)} of {spell_bytes(partial.total_bytes)} ({share})")
    busy = partial.owner == "alive" or (now is not None and is_busy(partial, now))
    said.append(partial.whose if busy else "nobody is at it")
    return ", ".join(said)


def _ago(at: float, now: float) -> str:
    """In words, as exact as anybody needs."""
    if not at:
        return "-"
    age_s = max(0.0, now - at)
    if age_s < _JUST_NOW_S:
        return "just now"
    if age_s >= _DAY_S:
        return f"{spell_count(int(age_s // _DAY_S), 'day')} ago"
    return f"{spell_duration(age_s)} ago"
