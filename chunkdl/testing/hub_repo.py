"""A repository as the hub describes it: one commit, its files, and the JSON about them.

Decides ids, digests, tree entries and model info, in the hub's own words. Deliberately does not know
how they are asked for. Immutable: another commit is another ``HubRepo``.
"""

from __future__ import annotations

import hashlib
from dataclasses import KW_ONLY, dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from chunkdl.model import RepoType
from chunkdl.testing.content import as_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from chunkdl.testing.content import Content

# What a new repository's .gitattributes on the hub hands to LFS, shortened to names of this age.
_LFS_GLOBS = (
    *("*.safetensors", "*.bin", "*.h5", "*.msgpack", "*.onnx", "*.pt", "*.pth", "*.ckpt", "*.gguf"),
    *("*.ot", "*.npz", "*.npy", "*.parquet", "*.tar.gz", "*.zip", "*.model", "*.pb", "*.tflite", "*.pkl"),
)
# The hub refuses plain git files above 10 MB, so everything larger is LFS whatever it is called.
_PLAIN_GIT_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True)
class HubFile:
    """One file with the names that the hub gives to its content."""

    path: str
    content: Content
    lfs: bool

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.content.size

    @cached_property
    def digest(self) -> str:
        """Hex name of the content, also its ETag: sha256 for LFS, else git's blob sha1."""
        if self.lfs:
            return self.content.sha256
        return _git_blob_sha1(bytes(self.content.read(0, self.size)))

    @property
    def pointer(self) -> bytes:
        """The text that git itself stores for an LFS file."""
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
            self.digest.encode(),
            self.size,
        )

    def tree_entry(self) -> dict[str, Any]:
        """Describe the file as ``/tree`` does."""
        if not self.lfs:
            return {"type": "file", "oid": self.digest, "size": self.size, "path": self.path}
        lfs = {"oid": self.digest, "size": self.size, "pointerSize": len(self.pointer)}
        oid = _git_blob_sha1(self.pointer)
        return {"type": "file", "oid": oid, "size": self.size, "lfs": lfs, "path": self.path}

    def sibling(self, *, blobs: bool) -> dict[str, Any]:
        """Describe the file as model info does, where the key of the digest is ``sha256``."""
        if not blobs:
            return {"rfilename": self.path}
        entry = self.tree_entry()
        described: dict[str, Any] = {"rfilename": self.path, "size": self.size, "blobId": entry["oid"]}
        if self.lfs:
            described["lfs"] = {"sha256": self.digest, "size": self.size, "pointerSize": len(self.pointer)}
        return described


@dataclass
class HubRepo:
    """One commit of one repository, and the names under which it may be asked for.

    Args:
        repo_id: the name that users type; a legacy one if ``canonical_id`` is given.
        files: path to content: bytes, text, a ``Path`` or a ``SeededContent``.
        commit: 40 hex digits; by default a function of paths and contents, so equal files give equal commits.
        canonical_id: the hub's own id, to which requests for ``repo_id`` are redirected (307).
        gated: listing is public, content asks for the server's token.
        private: everything asks for the server's token; without it the repository does not exist.
        branches: names of this commit that move; the first is what no revision means.
        tags: further names of this commit.
        lfs: globs of the paths that are LFS files; by default what the hub's ``.gitattributes`` says.
        older: other commits of the same repository, with branches and tags of their own.
        last_modified: as model info says it.
    """

    repo_id: str
    files: Mapping[str, Content | bytes | str | Path]
    _: KW_ONLY
    commit: str = ""
    canonical_id: str | None = None
    repo_type: RepoType = RepoType.MODEL
    gated: Literal[False, "auto", "manual"] = False
    private: bool = False
    branches: tuple[str, ...] = ("main",)
    tags: tuple[str, ...] = ()
    lfs: tuple[str, ...] = _LFS_GLOBS
    older: tuple[HubRepo, ...] = ()
    last_modified: str = "2024-02-19T11:06:12.000Z"
    entries: dict[str, HubFile] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Describe and hash every file once, so that no request waits for a digest."""
        self.repo_type = RepoType(self.repo_type)  # its value, "dataset", will do
        self.entries = {path: self._describe(path) for path in sorted(self.files)}
        content_commit = self._content_commit()
        self.commit = self.commit or content_commit

    @property
    def id(self) -> str:
        """The canonical id."""
        return self.canonical_id or self.repo_id

    def at(self, revision: str) -> HubRepo | None:
        """Return the commit that a branch, a tag or 40 hex digits name; None if there is none."""
        versions = (self, *self.older)
        named = (version for version in versions if revision in (version.commit, *version.branches, *version.tags))
        return next(named, None)

    def info(self, *, blobs: bool = False) -> dict[str, Any]:
        """Return what ``/api/models/{id}`` says."""
        return {
            "_id": self.commit[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0],
            "sha": self.commit,
            "lastModified": self.last_modified,
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "createdAt": self.last_modified,
            "usedStorage": sum(file.size for file in self.entries.values()),
            "siblings": [file.sibling(blobs=blobs) for file in self.entries.values()],
        }

    def tree(self, folder: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
        """Return the entries of ``/tree``, folders included, in the order of their paths."""
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        listed = [*self._folders(), *(file.tree_entry() for file in self.entries.values())]
        listed = [entry for entry in listed if entry["path"].startswith(prefix)]
        if not recursive:
            listed = [entry for entry in listed if "/" not in entry["path"][len(prefix) :]]
        return sorted(listed, key=lambda entry: str(entry["path"]))

    def refs(self) -> dict[str, Any]:
        """Return what ``/refs`` says."""
        versions = (self, *self.older)
        return {
            "branches": [_ref("heads", name, version.commit) for version in versions for name in version.branches],
            "tags": [_ref("tags", name, version.commit) for version in versions for name in version.tags],
            "converts": [],
        }

    def _describe(self, path: str) -> HubFile:
        content = as_content(self.files[path])
        big = content.size > _PLAIN_GIT_LIMIT_BYTES
        return HubFile(path, content, lfs=big or any(fnmatchcase(path, glob) for glob in self.lfs))

    def _content_commit(self) -> str:
        lines = (f"{file.path} {file.digest} {file.size}\n" for file in self.entries.values())
        return hashlib.sha1("".join([self.id, "\n", *lines]).encode(), usedforsecurity=False).hexdigest()

    def _folders(self) -> Iterator[dict[str, Any]]:
        """Describe every folder that a file lies in; git has no empty ones."""
        paths = {path[:at] for path in self.entries for at, letter in enumerate(path) if letter == "/"}
        for path in sorted(paths):
            oid = hashlib.sha1(f"{self.commit} {path}".encode(), usedforsecurity=False).hexdigest()
            yield {"type": "directory", "oid": oid, "size": 0, "path": path}


def _ref(kind: str, name: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit}


def _git_blob_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
