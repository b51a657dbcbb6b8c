"""One file among torch's checkpoints, or in a folder of the user's: under its own name, with no record beside it.

Decides when a file that is there already is the right one, and when another may take its place. torch and timm look
at the name alone, so nothing bears it before it is proven, and an old file stays until the new one is. Parts lie beside
it as dot files, which torch overlooks.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from chunkdl.assemble.destination import ContentPaths
from chunkdl.assemble.digests import hash_file
from chunkdl.assemble.file_memory import Doubting
from chunkdl.assemble.folders import refuse_folder
from chunkdl.assemble.hub_destination import is_file_of
from chunkdl.assemble.inventory import claimed
from chunkdl.assemble.layout import JOURNAL_SUFFIX, OWNER_SUFFIX, PART_SUFFIX, inside
from chunkdl.assemble.local_folder import PROVEN_SUFFIX
from chunkdl.assemble.place import reuse_blob
from chunkdl.assemble.staging import sweep
from chunkdl.core.planner import Inventory
from chunkdl.disk import NEW_NAME_BYTES, free_bytes, fsync_folder, replace, store_errors
from chunkdl.errors import PlacementRefused, StoreBroken, StoreError
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile, Strength, Verified
from chunkdl.second_name import copy_file

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from chunkdl.assemble.cached import CachedSnapshot
    from chunkdl.assemble.file_memory import FileMemory
    from chunkdl.core.planner import PlannedContent
    from chunkdl.model import Artifact

# A file's own name in ours: NAME_MAX less a dot on each side of it, 64 digits, the longest of our suffixes, the
# number of a take-over, and what is added while a file is being made.
_SUFFIX_BYTES = max(map(len, (PART_SUFFIX, JOURNAL_SUFFIX, OWNER_SUFFIX, PROVEN_SUFFIX)))
_LONGEST_STEM_BYTES = 255 - 2 - 64 - _SUFFIX_BYTES - len(f".{10**6}") - NEW_NAME_BYTES


class TorchDestination:
    """One file of one folder, for one reference of one run. Methods as ``Destination`` describes them.

    Args:
        folder: ``$TORCH_HOME/hub/checkpoints``, or the user's own.
        address: names where the file comes from, and nothing else.
        memory: which files were hashed before.
        force: whatever stands there may be replaced.
    """

    def __init__(self, folder: Path, address: str, memory: FileMemory, *, force: bool = False) -> None:
        self._folder = folder
        self._address = address
        self._memory: FileMemory = memory
        self._force = force
        self._adopted: dict[str, tuple[Verified, os.stat_result]] = {}
        self._wrong: frozenset[Digest] = frozenset()

    @property
    def root(self) -> Path:
        """The folder."""
        return self._folder

    def doubting(self, wrong: Collection[Digest]) -> TorchDestination:
        """This one, from now on without belief in what was once known of files of these digests."""
        self._memory, self._wrong = Doubting(self._memory, wrong), frozenset(wrong)
        return self

    def inventory(self, commit: str, chosen: Sequence[RemoteFile]) -> Inventory:  # noqa: ARG002  there are no commits
        """A file that is known to be right, one that may be, a proven one that waits, a part."""
        with store_errors(self._folder):
            for each in chosen:
                refuse_folder(self._final(each.path), each.path)
                self._check_replaceable(each)
        missing = [each for each in chosen if not self._stands(each)]
        waiting = [each for each in missing if is_file_of(self._blob(each.path, each.digest), each.size)]
        offered = {each.digest: tuple(map(str, self._candidates(each))) for each in missing}
        paths = {each.digest: self.paths(each.path, each.digest) for each in missing}
        partials = {each.digest: claimed(paths[each.digest].part, paths[each.digest].journal, each) for each in missing}
        return Inventory(
            blobs=frozenset(each.digest for each in waiting if each.digest.names_content),
            elsewhere={digest: found for digest, found in offered.items() if found},
            partials={digest: ranges for digest, ranges in partials.items() if ranges},
            placed=frozenset(each.path for each in chosen if each not in missing),
            free_bytes=free_bytes(self._folder),
        )

    def _candidates(self, file: RemoteFile) -> list[Path]:
        """What only has to be hashed; of a file without any digest that proves nothing, unless we brought it."""
        own = [self._blob(file.path, file.digest), self._final(file.path)]
        if file.digest.algorithm is DigestAlgorithm.UNPROVEN or file.digest in self._wrong:
            own.pop()
        return [each for each in own if file.size and is_file_of(each, file.size)]

    def prepare(self) -> None:
        """The folder, with the mode that the umask leaves."""
        with store_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def paths_of(self, content: PlannedContent) -> ContentPaths:
        """Ours by name and digest, hidden."""
        return self.paths(content.paths[0], content.digest)

    def paths(self, path: str, digest: Digest) -> ContentPaths:
        """The same by name: where a content waits, and its transfer."""
        stem = self._stem(path, digest)
        part, journal, owner = (
            inside(self._folder, stem + each) for each in (PART_SUFFIX, JOURNAL_SUFFIX, OWNER_SUFFIX)
        )
        return ContentPaths(self._blob(path, digest), part, journal, owner)

    def _blob(self, path: str, digest: Digest) -> Path:
        return inside(self._folder, self._stem(path, digest) + PROVEN_SUFFIX)

    def _final(self, path: str) -> Path:
        return inside(self._folder, path)

    def _stem(self, path: str, digest: Digest) -> str:
        short = path.encode()[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        return f".{short}.{digest.hex}"

    def holds(self, content: PlannedContent) -> bool:
        """Proven and waiting, or shown already."""
        file = _file(content)
        return is_file_of(self._blob(file.path, file.digest), file.size) or self._stands(file)

    def _stands(self, file: RemoteFile) -> bool:
        """True if the file is there and was hashed before; digits that name no content are hashed again, once a run."""
        found = self._memory.hashed(self._final(file.path))
        if found is None or not is_file_of(self._final(file.path), file.size):
            return False
        return found.digest == file.digest

    def reuse(self, source: Path, content: PlannedContent) -> Verified | None:
        """The file itself is adopted where it stands; what waits is hashed again; any other file is copied."""
        file = _file(content)
        blob, final = self._blob(file.path, file.digest), self._final(file.path)
        if source == blob and not is_file_of(blob, file.size):
            source = final  # another process has shown it meanwhile
        if source == final:
            return self._adopt(file, final)
        if source == blob:
            return _proof(blob, file)
        return reuse_blob(source, file.digest, file.size, blob, take=copy_file)

    def _adopt(self, file: RemoteFile, final: Path) -> Verified | None:
        before = _status(final)
        if before is None:
            return None
        known = self._memory.hashed(final)
        if file.digest.algorithm is DigestAlgorithm.UNPROVEN and (known is None or known.address != self._address):
            return None
        if known is None:
            proof = _proof(final, file)
        elif file.digest.fits(known.digest.hex) and before.st_size == file.size:
            proof = Verified(known.digest, file.size, file.digest.strength)
        else:
            proof = None
        if proof is not None:
            self._adopted[file.path] = proof, before
        return proof

    def place(self, artifact: Artifact, chosen: Sequence[RemoteFile]) -> Path:
        """Rename what waits over what stands there, or leave what was adopted; then old litter goes."""
        known = {each.path: each.digest for each in artifact.files}
        with store_errors(self._folder):
            for each in chosen:
                self._place(each, known.get(each.path, each.digest))
            fsync_folder(self._folder)
        sweep(self._folder)
        return self._folder

    def _place(self, file: RemoteFile, known: Digest) -> None:
        blob, final = self._blob(file.path, file.digest), self._final(file.path)
        refuse_folder(final, file.path)
        waiting = _status(blob)
        if waiting is not None:
            self._check_replaceable(file)
            # Noted first: a file that is there is then never unknown, and a note of one that is not says nothing.
            digest = known if known.algorithm is DigestAlgorithm.SHA256 else self._hashed(file, blob)
            self._memory.note(final, waiting, digest, self._address)
            with suppress(FileNotFoundError):  # somebody else with the same errand was faster
                replace(blob, final)
        elif file.path in self._adopted:
            self._note_adopted(file, final)
        if not is_file_of(final, file.size):
            raise StoreBroken(
                f"{final} went away or changed before it could be placed",
                hint="another program works in this folder; run the same command again",
                file=file.path,
            )

    def _hashed(self, file: RemoteFile, blob: Path) -> Digest:
        proof = _proof(blob, file)
        if proof is None:
            raise StoreBroken(f"{blob} changed after it was proven", hint="run the same command again", file=file.path)
        return proof.digest

    def _note_adopted(self, file: RemoteFile, final: Path) -> None:
        proof, before = self._adopted[file.path]
        now = _status(final)
        if now is None or _mark(now) != _mark(before):
            raise StoreBroken(
                f"{final} was written to while it was hashed", hint="run it again when it is at rest", file=file.path
            )
        self._memory.note(final, before, proof.digest, self._address)

    def _check_replaceable(self, file: RemoteFile) -> None:
        """Refuse to replace what somebody may rely on: another address's file, or any where nothing proves the new one.

        A file that no record of ours knows, under a name whose bytes are proven, is an old or broken copy.
        """
        final = self._final(file.path)
        if self._force or _status(final) is None:
            return
        known, proven = self._memory.hashed(final), file.digest.strength is not Strength.SIZE
        if known is None:
            allowed = proven
        else:
            allowed = known.address == self._address or (proven and file.digest.fits(known.digest.hex))
        if allowed:
            return
        raise PlacementRefused(
            f"{final} is there already and {'came from another address' if known else 'is not ours'}",
            hint="add #name=FILE to the URL to place this one beside it, or --force to replace it",
            file=file.path,
        )

    def notices(self, artifact: Artifact) -> tuple[str, ...]:  # noqa: ARG002  all was said before
        """Nothing."""
        return ()

    def cached(self, revision: str | None) -> CachedSnapshot | None:  # noqa: ARG002  there are no commits
        """Nothing that a commit could name."""
        return None


def _file(content: PlannedContent) -> RemoteFile:
    return RemoteFile(content.paths[0], content.size, content.digest)


def _proof(path: Path, file: RemoteFile) -> Verified | None:
    """Hash a file; one that is gone or unreadable proves nothing."""
    try:
        return hash_file(path, file.digest, file.size)
    except StoreError:
        return None


def _status(path: Path) -> os.stat_result | None:
    """The status of what a reader of ``path`` would get, if that is a regular file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
