"""A lock file: what some references meant on one day, down to every digest, in a form that people read and git diffs.

Decides the form, and that a file which was cut off or edited by hand is noticed: its last table seals every byte
before it. The same contents make the same bytes. Deliberately reads no file, asks nobody, and says nothing about
files that the selection left out, so that a lock is never taken for the whole listing of a commit.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkdl.core.paths import check_path
from chunkdl.errors import ChunkdlError, UsageError
from chunkdl.identify.references import check_file, check_revision, is_repo_id
from chunkdl.identify.url_references import read_address
from chunkdl.model import (
    Artifact,
    Authority,
    AuthorityKind,
    Digest,
    DigestAlgorithm,
    Hub,
    Reference,
    RemoteFile,
    RepoType,
    is_commit,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LOCK_FILE = "chunkdl.lock"
_FORM = 1  # raised when older readers would misunderstand
_HEADING = "# Written by `chunkdl lock`; `chunkdl fetch --locked` takes exactly this. Not to be edited: it is sealed.\n"
_SEAL = "\n[seal]\nsha256 = "
# 64 MiB hold some 400,000 files; whatever is longer is no lock.
MAX_LOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class LockedSelection:
    """Which files of the repository were chosen, as ``FetchOptions`` says it."""

    format: str = "auto"
    variant: str | None = None
    quant: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedArtifact:
    """One reference as it was locked.

    Args:
        ref: what was typed.
        reference: what that meant; ``revision`` is the one that was asked for, None for the default. A single file's
            has its ``url``, a torch name's too.
        canonical_id, commit: the hub's id and the commit of that revision on that day; a single file has no commit.
        authority: URL or names of who said so; ``authenticated`` whether that was its publisher's protected word.
        locked_at: when, seconds since the epoch; whole seconds.
        selection: which files.
        files: those files, sorted by path.
        left_out: how many others the commit has.
        public: True if the hub showed it to everybody: mirrors may hear of it.
    """

    ref: str
    reference: Reference
    canonical_id: str
    commit: str
    authority: str
    authenticated: bool
    locked_at: float
    selection: LockedSelection
    files: tuple[RemoteFile, ...]
    left_out: int = 0
    public: bool = True

    def artifact(self, where: str) -> Artifact:
        """The artifact on the word of the lock file at ``where``."""
        authority = Authority(AuthorityKind.LOCK, where, self.authenticated, self.locked_at)
        return Artifact(self.reference, self.canonical_id, self.commit, self.files, authority, complete=False)


@dataclass(frozen=True, slots=True)
class Lock:
    """The contents of a lock file; ``where`` is how messages name it."""

    artifacts: tuple[LockedArtifact, ...] = ()
    where: str = field(default=LOCK_FILE, compare=False)

    def of(self, ref: str) -> LockedArtifact | None:
        """The entry of what was typed, word for word; None if there is none."""
        return next((each for each in self.artifacts if each.ref == ref), None)

    def like(self, reference: Reference) -> LockedArtifact | None:
        """The entry of the same repository or file typed otherwise, at the same revision if there are several."""
        alike = [each for each in self.artifacts if _same(each.reference, reference)]
        exact = (each for each in alike if each.reference.revision == reference.revision)
        return next(exact, alike[0] if alike else None)


def _same(locked: Reference, typed: Reference) -> bool:
    """An address may say more than its path, so all of it counts."""
    names = ((each.hub, each.repo_type, each.repo_id) for each in (locked, typed))
    return len(set(names)) == 1 and (typed.hub is not Hub.URL or typed.url == locked.url)


def encode_lock(lock: Lock) -> str:
    """The text of a lock file; ``decode_lock`` reads it."""
    body = _HEADING + f"version = {_FORM}\n" + "".join(map(_encode_artifact, lock.artifacts))
    return f"{body}{_SEAL}{_text(hashlib.sha256(body.encode()).hexdigest())}\n"


def decode_lock(text: str, where: str) -> Lock:
    """Read a lock file's text; ``where`` names it in messages.

    Raises:
        UsageError: it is cut off, edited, of a newer version, or no lock file.
    """
    body, seal, digest = text.rpartition(_SEAL)
    if not seal:
        raise UsageError(f"{where}: the lock file is cut off, or is none: its seal is missing", hint=_AGAIN)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: the lock file is no TOML: {error}", hint=_AGAIN) from error
    version = values.get("version")
    if isinstance(version, int) and version > _FORM:
        raise UsageError(f"{where}: the lock file is of version {version}, from a newer chunkdl", hint="update chunkdl")
    if digest.strip() != _text(hashlib.sha256(body.encode()).hexdigest()):
        raise UsageError(f"{where}: the lock file was edited or damaged: its seal does not fit", hint=_AGAIN)
    try:
        return Lock(tuple(_decode_artifact(each) for each in values.get("artifact", ())), where)
    except (KeyError, TypeError, ValueError, AttributeError, ChunkdlError) as error:
        raise UsageError(f"{where}: the lock file holds what cannot be: {error}", hint=_AGAIN) from error


_AGAIN = "restore it from version control, or remove it and make it anew with chunkdl lock"


# -- writing ---------------------------------------------------------------------------------------


def _encode_artifact(locked: LockedArtifact) -> str:
    reference, chosen = locked.reference, locked.selection
    values: dict[str, Any] = {
        "ref": locked.ref,
        "hub": None if reference.hub is Hub.HUGGING_FACE else reference.hub.value,
        "type": None if reference.hub.names_files else reference.repo_type.value,
        "repo": reference.repo_id,
        "url": reference.url,
        "canonical": locked.canonical_id,
        "revision": reference.revision,
        "path": None if reference.hub.names_files else reference.path,
        "commit": locked.commit or None,
        "authority": locked.authority,
        "authenticated": locked.authenticated,
        "public": locked.public,
        "locked_at": datetime.fromtimestamp(locked.locked_at, UTC),
        "left_out": locked.left_out,
        "format": None if reference.hub.names_files else chosen.format,
        "variant": chosen.variant,
        "quant": chosen.quant,
        "include": chosen.include,
        "exclude": chosen.exclude,
    }
    lines = [f"{key} = {_value(value)}\n" for key, value in values.items() if value is not None and value != ()]
    return "".join(("\n[[artifact]]\n", *lines, "files = [\n", *map(_encode_file, locked.files), "]\n"))


def _encode_file(file: RemoteFile) -> str:
    return f"  {{ path = {_text(file.path)}, size = {file.size}, digest = {_text(str(file.digest))} }},\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case tuple():
            return f"[{', '.join(map(_text, value))}]"
        case _:
            return _text(str(value))


def _text(value: str) -> str:
    """A basic string of TOML: JSON's, but for the one control character that JSON leaves as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# -- reading ---------------------------------------------------------------------------------------


def _decode_artifact(values: Mapping[str, Any]) -> LockedArtifact:
    hub, files = Hub(values.get("hub", Hub.HUGGING_FACE)), tuple(_decode_files(values["files"]))
    repo_type = RepoType.MODEL if hub.names_files else RepoType(values["type"])
    path = read_address(values["url"]).name if hub.names_files else values.get("path")
    _check_names(values, hub)
    reference = Reference(
        values["ref"], values["repo"], repo_type, values.get("revision"), path, hub, values.get("url")
    )
    commit = _decode_commit(values, hub)
    _check_digests(hub, files)
    if hub.names_files and [each.path for each in files] != [path]:
        raise ValueError(f"{values['ref']} is one file, named by its address")
    selection = LockedSelection(
        values.get("format", "auto"),
        values.get("variant"),
        values.get("quant"),
        tuple(values.get("include", ())),
        tuple(values.get("exclude", ())),
    )
    return LockedArtifact(
        values["ref"],
        reference,
        values["canonical"],
        commit,
        values["authority"],
        values["authenticated"] is True,
        values["locked_at"].timestamp(),
        selection,
        files,
        values["left_out"],
        values["public"] is True,
    )


def _check_names(values: Mapping[str, Any], hub: Hub) -> None:
    """What becomes a part of addresses and paths: a seal says that nobody slipped, not that nobody meant harm."""
    ref, left_out = values["ref"], values["left_out"]
    if not isinstance(ref, str) or not isinstance(values["authority"], str):
        raise TypeError("a name is no text")
    if not isinstance(left_out, int) or isinstance(left_out, bool) or left_out < 0:
        raise ValueError(f"{left_out!r} is no number of files")
    for name in (values["repo"], values["canonical"]):
        if hub.names_files:
            check_path(name)
        elif not is_repo_id(name):
            raise ValueError(f"{name!r} is no repository id")
    if not hub.names_files and "revision" in values:
        check_revision(ref, values["revision"])
    if not hub.names_files and "path" in values:
        check_file(ref, values["path"])


def _decode_commit(values: Mapping[str, Any], hub: Hub) -> str:
    if hub.names_files:
        return ""
    if not is_commit(values["commit"]):
        raise ValueError(f"{values['commit']!r} is no commit")
    return str(values["commit"])


def _check_digests(hub: Hub, files: Iterable[RemoteFile]) -> None:
    """A lock that proves nothing would be none; the first digits of a digest are all that torch's names have."""
    weak = {DigestAlgorithm.UNPROVEN} if hub.names_files else {DigestAlgorithm.UNPROVEN, DigestAlgorithm.SHA256_PREFIX}
    for each in files:
        if each.digest.algorithm in weak:
            raise ValueError(f"{each.digest} does not fix {each.path}")


def _decode_files(rows: list[Mapping[str, Any]]) -> Iterator[RemoteFile]:
    for row in rows:
        check_path(row["path"])
        if not isinstance(row["size"], int) or row["size"] < 0:
            raise ValueError(f"{row['size']!r} is no size")
        yield RemoteFile(row["path"], row["size"], Digest.parse(row["digest"]))
