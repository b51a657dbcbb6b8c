"""What earlier runs learnt of single files, on disk: the whole sha256 behind an address, and of a file hashed before.

Decides the files and their form. One that does not read back as it was written counts as absent, and a state folder
that cannot be used costs memory, never a fetch. All methods block for one small file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkdl.model import Digest, DigestAlgorithm, Strength
from chunkdl.own_folder import check_own, make_own

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.identify.checkpoints import Facts

_NAME = re.compile(r"[0-9a-f]{32}")
_FORM = 1  # raised when the form changes; other forms are ignored
_MAX_FILE_BYTES = 16 << 10  # an address of 8 KiB, the longest that servers take, and a few numbers


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an address held when it was last fetched.

    Args:
        digest: sha256 of the whole file.
        size: bytes.
        validator: what told its state apart then (``Facts``).
        strength: how the bytes were proven when they were first fetched.
        at: seconds since the epoch.
    """

    digest: Digest
    size: int
    validator: str
    strength: Strength
    at: float

    def still_holds(self, named: Digest | None, facts: Facts) -> bool:
        """True if nothing says that the address holds another file by now.

        Digits in the name settle that; without them the server must say that nothing changed.
        """
        if self.size != facts.size:
            return False
        if named is not None:
            return named.fits(self.digest.hex)
        return bool(facts.validator) and facts.validator == self.validator


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file that was hashed where it stands: its digest and the address that it came from, as ``address_name``."""

    digest: Digest
    address: str


class Learnt:
    """The memory of single files below the state folder ``root``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "files"

    def lesson(self, url: str) -> Lesson | None:
        """What is known of an address, None if nothing."""
        said = self._read(f"url-{_name(url)}.json")
        try:
            digest, strength = Digest.parse(str(said["digest"])), Strength(said["strength"])
            return Lesson(digest, int(said["size"]), str(said["validator"]), strength, float(said["at"]))
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, url: str, lesson: Lesson) -> None:
        """Remember what an address held; one with a query, which may be a secret, is itself not written down."""
        values = {
            "url": "" if "?" in url else url,
            "digest": str(lesson.digest),
            "size": lesson.size,
            "validator": lesson.validator,
            "strength": lesson.strength.value,
            "at": lesson.at,
        }
        self._write(f"url-{_name(url)}.json", values)

    def hashed(self, path: Path) -> Hashed | None:
        """What the file at ``path`` was when it was hashed; None if that is unknown, or it was written to since."""
        said = self._read(f"file-{_name(str(path))}.json")
        try:
            digest = Digest.parse(str(said["digest"]))
            same = said["mark"] == _mark(path.stat())
            return Hashed(digest, str(said["address"])) if same else None
        except (KeyError, TypeError, ValueError, OSError):
            return None

    def source(self, path: Path) -> tuple[str, Digest] | None:
        """Where the file at ``path`` came from and what it was then, whatever became of it; None if that is unknown."""
        address = self._read(f"file-{_name(str(path))}.json").get("address")
        url = self._read(f"url-{address}.json").get("url") if _is_name(address) else None
        lesson = self.lesson(url) if isinstance(url, str) and _name(url) == address else None
        return (str(url), lesson.digest) if lesson is not None else None

    def note(self, path: Path, status: os.stat_result, digest: Digest, address: str) -> None:
        """Remember what was hashed: the file with this ``status``, which stands at ``path`` or is about to.

        ``address`` is spelt by ``address_name``, or empty.
        """
        if digest.algorithm is not DigestAlgorithm.SHA256:
            raise ValueError(f"not the digest of a file: {digest}")
        values = {"digest": str(digest), "mark": _mark(status), "address": address}
        self._write(f"file-{_name(str(path))}.json", values)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            check_own(self._folder)
            with (self._folder / name).open("rb") as file:
                values = json.loads(file.read(_MAX_FILE_BYTES))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) and values.get("form") == _FORM else {}

    def _write(self, name: str, values: dict[str, Any]) -> None:
        temporary = self._folder / f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        with suppress(OSError):
            make_own(self._folder)
            check_own(self._folder)
            try:
                with temporary.open("x", encoding="utf-8") as file:
                    file.write(json.dumps({"form": _FORM, **values}))
                temporary.replace(self._folder / name)
            finally:
                temporary.unlink(missing_ok=True)


def address_name(url: str) -> str:
    """A name for an address that tells nothing of it, since it may hold a secret."""
    return _name(url)


def _is_name(value: object) -> bool:
    """What was read becomes part of a file's name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _mark(status: os.stat_result) -> list[int]:
    """Changes whenever a file is written to or replaced; a rename leaves it as it is."""
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns]


def _name(text: str) -> str:
    """A file name for any text: 128 bits of its hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
