"""What earlier runs learnt from the origin, on disk: listings, its silence, and what is still unconfirmed.

Decides the files and their form; every entry belongs to one origin. A file that does not read back as it was
written counts as absent. A state folder that cannot be used costs memory, never a fetch: ``trouble`` says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiofiles.os

from chunkdl.disk import new_name
from chunkdl.identify.fingerprints import fingerprint
from chunkdl.identify.references import is_repo_id
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, RemoteFile, is_commit
from chunkdl.own_folder import check_own, make_own

if TYPE_CHECKING:
    from pathlib import Path

    from chunkdl.model import Reference
    from chunkdl.settings import Settings

_FORM = 1  # raised when the form changes; other forms are ignored
# Twice what a listing may have on the wire, since ours spells every field out.
_MAX_FILE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the origin once said: the artifact, who may hear of it, and which process (its ``name``) was told."""

    artifact: Artifact
    private: bool = False
    gated: bool = False
    told: str = ""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What mirrors vouched for and the origin has not yet seen; ``at`` in seconds since the epoch."""

    commit: str
    fingerprint: str
    vouchers: str
    at: float


class Known:
    """The memory of one origin in the state folder ``root``; all methods are safe to call on a broken one."""

    def __init__(self, root: Path, origin_url: str) -> None:
        self._folder = root / "origins" / _name(origin_url)
        self._origin_url = origin_url
        self.trouble: str | None = None
        self.name = ""  # of this process, beside what it learns: those who waited for it know their own errand by it

    @classmethod
    def of(cls, settings: Settings) -> Known:
        """The memory that these settings mean."""
        return cls(settings.state_dir, settings.origin.url)

    async def flight(self, *wish: str) -> Path | None:
        """The owner file of whoever is about to learn and do what ``wish`` says; None if there is no place for it."""
        try:
            await asyncio.to_thread(make_own, self._folder)
            await asyncio.to_thread(check_own, self._folder)
        except OSError as error:
            self.trouble = str(error)
            return None
        return self._folder / f"flight-{_name(*wish)}.owner"

    async def silent_since(self) -> float | None:
        """When the origin last failed to answer, in seconds since the epoch; None if it answered since."""
        at = (await self._read("silent.json")).get("at")
        return float(at) if isinstance(at, int | float) else None

    async def note_silence(self, now: float) -> None:
        """The origin did not answer at ``now``."""
        await self._write("silent.json", {"at": now})

    async def note_answer(self) -> None:
        """The origin answers: what was remembered against it is void."""
        await self._remove("silent.json")

    async def remember(self, said: Earlier, now: float) -> None:
        """Keep what the origin said: the revision's commit, and that commit's listing."""
        artifact, reference = said.artifact, said.artifact.reference
        listing = self._listing_name(reference, artifact.commit)
        rows = [[each.path, each.size, str(each.digest), each.pointer_oid, each.xet_hash] for each in artifact.files]
        values = {
            "id": artifact.canonical_id,
            "files": rows,
            "at": now,
            "authenticated": artifact.authority.authenticated,
            "private": said.private,
            "gated": said.gated,
            "told": self.name,
        }
        await self._write(listing, values)
        if not reference.pinned:
            await self._write(self._ref_name(reference), {"commit": artifact.commit, "at": now})

    async def last(self, reference: Reference) -> Earlier | None:
        """What the origin last said about ``reference``, its age in the authority; None if it never did."""
        pin: dict[str, Any] = {"commit": reference.revision}
        ref = pin if reference.pinned else await self._read(self._ref_name(reference))
        commit = ref.get("commit")
        if not isinstance(commit, str) or not is_commit(commit):
            return None
        listing = await self._read(self._listing_name(reference, commit))
        try:
            artifact = self._artifact(reference, commit, listing, ref.get("at"))
            secret = {key: listing[key] is not False for key in ("private", "gated")}
            return Earlier(artifact, **secret, told=str(listing.get("told", "")))
        except (KeyError, TypeError, ValueError):
            return None  # torn or foreign: as if it were not there

    def listed(self, reference: Reference, commit: str) -> tuple[RemoteFile, ...]:
        """The files of ``commit`` as the origin once listed them, none if it never did; blocks for one file."""
        try:
            check_own(self._folder)
            values = json.loads(_begin_of(self._folder / self._listing_name(reference, commit)))
            return self._artifact(reference, commit, values, None).files if values["form"] == _FORM else ()
        except (OSError, KeyError, TypeError, ValueError):
            return ()

    def _artifact(self, reference: Reference, commit: str, listing: dict[str, Any], as_of: float | None) -> Artifact:
        files = tuple(
            RemoteFile(str(path), int(size), Digest.parse(digest), pointer_oid, xet_hash)
            for path, size, digest, pointer_oid, xet_hash in listing["files"]
        )
        canonical_id = listing["id"]
        if not is_repo_id(canonical_id):
            raise ValueError(canonical_id)
        at = float(listing["at"] if as_of is None else as_of)
        authenticated = listing["authenticated"] is True
        authority = Authority(AuthorityKind.LAST_KNOWN, self._origin_url, authenticated, at)
        return Artifact(reference, canonical_id, commit, files, authority)

    async def note_unconfirmed(self, artifact: Artifact, now: float) -> None:
        """Mirrors vouched for ``artifact`` and it was placed: to be compared when the origin answers again."""
        values = {
            "commit": artifact.commit,
            "fingerprint": fingerprint(artifact.files),
            "vouchers": artifact.authority.name,
            "at": now,
        }
        await self._write(self._unconfirmed_name(artifact.reference), values)

    async def unconfirmed(self, reference: Reference) -> Unconfirmed | None:
        """What was placed on the word of mirrors alone, None if nothing was."""
        values = await self._read(self._unconfirmed_name(reference))
        try:
            commit, print_, vouchers = (str(values[key]) for key in ("commit", "fingerprint", "vouchers"))
            return Unconfirmed(commit, print_, vouchers, float(values["at"])) if is_commit(commit) else None
        except (KeyError, TypeError, ValueError):
            return None

    async def settle(self, reference: Reference) -> None:
        """The origin has spoken about what was unconfirmed."""
        await self._remove(self._unconfirmed_name(reference))

    def _ref_name(self, reference: Reference) -> str:
        return f"ref-{_name(reference.repo_type, reference.repo_id, reference.revision or 'main')}.json"

    def _listing_name(self, reference: Reference, commit: str) -> str:
        return f"listing-{_name(reference.repo_type, reference.repo_id, commit)}.json"

    def _unconfirmed_name(self, reference: Reference) -> str:
        return f"unconfirmed-{_name(reference.repo_type, reference.repo_id, reference.revision or 'main')}.json"

    async def _read(self, name: str) -> dict[str, Any]:
        try:
            await asyncio.to_thread(check_own, self._folder)
            values = json.loads(await asyncio.to_thread(_begin_of, self._folder / name))
        except FileNotFoundError:
            return {}
        except ValueError:
            return {}  # a torn or edited file
        except OSError as error:
            self.trouble = str(error)
            return {}
        return values if isinstance(values, dict) and values.get("form") == _FORM else {}

    async def _write(self, name: str, values: dict[str, Any]) -> None:
        try:
            await asyncio.to_thread(make_own, self._folder)
            await asyncio.to_thread(check_own, self._folder)
            await asyncio.to_thread(_put, self._folder / name, json.dumps({"form": _FORM, **values}))
        except OSError as error:
            self.trouble = str(error)

    async def _remove(self, name: str) -> None:
        try:
            await aiofiles.os.unlink(self._folder / name)
        except FileNotFoundError:
            return
        except OSError as error:
            self.trouble = str(error)


def _begin_of(path: Path) -> bytes:
    """Read at once: a file that is being opened while we are cancelled would be nobody's to close."""
    with path.open("rb") as file:
        return file.read(_MAX_FILE_BYTES)


def _put(path: Path, text: str) -> None:
    """Write at once, for the same reason; readers see the old text or the new one."""
    temporary = new_name(path)
    try:
        with open(temporary, "x", encoding="utf-8") as file:  # noqa: PTH123  torture tests tap the builtin
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _name(*parts: str) -> str:
    """A file name for any text: 128 bits of its hash."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
