"""The nouns that every stage shares: immutable values, no behaviour beyond arithmetic and spelling.

Decides how a digest, a byte range, a file, a mirror are written down. Deliberately does not know
where any of them comes from or what is done with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

# A prefix of fewer than 8 digits would not even tell two files of one folder apart (torch.hub asks for 8 or more).
_HEX_LENGTHS = {"sha256": "64", "git-sha1": "40", "sha256-prefix": "8,63", "unproven": "64"}
_COMMIT = re.compile(r"[0-9a-f]{40}")

MIB = 1 << 20
GIB = 1 << 30


class DigestAlgorithm(StrEnum):
    """How a publisher names content: LFS files by sha256, plain git files by git's blob sha1.

    The last two stand in where a publisher says less: the first digits of a sha256, as torch's file names carry
    them; or nothing, and then the digits name the address and the state in which it was found, not the content.
    """

    SHA256 = "sha256"
    GIT_SHA1 = "git-sha1"
    SHA256_PREFIX = "sha256-prefix"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A publisher's name for content, as far as there is one; ``hex`` is also the blob's name in the cache."""

    algorithm: DigestAlgorithm
    hex: str

    def __post_init__(self) -> None:
        """Refuse anything that is not lower-case hex of the algorithm's length."""
        wanted = _HEX_LENGTHS[self.algorithm]
        if not re.fullmatch(rf"[0-9a-f]{{{wanted}}}", self.hex):
            msg = f"not a {self.algorithm} digest: {self.hex!r}"
            raise ValueError(msg)

    @property
    def strength(self) -> Strength:
        """What bytes of the right length that match it prove."""
        return _STRENGTHS.get(self.algorithm, Strength.DIGEST)

    @property
    def names_content(self) -> bool:
        """True if no other content can have it."""
        return self.strength is Strength.DIGEST

    def fits(self, sha256: str) -> bool:
        """Whether content of this sha256 (64 hex digits) may be what is named; git's names say nothing of it."""
        if self.algorithm is DigestAlgorithm.UNPROVEN:
            return True
        return self.algorithm is not DigestAlgorithm.GIT_SHA1 and sha256.startswith(self.hex)

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

    @property
    def names_files(self) -> bool:
        """True where a reference names one file by itself, and no repository."""
        return self in {Hub.TORCH, Hub.URL}

    @property
    def default_revision(self) -> str:
        """The branch that is meant where no revision is named."""
        return "master" if self is Hub.MODELSCOPE else "main"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the user typed, parsed; ``revision`` None means the hub's default, ``main``.

    ``url`` is the whole address where ``hub`` is ``URL``; ``repo_id`` is then a name for people and files. A name of
    torch's has one where a lock file fixed it.
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
    the cache folder is named after ``reference.repo_id`` all the same, because loaders look there. ``complete`` is
    False if ``files`` are only some of the commit's: then nothing may be concluded from what is not among them.
    ``current`` is False if the authority says that the revision names another commit by now.
    """

    reference: Reference
    canonical_id: str
    commit: str
    files: tuple[RemoteFile, ...]
    authority: Authority
    complete: bool = True
    current: bool = True


class MirrorKind(StrEnum):
    """How a mirror is asked: the hub's protocol, ModelScope's, or a plain folder of files."""

    HUGGING_FACE = "hf"
    MODELSCOPE = "modelscope"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A host that can serve bytes, with the policy for using it. The origin is one too.

    Written by hand, ``Mirror("https://mirror.example", proxy="socks5h://127.0.0.1:1080")`` is enough; what is said
    here is checked like a settings file's when a fetch begins.

    Args:
        url: base URL without a trailing slash.
        name: short and unique in a run; stands in messages. By default the URL's host (and port).
        max_connections: cap of simultaneous connections to its final data host.
        first_byte_s: seconds from request to first body byte before the lease is given up.
        priority: higher is preferred while rates are unknown.
        proxy: ``env`` (HTTPS_PROXY and its like), ``none``, or a proxy's URL: ``http``, ``https``, ``socks5``,
            ``socks5h``, with ``user:password@`` if it wants one; never printed with them.
        token: bearer token for this origin alone; never printed.
        rate_cap_bytes_per_s: 0 means no cap.
        ca_file: PEM bundle trusted for this mirror beside the system's; empty means the system's alone.
        vouches: its listing counts where mirrors vouch for one another; False for one that a checkout named.
        replaces: the address whose files this static mirror holds below its own ``url``; ``*`` if it may be asked
            for any file by its name alone; empty for mirrors of hubs.
    """

    url: str
    name: str = ""
    kind: MirrorKind = MirrorKind.HUGGING_FACE
    is_origin: bool = False
    max_connections: int = 16
    first_byte_s: float = 15.0
    priority: int = 0
    proxy: str = field(default="env", repr=False)  # may hold a password
    token: str | None = field(default=None, repr=False)
    rate_cap_bytes_per_s: float = 0.0
    ca_file: str = ""
    vouches: bool = True
    replaces: str = ""

    def __post_init__(self) -> None:
        """Call a mirror without a name after its host; a password in the URL is not part of that."""
        if not self.name:
            parts = urlsplit(self.url if "://" in self.url else f"//{self.url}")
            object.__setattr__(self, "name", parts.netloc.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Source:
    """One URL of one content on one mirror, percent-encoded, before redirects.

    ``validator`` is the entity tag or date that every answer must bear, where no digest can tell two states of one
    address apart; empty where a digest does.
    """

    mirror: Mirror
    url: str
    validator: str = ""


class Strength(StrEnum):
    """What a verification proved: a whole digest, a prefix of one, or only the length."""

    DIGEST = "digest"
    PREFIX = "prefix"
    SIZE = "size"


_STRENGTHS = {DigestAlgorithm.SHA256_PREFIX: Strength.PREFIX, DigestAlgorithm.UNPROVEN: Strength.SIZE}


@dataclass(frozen=True, slots=True)
class Verified:
    """Proof that placement demands: these bytes were hashed and matched, with what strength.

    ``digest`` is always of the whole content, also where only a prefix of it, or nothing, was there to match.
    """

    digest: Digest
    size: int
    strength: Strength = Strength.DIGEST
