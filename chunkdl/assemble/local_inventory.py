"""One look at a local folder before a plan is made: which files are known, may be right, or can be copied.

Decides what counts as being here: a file whose record may be believed and names the wanted digest; a
proven content that waits to be shown. A file of the right size without such a record is offered to be
hashed. Reads no content. Refuses, before anything is fetched, what placement would refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.assemble.folders import check_folders, refuse_folder
from chunkdl.assemble.inventory import claimed, found_elsewhere
from chunkdl.assemble.local_record import look, regular
from chunkdl.core.planner import Inventory
from chunkdl.disk import free_bytes, store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chunkdl.assemble.layout import HubCache, RepoFolder
    from chunkdl.assemble.local_folder import LocalFolder
    from chunkdl.assemble.local_record import Seen
    from chunkdl.model import Digest, RemoteFile

    _Paths = Mapping[Digest, tuple[str, ...]]


def take_folder_inventory(
    folder: LocalFolder, cache: HubCache, repo: RepoFolder, files: Sequence[RemoteFile]
) -> Inventory:
    """What of ``files`` is in ``folder``, or in the hub's cache to be copied from. Blocking.

    Raises:
        PlacementRefused: a hostile path, or a link, file or folder in the way of one.
    """
    check_clear(folder, files)
    seen = {each.path: look(folder, each.path) for each in files}
    placed = frozenset(each.path for each in files if seen[each.path].is_known_as(each))
    same = _by_digest(files)
    blobs = frozenset(digest for digest, twins in same.items() if is_proven(folder, twins[0]))
    missing = [
        twins
        for digest, twins in same.items()
        if digest not in blobs and not placed.issuperset(each.path for each in twins)
    ]
    near = found_elsewhere(cache, repo, [twins[0] for twins in missing])
    own = {twins[0].digest: _candidates(folder, seen, twins) for twins in missing}
    offered = {digest: (*paths, *near.get(digest, ())) for digest, paths in own.items()}
    partials = {
        each.digest: claimed(folder.part(each.digest), folder.journal(each.digest), each) for each, *_ in missing
    }
    return Inventory(
        blobs=blobs,
        elsewhere={digest: paths for digest, paths in offered.items() if paths},
        partials={digest: ranges for digest, ranges in partials.items() if ranges},
        placed=placed,
        copies={twins[0].digest: _copied(twins, own, near) for twins in missing}
        | {digest: same[digest][0].size * (len(same[digest]) - 1) for digest in blobs},
        free_bytes=free_bytes(folder.root),
    )


def check_clear(folder: LocalFolder, files: Sequence[RemoteFile]) -> None:
    """Refuse hostile paths, and whatever stands in the way of the rest.

    Raises:
        PlacementRefused: naming the first such path in order.
        StoreError: the folder cannot be read.
    """
    with store_errors(folder.root):
        check_folders(folder.root, folder.tree_parts)
        for each in files:
            target = folder.file(each.path)
            for one in (target, folder.metadata(each.path)):
                check_folders(folder.root, one.relative_to(folder.root).parts[:-1], each.path)
            refuse_folder(target, each.path)


def is_proven(folder: LocalFolder, file: RemoteFile) -> bool:
    """True if the content waits to be shown: by its name, which only proven bytes are given, and its size."""
    status = regular(folder.blob(file.digest))
    return status is not None and status.st_size == file.size


def _candidates(folder: LocalFolder, seen: dict[str, Seen], files: Sequence[RemoteFile]) -> tuple[str, ...]:
    return tuple(str(folder.file(each.path)) for each in files if each.size and seen[each.path].may_be(each))


def _copied(twins: Sequence[RemoteFile], own: _Paths, near: _Paths) -> int:
    """What placing takes beside what is fetched: files of the user's share no blocks, as far as we can know."""
    digest, size = twins[0].digest, twins[0].size
    if own[digest]:
        return size * (len(twins) - len(own[digest]))
    return size * (len(twins) - (digest not in near))


def _by_digest(files: Sequence[RemoteFile]) -> dict[Digest, list[RemoteFile]]:
    groups: dict[Digest, list[RemoteFile]] = {}
    for each in files:
        groups.setdefault(each.digest, []).append(each)
    return groups
