"""What a prune takes away, and what it keeps and why. Pure; the clock and all that was seen are arguments.

Goes: revisions that no ref names; contents that nothing links and transfers that nobody is at, both only after
``older_than_s``; leftovers of killed processes. Stays, whatever else is said: what a keeper names, what a
living process is at, revisions with files of somebody's own, repositories with a ref or a link that leads nowhere.
``max_bytes`` then takes revisions and checkpoints that were read longest ago, refs notwithstanding, until the
rest fits.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chunkdl.caches.removal import Draft, Links, Removal, RepoRemoval, names_of, with_blobs
from chunkdl.model import is_commit
from chunkdl.spelling import spell_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from chunkdl.caches.keepers import Keep
    from chunkdl.caches.seen import CachesSeen, CheckpointSeen, PartialSeen, RepoSeen, RevisionSeen, Stored

# A transfer that waits for off-peak windows may rest from one weekend to the next; two weekends without a byte
# and nobody waits for it any more. Also what a power user's abandoned `hf download` is told apart by.
OLDER_THAN_S = 14 * 86_400.0
# A rename takes milliseconds, but hashing a hard link of 700 GB before it an hour: a day is beyond all of them.
LITTER_AGE_S = 86_400.0
# An owner on another host shows that it lives each 5 s; clocks of hosts differ by minutes, not by a day.
SILENT_OWNER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What a person asked for. ``keep_last``: newest revisions of each repository that stay without a ref."""

    older_than_s: float = OLDER_THAN_S
    keep_last: int = 0
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The removal, and lines on what stays although it would have gone."""

    removal: Removal
    kept: tuple[str, ...] = ()


@dataclass(slots=True)
class _Case:
    seen: CachesSeen
    policy: Policy
    keeps: Sequence[Keep]
    now: float
    links: Links
    drafts: dict[str, Draft] = field(default_factory=dict)
    checkpoints: list[CheckpointSeen] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    because: dict[str, str] = field(default_factory=dict)


def prune(
    seen: CachesSeen, policy: Policy, keeps: Sequence[Keep], now: float, payloads: Sequence[Stored] = ()
) -> Verdict:
    """Decide; ``payloads`` are those of the hub's shared store that nobody uses. ``now`` in seconds since the epoch."""
    case = _Case(seen, policy, keeps, now, Links(seen))
    for repo in seen.repos:
        case.drafts[repo.id] = _of_repo(case, repo)
    torch = tuple(each for each in seen.torch_partials if is_stale(each, policy.older_than_s, now))
    if policy.max_bytes is not None:
        _shrink(case, policy.max_bytes, torch)
    found = (_completed(case, repo) for repo in seen.repos)
    repos = tuple(each for each in found if each is not None)
    return Verdict(Removal(repos, tuple(case.checkpoints), torch, tuple(payloads), case.because), tuple(case.kept))


def is_busy(partial: PartialSeen, now: float) -> bool:
    """True if a process is at it, or may be: on another host, and not silent for a day."""
    return partial.owner == "alive" or (partial.owner == "unknown" and now - partial.modified_at < SILENT_OWNER_S)


def is_abandoned(repo: RepoSeen, litter: Stored, now: float) -> bool:
    """True if nobody can be about to rename it any more."""
    return litter.path in repo.dead_litter or now - litter.touched_at >= LITTER_AGE_S


def is_stale(partial: PartialSeen, older_than_s: float, now: float) -> bool:
    """True if nobody is at it and nothing came for long."""
    return not is_busy(partial, now) and now - partial.modified_at >= older_than_s


def _of_repo(case: _Case, repo: RepoSeen) -> Draft:
    busy = [each for each in repo.partials if is_busy(each, case.now)]
    if busy:
        case.kept.append(f"{repo.id}: a fetch is under way, nothing of it is removed: {busy[0].whose}")
        return Draft()
    if why := _unsure(repo):
        case.kept.append(f"{repo.id}: {why}, rm removes it")
        return Draft()
    now = case.now
    # Whoever counts on the repository goes on from what was begun of it, however long that is ago.
    older_than_s = math.inf if any(keep.repo == repo.id for keep in case.keeps) else case.policy.older_than_s
    return Draft(
        list(_detached(case, repo)),
        [each for each in _unlinked(case, repo) if now - each.touched_at >= older_than_s],
        [each for each in repo.partials if is_stale(each, older_than_s, now)],
        [each for each in repo.litter if is_abandoned(repo, each, now)],
    )


def _unsure(repo: RepoSeen) -> str:
    """Why nobody can tell which of its revisions is in use, and what would mend that; empty if all is well."""
    if repo.trouble or repo.broken:
        return f"{repo.trouble or f'{len(repo.broken)} of its links lead nowhere'}; verify --repair mends it"
    if repo.dangling_refs:
        # huggingface_hub moves a ref before the first file comes: until they all did, an older commit is what loads.
        ref, says = repo.dangling_refs[0]
        return f"the ref {ref} names {says[:12].strip() or 'nothing'}, which is not here; a fetch mends it"
    return ""


def _detached(case: _Case, repo: RepoSeen) -> Iterator[RevisionSeen]:
    newest = sorted(repo.revisions, key=lambda each: (each.modified_at, each.commit), reverse=True)
    for at, revision in enumerate(newest):
        name = f"{repo.id}@{revision.commit}"
        if revision.refs or not is_commit(revision.commit) or at < case.policy.keep_last:
            continue
        if (keep := keep_for(case.keeps, repo, revision)) is not None:
            case.kept.append(f"{name}: kept for {keep.because}")
        elif revision.own_files:
            case.kept.append(
                f"{name}: no ref names it, but it holds a file of somebody's own ({revision.own_files[0]})"
            )
        else:
            case.because[name] = "no ref names it"
            yield revision


def keep_for(keeps: Sequence[Keep], repo: RepoSeen, revision: RevisionSeen) -> Keep | None:
    """The first wish that this revision answers."""
    for keep in keeps:
        if keep.repo == repo.id and keep.revision in (None, revision.commit, *revision.refs):
            return keep
    return None


def _unlinked(case: _Case, repo: RepoSeen) -> list[Stored]:
    """Finished contents that no snapshot shows: an interrupted fetch left them, and would use them."""
    return [each for each in repo.blobs if not case.links.lead_to(each.path)]


def _completed(case: _Case, repo: RepoSeen) -> RepoRemoval | None:
    draft = case.drafts[repo.id]
    gone = {each.commit for each in draft.revisions}
    staying = [each for each in repo.partials if each not in draft.partials]
    draft.whole = bool(repo.revisions) and all(each.commit in gone for each in repo.revisions) and not staying
    if draft.whole:
        # Contents that nothing links yet wait for a fetch that goes on: they keep the folder.
        young = [each for each in _unlinked(case, repo) if each not in draft.blobs]
        draft.whole = not young
    return with_blobs(case.links, repo, draft)


@dataclass(frozen=True, slots=True)
class _Candidate:
    read_at: float
    name: str
    repo: RepoSeen | None = None
    revision: RevisionSeen | None = None
    checkpoint: CheckpointSeen | None = None


def _shrink(case: _Case, max_bytes: int, torch: Iterable[PartialSeen]) -> None:
    """Drop what was read longest ago until the rest fits; ``torch`` are its partials that go anyway."""
    left = _Left(case)
    left.bytes -= sum(each.size for each in torch)
    for each in sorted(_candidates(case), key=lambda each: (each.read_at, each.name)):
        if left.bytes <= max_bytes:
            return
        case.because[each.name] = "read longest ago"
        if each.checkpoint is not None:
            case.checkpoints.append(each.checkpoint)
            left.lose([each.checkpoint.stored])
        elif each.repo is not None and each.revision is not None:
            case.drafts[each.repo.id].revisions.append(each.revision)
            left.drop(each.repo, each.revision)
    if left.bytes > max_bytes:
        over = spell_bytes(left.bytes - max_bytes)
        case.kept.append(
            f"{over} more than asked for stay: the rest is in use, kept for somebody, or no part of a model"
        )


def _candidates(case: _Case) -> Iterator[_Candidate]:
    for repo in case.seen.repos:
        gone = {each.commit for each in case.drafts[repo.id].revisions}
        if _unsure(repo) or any(is_busy(each, case.now) for each in repo.partials):
            continue
        for each in repo.revisions:
            free = each.commit not in gone and not each.own_files and is_commit(each.commit)
            if free and keep_for(case.keeps, repo, each) is None:
                yield _Candidate(each.accessed_at, f"{repo.id}@{each.commit}", repo, each)
    kept = {keep.repo for keep in case.keeps}
    for one in case.seen.checkpoints:
        if one.id not in kept:
            yield _Candidate(one.stored.accessed_at, one.id, checkpoint=one)


class _Left:
    """What stays if the drafts are carried out: bytes whose last name goes are gone, one name after the other."""

    def __init__(self, case: _Case) -> None:
        self._links = case.links
        self._gone: set[tuple[Path, str]] = set()
        self._names: Counter[tuple[int, int]] = Counter()
        self._lost: set[Path] = set()
        self.bytes = sum(each.size for each in case.seen.partials)
        for stored in (*(name for repo in case.seen.repos for name in names_of(repo)), *_checkpoints(case)):
            self.bytes += 0 if self._names[stored.inode] else stored.size
            self._names[stored.inode] += 1
        for repo in case.seen.repos:
            draft = case.drafts[repo.id]
            self.bytes -= sum(each.size for each in draft.partials)
            self.lose(draft.blobs)
            for revision in draft.revisions:
                self.drop(repo, revision)

    def drop(self, repo: RepoSeen, revision: RevisionSeen) -> None:
        """A revision goes, and with it every content that nothing else shows."""
        self._gone.add((repo.folder, revision.commit))
        blobs = {each.path: each for each in repo.blobs}
        self.lose(each.stored for each in revision.entries if each.stored is not None and each.blob is None)
        led_to = {each.blob for each in revision.entries if each.blob in blobs}
        self.lose(blobs[each] for each in led_to if each and not self._links.lead_to(each, but_for=self._gone))

    def lose(self, names: Iterable[Stored]) -> None:
        """These names go."""
        for each in names:
            if each.path in self._lost:
                continue
            self._lost.add(each.path)
            self._names[each.inode] -= 1
            self.bytes -= 0 if self._names[each.inode] else each.size


def _checkpoints(case: _Case) -> Iterator[Stored]:
    return (each.stored for each in case.seen.checkpoints)
