"""What ModelScope's JSON says, checked before anything is built on it.

Every answer is an envelope (``Code``, ``Success``, ``Message``, ``Data``) that may announce a failure under HTTP 200,
so that a status alone proves nothing. Decides which listings are believable. Deliberately makes no request.
Field names: modelscope-hub 0.5.1, OpenList ``drivers/modelscope/types.go``, MNN ``MsRepoInfo.java``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chunkdl.core.content_headers import MAX_SIZE
from chunkdl.errors import MirrorMisbehaved
from chunkdl.identify.answers import parse_json, read_size, refused
from chunkdl.model import is_commit

if TYPE_CHECKING:
    from chunkdl.model import Mirror

_OK = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[0-9]{1,18}")  # those seen have up to eleven digits
_SAID = 200  # characters of a server's own words that fit into a message of one line
_FOLDER, _FILES = "tree", frozenset({"blob", "file"})  # a submodule's "commit" is neither
# Of the content of length 0; ``Size`` is 0 for that one, and also where the size is not known.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One answer: ``data`` if it is a success, else the business ``code`` (0 if none) and what was ``said``."""

    data: Any
    failed: bool
    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing.

    ``sha256`` is empty if the server names none. ``commit`` is the last one that touched the file, empty if unsaid;
    ``committed_at`` its time in seconds since the epoch, 0 if unsaid. ``size`` 0 may mean unknown.
    """

    path: str
    size: int
    sha256: str
    commit: str = ""
    committed_at: float = 0.0
    is_folder: bool = False

    @property
    def sized(self) -> bool:
        """False if the listing does not know how long the content is."""
        return self.size > 0 or self.sha256 == EMPTY_SHA256


def parse_envelope(body: bytes, mirror: Mirror) -> Envelope:
    """Unwrap an answer; ``NotTheFile`` for what is no JSON (an empty body too), MirrorMisbehaved for no envelope."""
    answer = parse_json(body, mirror)
    if not isinstance(answer, dict) or not answer.keys() & {"Code", "Data", "Success"}:
        raise MirrorMisbehaved(f"{mirror.name} does not answer as ModelScope does", mirror=mirror.name)
    code = answer.get("Code", _OK)
    number = int(code) if _CODE.fullmatch(str(code)) else 0
    failed = number != _OK or answer.get("Success") is False
    return Envelope(answer.get("Data"), failed, number, _printable(answer.get("Message")))


def parse_entries(data: Any, mirror: Mirror) -> list[Listed]:
    """The entries of one listing, folders included, in the server's order.

    Raises:
        MirrorMisbehaved: no list, or an entry without a believable path, size or digest.
    """
    files = data.get("Files") if isinstance(data, dict) else data
    if files is None and isinstance(data, dict):
        files = []  # what an empty folder has
    if not isinstance(files, list):
        raise refused(mirror, "sent a listing that is no list")
    found = [_entry(each, mirror) for each in files]
    return [each for each in found if each is not None]


def parse_refs(data: Any, mirror: Mirror) -> tuple[str, ...]:
    """Names of branches, then of tags."""
    listed = data.get("RevisionMap") if isinstance(data, dict) else None
    if not isinstance(listed, dict):
        raise refused(mirror, "names no revisions")
    kinds = [listed.get(kind) for kind in ("Branches", "Tags")]
    entries = [each for kind in kinds if isinstance(kind, list) for each in kind]
    names = [each.get("Revision") for each in entries if isinstance(each, dict)]
    return tuple(each for each in names if isinstance(each, str) and each.isprintable())


def _entry(entry: Any, mirror: Mirror) -> Listed | None:
    path = entry.get("Path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path:
        raise refused(mirror, "lists a file without a path")
    kind = entry.get("Type", "blob")
    if not isinstance(kind, str):
        raise refused(mirror, f"lists {path!a} as something that is neither file nor folder", path)
    if kind != _FOLDER and kind not in _FILES:
        return None
    commit, at = entry.get("Revision"), entry.get("CommittedDate")
    return Listed(
        path,
        0 if kind == _FOLDER else read_size(entry.get("Size"), path, mirror),
        "" if kind == _FOLDER else _sha256(entry.get("Sha256"), path, mirror),
        commit if isinstance(commit, str) and is_commit(commit) else "",
        float(at) if isinstance(at, int | float) and 0 <= at < MAX_SIZE else 0.0,
        kind == _FOLDER,
    )


def _sha256(value: Any, path: str, mirror: Mirror) -> str:
    if not value:
        return ""
    digits = value.lower() if isinstance(value, str) else ""
    if not _SHA256.fullmatch(digits):
        raise refused(mirror, f"lists {path!a} without a usable digest", path)
    return digits


def day_of(committed_at: float) -> str:
    """The day of a commit as ``2026-01-31``, empty if unknown or beyond what a calendar holds."""
    try:
        return datetime.fromtimestamp(committed_at, UTC).date().isoformat() if committed_at else ""
    except (ValueError, OverflowError, OSError):
        return ""


def _printable(text: Any) -> str:
    return "".join(each for each in text if each.isprintable())[:_SAID] if isinstance(text, str) else ""
