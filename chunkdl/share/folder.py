"""The layout of a mirror folder: arithmetic on paths, and reading what the records in it offer.

    DIR/chunkdl-mirror.json               what makes the folder one of ours
    DIR/blobs/<digest>                    contents, proven when they came here; hard links where possible
    DIR/repos/models--org--name.json      one record a repository: its names, refs, commits and files
    DIR/api/models--org--name/…           the same in the hub's own JSON, for nginx
    DIR/nginx.conf, DIR/nginx/            a configuration that serves all this, and nginx's own files

No name from a request ever becomes a path: contents are found through a record, by digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.disk import store_errors
from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.share.offer import OfferedRepo, decode_repo

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.model import Digest, RepoType

_FORM = 1  # of the folder as a whole
MARKER = json.dumps({"form": _FORM}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class MirrorFolder:
    """One exported folder."""

    root: Path

    @property
    def marker(self) -> Path:
        """The file by which export and server know the folder."""
        return self.root / "chunkdl-mirror.json"

    @property
    def blobs(self) -> Path:
        """Contents by digest."""
        return self.root / "blobs"

    @property
    def records(self) -> Path:
        """One file a repository; its time of change tells a server that something new is offered."""
        return self.root / "repos"

    @property
    def config(self) -> Path:
        """The configuration for nginx."""
        return self.root / "nginx.conf"

    @property
    def scratch(self) -> Path:
        """Where nginx keeps its process id, log and temporary files."""
        return self.root / "nginx"

    def blob(self, digest: Digest) -> Path:
        """One content."""
        return self.blobs / digest.hex

    def record(self, repo_type: RepoType, repo_id: str) -> Path:
        """The record of one repository; ids are checked, so that this is one plain name."""
        return self.records / f"{folder_name(repo_type, repo_id)}.json"

    def document(self, repo: OfferedRepo, name: str) -> Path:
        """One JSON document about a repository."""
        return self.root / document_path(repo, name)

    def check(self) -> None:
        """Refuse a folder that is no export.

        Raises:
            UsageError: with what to do.
        """
        if not self.marker.is_file():
            raise UsageError(
                f"{self.root} was not made by chunkdl mirrors export",
                hint=f"fill it first: chunkdl mirrors export REF... {self.root}",
            )

    def read(self) -> tuple[OfferedRepo, ...]:
        """Everything that is offered, in the order of names. Blocking.

        Raises:
            UsageError: no export, or a damaged record.
            StoreError: the folder cannot be read.
        """
        self.check()
        with store_errors(self.records):
            found = sorted(self.records.glob("*.json"))
            return tuple(decode_repo(each.read_bytes(), str(each)) for each in found)

    def find(self, repo_type: RepoType, repo_id: str) -> OfferedRepo | None:
        """What is offered under this id as a repository's own; None for nothing, or nothing that can be read."""
        path = self.record(repo_type, repo_id)
        try:
            return decode_repo(path.read_bytes(), str(path))
        except (OSError, ChunkdlError):
            return None  # a damaged record is made anew by the export that asks


def folder_name(repo_type: RepoType, repo_id: str) -> str:
    """``models--org--name``, as in the hub's cache."""
    return "--".join([repo_type.plural, *repo_id.split("/")])


def document_path(repo: OfferedRepo, name: str) -> str:
    """Where a document about ``repo`` lies, relative to the folder."""
    return f"api/{folder_name(repo.repo_type, repo.repo_id)}/{name}"
