"""What a mirror folder offers: repositories, their commits and files, as values and as the record on disk.

Decides the record's form, and that a record which does not read back whole offers nothing. Deliberately
does not know where files lie or how they are asked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chunkdl.core.paths import check_paths
from chunkdl.errors import UsageError
from chunkdl.identify.references import is_repo_id
from chunkdl.model import Digest, RemoteFile, RepoType, is_commit

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM = 1  # raised when the form changes; other forms are refused
DEFAULT_REVISION = "main"  # the hub's name for "no revision given"


@dataclass(frozen=True, slots=True)
class OfferedCommit:
    """One commit, as far as it is here.

    Args:
        commit: 40 hex digits.
        files: what can be had, by path.
        complete: the commit is known to have no other file. Only then may a reader conclude from a missing
            file that the commit lacks it.
    """

    commit: str
    files: tuple[RemoteFile, ...]
    complete: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)

    def joined(self, other: OfferedCommit | None) -> OfferedCommit:
        """The same commit with what another offer has of it: a commit never changes, so both are true."""
        if other is None:
            return self
        files = {each.path: each for each in (*other.files, *self.files)}
        whole = self.complete or other.complete
        return OfferedCommit(self.commit, tuple(files[path] for path in sorted(files)), complete=whole)


@dataclass(frozen=True, slots=True)
class OfferedRepo:
    """One repository.

    Args:
        repo_type: model, dataset or space.
        repo_id: the hub's own id, as far as it is known.
        names: further ids under which it may be asked for (a legacy id such as ``bert-base-uncased``).
        refs: branch or tag → commit.
        commits: commit → what is here of it.
        gated: the hub lets only those have it who accepted its conditions.
        private: the hub shows it to its members only.
    """

    repo_type: RepoType
    repo_id: str
    names: tuple[str, ...] = ()
    refs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    commits: Mapping[str, OfferedCommit] = field(default_factory=lambda: MappingProxyType({}))
    gated: bool = False
    private: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id that it answers to, its own first."""
        return (self.repo_id, *(each for each in self.names if each != self.repo_id))

    def at(self, revision: str) -> OfferedCommit | None:
        """The commit that a revision means; None if it is not offered."""
        return self.commits.get(self.refs.get(revision, revision))

    @property
    def default(self) -> OfferedCommit:
        """What is meant if no revision is given: ``main``, or the commit that was offered first."""
        return self.at(DEFAULT_REVISION) or next(iter(self.commits.values()))

    def joined(self, later: OfferedRepo) -> OfferedRepo:
        """This offer and a later one of the same repository; the later one moves refs and names its own id."""
        again = {commit: each.joined(self.commits.get(commit)) for commit, each in later.commits.items()}
        return replace(
            later,
            names=tuple(dict.fromkeys(each for each in (*self.ids, *later.ids) if each != later.repo_id)),
            refs=MappingProxyType({**self.refs, **later.refs}),
            commits=MappingProxyType({**self.commits, **again}),
        )


def encode_repo(repo: OfferedRepo) -> bytes:
    """The record of one repository."""
    commits = {each.commit: {"complete": each.complete, "files": _rows(each)} for each in repo.commits.values()}
    values = {
        "form": _FORM,
        "type": repo.repo_type.value,
        "id": repo.repo_id,
        "names": list(repo.names),
        "gated": repo.gated,
        "private": repo.private,
        "refs": dict(repo.refs),
        "commits": commits,
    }
    return json.dumps(values, indent=1).encode()


def _rows(commit: OfferedCommit) -> list[list[object]]:
    return [[each.path, each.size, str(each.digest)] for each in commit.files]


def decode_repo(data: bytes, where: str) -> OfferedRepo:
    """Read a record; ``where`` names it in errors.

    Raises:
        UsageError: it is none, or none of this version.
    """
    try:
        values = json.loads(data)
        if values["form"] == _FORM:
            return _repo(values)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # said below, as for another form
    raise UsageError(f"{where} is no record of an exported repository", hint="export the repository again")


def _repo(values: dict[str, Any]) -> OfferedRepo:
    commits = {commit: _commit(commit, each) for commit, each in values["commits"].items()}
    ids = (values["id"], *values["names"])
    if not (commits and all(map(is_repo_id, ids)) and all(each in commits for each in values["refs"].values())):
        raise ValueError(ids)
    return OfferedRepo(
        RepoType(values["type"]),
        values["id"],
        tuple(values["names"]),
        MappingProxyType(dict(values["refs"])),
        MappingProxyType(commits),
        gated=values["gated"] is not False,
        private=values["private"] is not False,
    )


def _commit(commit: str, values: dict[str, Any]) -> OfferedCommit:
    if not is_commit(commit):
        raise ValueError(commit)
    files = tuple(RemoteFile(path, int(size), Digest.parse(digest)) for path, size, digest in values["files"])
    check_paths(each.path for each in files)
    return OfferedCommit(commit, files, complete=values["complete"] is True)
