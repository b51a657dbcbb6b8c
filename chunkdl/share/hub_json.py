"""An offer in the hub's own words: model info, tree, refs (observed answers of huggingface.co, 2025 and 2026).

Decides the JSON and nothing else. No Xet hash is passed on: a client that saw one would ask for a protocol
that a folder of files does not speak.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from chunkdl.assemble.listing import pointer_oid
from chunkdl.model import DigestAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chunkdl.model import RemoteFile
    from chunkdl.share.offer import OfferedCommit, OfferedRepo

# Bytes that the numbers' digits come on top of: three lines of git-lfs pointer text with a sha256.
_POINTER_BYTES = len(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize \n")


def info(repo: OfferedRepo, commit: OfferedCommit) -> dict[str, Any]:
    """What ``/api/models/{id}/revision/{revision}?blobs=true`` says; without ``blobs`` it does no harm."""
    return {
        "_id": commit.commit[:24],
        "id": repo.repo_id,
        "modelId": repo.repo_id,
        "author": repo.repo_id.partition("/")[0],
        "sha": commit.commit,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "usedStorage": commit.size,
        "siblings": [_sibling(each) for each in commit.files],
    }


class Listing:
    """The entries of one commit, folders included, in the order of their paths: built once, asked many times."""

    def __init__(self, commit: OfferedCommit) -> None:
        entries = [*_folder_entries(commit), *(_entry(each) for each in commit.files)]
        self._entries = sorted(entries, key=lambda each: str(each["path"]))
        self._paths = [str(each["path"]) for each in self._entries]

    def tree(self, folder: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
        """The entries of ``/tree/{revision}/{folder}``."""
        first, last = 0, len(self._paths)
        if folder:  # what begins with "folder/" stands together, right before "folder0": 0 follows the slash
            first, last = bisect_left(self._paths, f"{folder}/"), bisect_left(self._paths, f"{folder}0")
        if recursive:
            return self._entries[first:last]
        begin = len(folder) + 1 if folder else 0
        return [self._entries[at] for at in range(first, last) if "/" not in self._paths[at][begin:]]

    def of_paths(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """What ``/paths-info/{revision}`` says of files and folders; those that are not there are left out."""
        wanted = dict.fromkeys(each.strip("/") for each in paths)
        found = ((each, bisect_left(self._paths, each)) for each in wanted)
        return [self._entries[at] for each, at in found if at < len(self._paths) and self._paths[at] == each]


def refs(repo: OfferedRepo) -> dict[str, Any]:
    """What ``/api/models/{id}/refs`` says; whether a name is a branch or a tag is not known here."""
    branches = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in repo.refs.items()
    ]
    return {"branches": branches, "tags": [], "converts": []}


def _entry(file: RemoteFile) -> dict[str, Any]:
    if file.digest.algorithm is DigestAlgorithm.GIT_SHA1:
        return {"type": "file", "oid": file.digest.hex, "size": file.size, "path": file.path}
    return {
        "type": "file",
        "oid": _oid(file),
        "size": file.size,
        "lfs": {"oid": file.digest.hex, "size": file.size, "pointerSize": _pointer_bytes(file)},
        "path": file.path,
    }


def _sibling(file: RemoteFile) -> dict[str, Any]:
    if file.digest.algorithm is DigestAlgorithm.GIT_SHA1:
        return {"rfilename": file.path, "size": file.size, "blobId": file.digest.hex}
    lfs = {"sha256": file.digest.hex, "size": file.size, "pointerSize": _pointer_bytes(file)}
    return {"rfilename": file.path, "size": file.size, "blobId": _oid(file), "lfs": lfs}


def _oid(file: RemoteFile) -> str:
    """Git's name of the pointer text as git-lfs writes it, so that whoever checks it finds it true."""
    return pointer_oid(file.digest.hex, file.size)


def _pointer_bytes(file: RemoteFile) -> int:
    return _POINTER_BYTES + len(str(file.size))


def folders(commit: OfferedCommit) -> list[str]:
    """Every folder that a file lies in, in the order of names."""
    return sorted({each.path[:at] for each in commit.files for at, letter in enumerate(each.path) if letter == "/"})


def _folder_entries(commit: OfferedCommit) -> Iterator[dict[str, Any]]:
    """Git's names of folders are not known: these are only unlike each other."""
    for path in folders(commit):
        oid = hashlib.sha1(f"{commit.commit} {path}".encode(), usedforsecurity=False).hexdigest()
        yield {"type": "directory", "oid": oid, "size": 0, "path": path}
