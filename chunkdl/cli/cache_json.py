"""What is in the caches as plain values for ``--json``: integers are bytes, floats seconds since the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkdl.caches.seen import CheckpointSeen, PartialSeen, RepoSeen, total_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.caches.choosing import Row
    from chunkdl.caches.removal import Removal
    from chunkdl.caches.seen import CachesSeen, RevisionSeen


def seen_json(seen: CachesSeen, found: Sequence[Row]) -> dict[str, Any]:
    """The rows by kind, and the totals of everything, chosen or not."""
    return {
        "cache_dir": str(seen.hub),
        "torch_dir": str(seen.torch),
        "repos": [repo_json(each.what) for each in found if isinstance(each.what, RepoSeen)],
        "checkpoints": [checkpoint_json(each.what) for each in found if isinstance(each.what, CheckpointSeen)],
        "partials": [partial_json(each.what) for each in found if isinstance(each.what, PartialSeen)],
        "totals": {"bytes": seen.size, "partial_bytes": sum(each.size for each in seen.partials)},
    }


def repo_json(repo: RepoSeen) -> dict[str, Any]:
    """One repository."""
    return {
        "id": repo.id,
        "type": repo.kind,
        "repo_id": repo.repo_id,
        "path": str(repo.folder),
        "bytes": repo.size,
        "last_accessed": repo.accessed_at,
        "last_modified": repo.modified_at,
        "refs": {ref: each.commit for each in repo.revisions for ref in each.refs},
        "revisions": [revision_json(each) for each in repo.revisions],
        "partials": [each.id for each in repo.partials],
        "incomplete": [each.path.name for each in repo.incomplete],
        "broken": [f"{each.path}" for each in repo.broken],
        "dangling_refs": dict(repo.dangling_refs),
        "foreign": list(repo.strange),
        "trouble": repo.trouble,
    }


def revision_json(revision: RevisionSeen) -> dict[str, Any]:
    """One commit's snapshot."""
    return {
        "commit": revision.commit,
        "path": str(revision.folder),
        "bytes": total_bytes(revision.contents),
        "files": len(revision.entries),
        "refs": list(revision.refs),
        "last_accessed": revision.accessed_at,
        "last_modified": revision.modified_at,
    }


def checkpoint_json(checkpoint: CheckpointSeen) -> dict[str, Any]:
    """One file of torch's."""
    stored = checkpoint.stored
    return {
        "id": checkpoint.id,
        "path": str(stored.path),
        "bytes": stored.size,
        "promised_prefix": checkpoint.prefix,
        "last_accessed": stored.accessed_at,
        "last_modified": stored.modified_at,
    }


def partial_json(partial: PartialSeen) -> dict[str, Any]:
    """One unfinished transfer."""
    return {
        "id": partial.id,
        "name": partial.name,
        "place": partial.place,
        "path": str(partial.files[0].path),
        "bytes": partial.size,
        "held_bytes": partial.held_bytes,
        "total_bytes": partial.total_bytes,
        "owner": partial.owner or "nobody",
        "process": str(partial.process) if partial.process is not None else None,
        "last_modified": partial.modified_at,
    }


def removal_json(removal: Removal) -> list[dict[str, Any]]:
    """What a removal takes away, a repository an object; checkpoints and torch's partials by their ids."""
    repos = [
        {
            "id": each.repo.id,
            "whole": each.whole,
            "revisions": [one.commit for one in each.revisions],
            "blobs": [one.path.name for one in each.blobs],
            "partials": [one.id for one in each.partials],
            "leftovers": [one.path.name for one in each.litter],
        }
        for each in removal.repos
    ]
    nothing: dict[str, Any] = {"revisions": [], "blobs": [], "partials": [], "leftovers": []}
    singles = [*(each.id for each in removal.checkpoints), *(each.id for each in removal.torch_partials)]
    return [*repos, *({"id": each, "whole": True, **nothing} for each in singles)]
