"""A single file from what is on this disk: torch's names and addresses without any network.

Decides when the file that stands there is the one that is meant: it was hashed before and came from there, or its
bytes are what its name, the address or an earlier fetch says. Blocks for as long as hashing takes, once a file.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.assemble.digests import hash_file
from chunkdl.core.planner import Inventory, make_plan
from chunkdl.core.selection import Selection
from chunkdl.errors import OfflineMiss
from chunkdl.identify.checkpoints import checkpoint_of
from chunkdl.identify.learnt import Learnt, address_name
from chunkdl.model import Artifact, Authority, AuthorityKind, Digest, DigestAlgorithm, RemoteFile
from chunkdl.pipeline.destinations import checkpoint_folder
from chunkdl.pipeline.outcome import found_offline
from chunkdl.pipeline.wanted import locked_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chunkdl.core.planner import Plan
    from chunkdl.identify.checkpoints import Checkpoint
    from chunkdl.model import Reference
    from chunkdl.pipeline.options import FetchOptions
    from chunkdl.report import ReferenceReport
    from chunkdl.settings import Settings


def find_checkpoint(
    text: str, reference: Reference, options: FetchOptions, settings: Settings, tell: Callable[[Plan], None]
) -> ReferenceReport:
    """What stands where the file belongs; ``tell`` hears of it as a plan.

    Raises:
        ArtifactNotFound: torchvision knows no such name.
        OfflineMiss: it is not there, or nothing says that this is it.
        UsageError: no folder was said for what torch would not look for.
    """
    checkpoint = checkpoint_of(reference, by_name=options.names_prove)
    if options.lock is not None:
        checkpoint = replace(checkpoint, digest=locked_in(options.lock, text).files[0].digest)
    path = checkpoint_folder(checkpoint, settings) / checkpoint.name
    digest = _known_digest(checkpoint, path, Learnt(settings.state_dir))
    if digest is None:
        because = settings.offline_because or "--offline"
        raise OfflineMiss(
            f"{checkpoint.title}: {path} {_fault(path)}, and {because} forbids asking anybody",
            hint=f"pass --online, or unset {because}" if because != "--offline" else "run it once without --offline",
            file=checkpoint.name,
        )
    file = RemoteFile(checkpoint.name, path.stat().st_size, digest)
    authority = Authority(AuthorityKind.LAST_KNOWN, str(path.parent), authenticated=False)
    artifact = Artifact(replace(reference, path=file.path), checkpoint.title, "", (file,), authority)
    tell(make_plan(artifact, Selection((file,)), Inventory(placed=frozenset((file.path,)))))
    return found_offline(text, reference, "", (file,), None if options.dry_run else path)


def _fault(path: Path) -> str:
    return "is there, but nothing says that it is the file that is meant" if path.is_file() else "is not there"


def _known_digest(checkpoint: Checkpoint, path: Path, learnt: Learnt) -> Digest | None:
    """The sha256 of the right file at ``path``; None if there is none."""
    address = address_name(checkpoint.url)
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    lesson, hashed = learnt.lesson(checkpoint.url), learnt.hashed(path)
    if hashed is not None:
        mine = hashed.address == address if checkpoint.digest is None else checkpoint.digest.fits(hashed.digest.hex)
        return hashed.digest if mine else None
    wanted = checkpoint.digest or (lesson.digest if lesson is not None else None)
    proof = hash_file(path, wanted, status.st_size) if wanted is not None else None
    if proof is None:
        return None
    assert proof.digest.algorithm is DigestAlgorithm.SHA256
    learnt.note(path, status, proof.digest, address)
    return proof.digest
