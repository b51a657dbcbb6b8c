"""``chunkdl cache rm`` and ``prune``: say what goes, ask, remove, say what went.

Decides when a person is asked: always, unless ``--yes``; where nobody can be asked nothing is removed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from chunkdl.caches.choosing import parse_age, parse_size
from chunkdl.caches.keepers import KnownLocks, keeps_of
from chunkdl.caches.pruning import Policy
from chunkdl.caches.pruning import prune as decide
from chunkdl.caches.removal import freed_bytes
from chunkdl.caches.removing import Outcome, Remover
from chunkdl.caches.shared_store import unused_payloads
from chunkdl.caches.targets import removal_of
from chunkdl.cli.answering import Answer, answer
from chunkdl.cli.cache_jobs import QueuedJobs
from chunkdl.cli.cache_json import removal_json
from chunkdl.cli.cache_sight import look, settings_of
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.errors import UsageError
from chunkdl.identify.learnt import Learnt
from chunkdl.observe import Notice
from chunkdl.spelling import printable, spell_bytes, spell_count
from chunkdl.transfer.receipts import Receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chunkdl.caches.removal import Removal, RepoRemoval
    from chunkdl.caches.seen import CachesSeen
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.settings import Settings

    Decide = Callable[[CachesSeen, Settings], tuple[Removal, Sequence[str]]]

_TEMPORARY = 4  # somebody is at it: the same command may work later


def rm(around: Surroundings, /, *, targets: tuple[str, ...], **how: Any) -> int:
    """Remove what was named; exit code 4 if somebody was at some of it."""
    return _run(around, lambda seen, _: (removal_of(seen, targets), ()), how, strict=True)


def prune(around: Surroundings, /, *, older_than: str, keep_last: int, max_size: str | None, **how: Any) -> int:
    """Remove what nobody names; that somebody is at something is no failure."""

    def decided(seen: CachesSeen, settings: Settings) -> tuple[Removal, Sequence[str]]:
        limit = parse_size(max_size) if max_size is not None else None
        policy = Policy(parse_age(older_than), keep_last, limit)
        keeps = keeps_of((KnownLocks(settings.state_dir), QueuedJobs(settings.state_dir)))
        verdict = decide(seen, policy, keeps, time.time(), unused_payloads(seen.hub))
        return verdict.removal, verdict.kept

    return _run(around, decided, how, strict=False)


def _run(around: Surroundings, make: Decide, how: dict[str, Any], *, strict: bool) -> int:
    as_json = how["as_json"]
    empty = {**EMPTY["cache rm"], "dry_run": how["dry_run"]}
    return answer(around, lambda: _made(around, make, how, strict=strict), as_json=as_json, empty=empty)


def _made(around: Surroundings, make: Decide, how: dict[str, Any], *, strict: bool) -> Answer:
    settings = settings_of(around, how["cache_dir"])
    seen = look(settings)
    removal, kept = make(seen, settings)
    expected = freed_bytes(seen, removal)
    planned = [*_lines(removal)]
    values = {**EMPTY["cache rm"], "dry_run": how["dry_run"], "removals": removal_json(removal), "kept": list(kept)}
    notices = (*settings.notices, *(Notice("kept", each) for each in kept))
    if removal.is_empty:
        return Answer(values, (), notices, notes=("nothing to remove",))
    if how["dry_run"]:
        notes = (f"this would free {spell_bytes(expected)}; nothing was removed",)
        return Answer({**values, "freed_bytes": expected}, planned, notices, notes=notes)
    if not how["yes"]:
        _ask(around, planned, expected)
    outcome = Remover(seen).remove(removal)
    _forget(removal, settings)
    values |= {"freed_bytes": outcome.freed_bytes, "skipped": outcome.skipped, "left": outcome.left}
    return Answer(
        values,
        planned if how["yes"] else (),
        (*notices, *_told(outcome)),
        _TEMPORARY if strict and outcome.skipped else 0,
        (f"{spell_bytes(outcome.freed_bytes)} freed",),
    )


def _forget(removal: Removal, settings: Settings) -> None:
    """What is remembered of contents that nobody holds any more."""
    learnt = Learnt(settings.state_dir)
    known = (learnt.source(each.stored.path) for each in removal.checkpoints)
    gone = {blob.path.name for each in removal.repos for blob in each.blobs}
    gone |= {found[1].hex for found in known if found is not None}
    held = {blob.path.name for repo in look(settings).repos for blob in repo.blobs}
    Receipts(settings.state_dir).forget(gone - held)


def _told(outcome: Outcome) -> Iterator[Notice]:
    yield from (Notice("skipped", each) for each in outcome.skipped)
    yield from (Notice("left", each) for each in outcome.left)


def _ask(around: Surroundings, planned: Sequence[str], expected: int) -> None:
    """Goes on only if a person says so.

    Raises:
        UsageError: nobody is there, or the answer is no.
    """
    if around.ask is None:
        hint = "pass --yes to remove it, or --dry-run to see what would go"
        raise UsageError(f"{spell_bytes(expected)} would be removed, and nobody is here to be asked", hint=hint)
    for line in planned:
        print(line, file=around.stderr)
    said = around.ask(f"Remove this and free {spell_bytes(expected)}? [y/N]")
    if said.lower() not in {"y", "yes"}:
        raise UsageError("nothing was removed", hint="answer y, or pass --yes")


def _lines(removal: Removal) -> Iterator[str]:
    for each in removal.repos:
        yield from _repo_lines(each, removal.because)
    for one in removal.checkpoints:
        yield _line(one.id, spell_bytes(one.stored.size), removal.because.get(one.id, ""))
    for partial in removal.torch_partials:
        yield _line(partial.id, spell_bytes(partial.size), "unfinished")
    if removal.payloads:
        size = spell_bytes(sum(each.size for each in removal.payloads))
        yield _line("the hub's shared store", size, f"{spell_count(len(removal.payloads), 'content')} nobody links to")


def _repo_lines(each: RepoRemoval, because: dict[str, str]) -> Iterator[str]:
    name = each.repo.id
    if each.whole and not because:
        yield _line(name, spell_bytes(each.repo.size), f"whole, {spell_count(len(each.revisions), 'revision')}")
    else:
        for revision in each.revisions:
            full = f"{name}@{revision.commit}"
            yield _line(full, ", ".join(revision.refs), because.get(full, ""))
        if not each.revisions:
            yield name
    if each.blobs:
        size = spell_bytes(sum({one.inode: one.size for one in each.blobs}.values()))
        yield _line(f"  {spell_count(len(each.blobs), 'content')} that nothing else shows", size, "")
    for own in (own for one in each.revisions for own in one.own_files):
        yield _line(f"  {own}", "", "a file of somebody's own")
    for partial in each.partials:
        yield _line(f"  {partial.id}", spell_bytes(partial.size), f"unfinished, for {partial.place}")
    if each.litter:
        size = spell_bytes(sum(one.size for one in each.litter))
        yield _line(f"  {spell_count(len(each.litter), 'leftover')} of killed processes", size, "")


def _line(*parts: str) -> str:
    return printable("  ".join(each for each in parts if each))
