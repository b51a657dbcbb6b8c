"""What a ModelScope server lists of one revision, as a value."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.model import is_commit

if TYPE_CHECKING:
    from chunkdl.identify.modelscope_answers import Listed
    from chunkdl.model import Mirror, RepoType


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The files of one revision; ``complete`` False if the server holds more than it lists."""

    mirror: Mirror
    repo_type: RepoType
    repo_id: str
    revision: str
    files: tuple[Listed, ...]
    complete: bool = True

    @property
    def newest(self) -> Listed | None:
        """The file that was touched last, among those whose commit is known."""
        return max((each for each in self.files if each.commit), key=lambda each: each.committed_at, default=None)

    @property
    def commit(self) -> str:
        """A name of 40 hex digits for this state of the repository.

        The server names no commit of a whole revision: it is the one that was asked for, else the last that touched
        a file which is there, else a hash of the listing. Identity is in the digests; this tells states apart.
        """
        if is_commit(self.revision):
            return self.revision
        if self.newest is not None:
            return self.newest.commit
        lines = sorted(f"{each.path}\0{each.size}\0{each.sha256}\n" for each in self.files)
        return hashlib.sha1("".join(lines).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()

    @property
    def committed_at(self) -> float:
        """When it was last touched, seconds since the epoch; 0 if unknown."""
        return max((each.committed_at for each in self.files), default=0.0)
