"""What ``cache rm`` is told to remove: repositories, revisions, checkpoints, partials, by the names of ``cache ls``.

Decides what a name means among what is there, and refuses one that means nothing or more than one thing. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.caches.removal import Draft, Links, Removal, RepoRemoval, with_blobs
from chunkdl.caches.seen import PARTIAL, TORCH
from chunkdl.errors import ArtifactNotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.caches.seen import CachesSeen, CheckpointSeen, PartialSeen, RepoSeen, RevisionSeen

# Fewer digits would name too much by accident; git's own default abbreviation.
_LEAST_DIGITS = 7
_HINT = "see: chunkdl cache ls"


def removal_of(seen: CachesSeen, targets: Sequence[str]) -> Removal:
    """What goes if all ``targets`` go.

    Raises:
        ArtifactNotFound: a target that is not there.
        UsageError: a target that could be several things.
    """
    drafts: dict[str, Draft] = {}
    checkpoints: dict[str, CheckpointSeen] = {}
    partials: dict[str, PartialSeen] = {}
    for target in targets:
        scheme, colon, rest = target.partition(":")
        if colon and scheme == TORCH:
            checkpoints[rest] = _checkpoint(seen, target, rest)
        elif colon and scheme == PARTIAL:
            found = _partial(seen, target, rest)
            partials[str(found.owner_file)] = found
        else:
            _add_repo(seen, target, drafts)
    links = Links(seen)
    named = [_completed(links, repo, drafts.get(repo.id), partials) for repo in seen.repos]
    torch = tuple(each for each in seen.torch_partials if str(each.owner_file) in partials)
    return Removal(tuple(each for each in named if each is not None), tuple(checkpoints.values()), torch)


def _completed(
    links: Links, repo: RepoSeen, draft: Draft | None, partials: dict[str, PartialSeen]
) -> RepoRemoval | None:
    draft = draft or Draft()
    draft.partials += [
        each for each in repo.partials if str(each.owner_file) in partials and each not in draft.partials
    ]
    return with_blobs(links, repo, draft)


def _add_repo(seen: CachesSeen, target: str, drafts: dict[str, Draft]) -> None:
    name, at, revision = target.removeprefix("hf://").partition("@")
    repo = find_repo(seen, name)
    if repo is None:
        raise ArtifactNotFound(f"{target}: the cache holds no such repository", hint=_HINT)
    draft = drafts.setdefault(repo.id, Draft())
    if at:
        found = find_revision(repo, revision, target)
        draft.revisions += [] if found in draft.revisions else [found]
        return
    draft.revisions = list(repo.revisions)
    draft.partials, draft.litter, draft.whole = list(repo.partials), list(repo.litter), True


def find_repo(seen: CachesSeen, name: str) -> RepoSeen | None:
    """The repository that is called so: ``org/name``, ``datasets/org/name``, ``models/…``; None if there is none."""
    name = name.removeprefix("models/") if name.count("/") else name
    return next((each for each in seen.repos if each.id == name), None)


def find_revision(repo: RepoSeen, revision: str, target: str) -> RevisionSeen:
    """The revision that a ref, a commit or the beginning of one names.

    Raises:
        ArtifactNotFound: none is. UsageError: several are.
    """
    found = [each for each in repo.revisions if revision in (each.commit, *each.refs)]
    if not found and len(revision) >= _LEAST_DIGITS:
        found = [each for each in repo.revisions if each.commit.startswith(revision)]
    if not found:
        raise ArtifactNotFound(f"{target}: the cache holds no such revision", hint="see: chunkdl cache ls --revisions")
    if len(found) > 1:
        raise UsageError(f"{target} could be {', '.join(each.commit for each in found)}", hint="write more digits")
    return found[0]


def _checkpoint(seen: CachesSeen, target: str, name: str) -> CheckpointSeen:
    for each in seen.checkpoints:
        if each.name == name:
            return each
    raise ArtifactNotFound(f"{target}: {seen.torch} holds no such checkpoint", hint=_HINT)


def _partial(seen: CachesSeen, target: str, name: str) -> PartialSeen:
    found = [each for each in seen.partials if name and each.name.startswith(name)]
    if not found:
        raise ArtifactNotFound(f"{target}: no such unfinished transfer", hint=_HINT)
    if len(found) > 1:
        raise UsageError(f"{target} could be {len(found)} transfers", hint="write more digits of its name")
    return found[0]
