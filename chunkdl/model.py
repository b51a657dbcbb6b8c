"""The nouns that every stage shares: immutable values, no behaviour beyond arithmetic and spelling.

Decides how a digest, a byte range, a file, a mirror are written down. Deliberately does not know
where any of them comes from or what is done with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

_HEX_LENGTHS = {"sha256": 64, "git-sha1": 40}
_COMMIT = re.compile(r"[0-9a-f]{40}")

MIB = 1 << 20
GIB = 1 << 30


class DigestAlgorithm(StrEnum):
    """How a publisher names content: LFS files by sha256, plain git files by git's blob sha1."""

    SHA256 = "sha256"
    GIT_SHA1 = "git-sha1"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A publisher's cryptographic name for content; ``hex`` is also the blob's name in the cache."""

    algorithm: DigestAlgorithm
    hex: str

    def __post_init__(self) -> None:
        """Refuse anything that is not lower-case hex of the algorithm's length."""
        wanted = _HEX_LENGTHS[self.algorithm]
        if not re.fullmatch(rf"[0-9a-f]{{{wanted}}}", self.hex):
            msg = f"not a {self.algorithm} digest: {self.hex!r}"
            raise ValueError(msg)

    def __str__(self) -> str:
        """``sha256:<64 hex>`` or ``git-sha1:<40 hex>``, the form of JSON output and lock files."""
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the form that ``str`` writes; ``ValueError`` for anything else."""
        algorithm, _, digits = text.partition(":")
        return cls(DigestAlgorithm(algorithm), digits)


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Half-open ``[start, stop)`` of one file; never empty. HTTP's inclusive form lives in ``http``."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        """A range that holds no byte is a caller's mistake."""
        if not 0 <= self.start < self.stop:
            msg = f"not a byte range: [{self.start}, {self.stop})"
            raise ValueError(msg)

    def __len__(self) -> int:
        """Bytes in the range."""
        return self.stop - self.start

    def __str__(self) -> str:
        """Spelt as mathematicians do, for messages."""
        return f"[{self.start}, {self.stop})"


class RepoType(StrEnum):
    """What kind of repository a hub id names."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"

    @property
    def plural(self) -> str:
        """The word in API paths and cache folder names: ``models``, ``datasets``, ``spaces``."""
        return f"{self.value}s"

    @property
    def url_prefix(self) -> str:
        """What stands before the id in web and resolve URLs: nothing for models."""
        return "" if self is RepoType.MODEL else f"{self.plural}/"


class Hub(StrEnum):
    """Who gives a name its meaning: a hub with repositories, torch's table of weights, or the URL itself."""

    HUGGING_FACE = "hf"
    MODELSCOPE = "ms"
    TORCH = "torch"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the user typed, parsed; ``revision`` None means the hub's default, ``main``.

    ``url`` is the whole address where ``hub`` is ``URL``; ``repo_id`` is then a name for people and files.
    """

    text: str
    repo_id: str
    repo_type: RepoType = RepoType.MODEL
    revision: str | None = None
    path: str | None = None
    hub: Hub = Hub.HUGGING_FACE
    url: str | None = None

    @property
    def pinned(self) -> bool:
        """True if the revision already is a 40-hex commit, which no ref is written for."""
        return self.revision is not None and is_commit(self.revision)


def is_commit(revision: str) -> bool:
    """True for exactly 40 lower-case hex digits; short hashes are refs to the hub."""
    return _COMMIT.fullmatch(revision) is not None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of an artifact.

    ``digest`` identifies the content. ``pointer_oid`` is the git sha1 of an LFS file's *pointer
    text* (needed for the hub's tree file, never compared with content). ``size`` in bytes.
    """

    path: str
    size: int
    digest: Digest
    pointer_oid: str | None = None
    xet_hash: str | None = None

    @property
    def executable(self) -> bool:
        """True where loading the file may run code: python sources and pickles."""
        return self.path.lower().endswith(_EXECUTABLE_SUFFIXES)


_EXECUTABLE_SUFFIXES = (".py", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".nemo", ".h5", ".joblib")


class AuthorityKind(StrEnum):
    """Whose listing is believed, strongest first."""

    LOCK = "lock"
    ORIGIN = "origin"
    LAST_KNOWN = "last-known"
    MIRRORS = "mirrors"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouched for names, sizes and digests; ``authenticated`` is False for plain HTTP and mirrors.

    ``as_of`` is wall-clock seconds since the epoch for what was learnt earlier, else None.
    """

    kind: AuthorityKind
    name: str
    authenticated: bool
    as_of: float | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A reference resolved to one immutable commit and the whole listing of that commit.

    ``canonical_id`` is the hub's own id (a legacy name like ``bert-base-uncased`` is redirected);
    the cache folder is named after ``reference.repo_id`` all the same, because loaders look there.
    """

    reference: Reference
    canonical_id: str
    commit: str
    files: tuple[RemoteFile, ...]
    authority: Authority


class MirrorKind(StrEnum):
    """How a mirror is asked: the hub's protocol, ModelScope's, or a plain folder of files."""

    HUGGING_FACE = "hf"
    MODELSCOPE = "modelscope"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A host that can serve bytes, with the policy for using it. The origin is one too.

    Args:
        name: short and unique in a run; stands in messages. By default the URL's host (and port).
        url: base URL without a trailing slash.
        max_connections: cap of simultaneous connections to its final data host.
        first_byte_s: seconds from request to first body byte before the lease is given up.
        priority: higher is preferred while rates are unknown.
        proxy: ``env``, ``none`` or a proxy URL.
        token: bearer token for this origin alone; never printed.
        rate_cap_bytes_per_s: 0 means no cap.
        ca_file: PEM bundle trusted for this mirror beside the system's; empty means the system's alone.
        vouches: its listing counts where mirrors vouch for one another; False for one that a checkout named.
    """

    name: str
    url: str
    kind: MirrorKind = MirrorKind.HUGGING_FACE
    is_origin: bool = False
    max_connections: int = 16
    first_byte_s: float = 15.0
    priority: int = 0
    proxy: str = "env"
    token: str | None = field(default=None, repr=False)
    rate_cap_bytes_per_s: float = 0.0
    ca_file: str = ""
    vouches: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """One URL of one content on one mirror, percent-encoded, before redirects."""

    mirror: Mirror
    url: str


class Strength(StrEnum):
    """What a verification proved: a whole digest, a prefix of one, or only the length."""

    DIGEST = "digest"
    PREFIX = "prefix"
    SIZE = "size"


@dataclass(frozen=True, slots=True)
class Verified:
    """Proof that placement demands: these bytes were hashed and matched, with what strength."""

    digest: Digest
    size: int
    strength: Strength = Strength.DIGEST
