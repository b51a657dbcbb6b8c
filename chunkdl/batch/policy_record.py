"""The policy that came with a manifest, as the queue remembers it, and as the manifest says it by now.

Decides that a manifest which was edited holds at once, and that one which is gone or broken leaves the policy as it
was. Deliberately does not touch the jobs of the manifest: they change when it is added again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from chunkdl.batch.manifest import read_manifest
from chunkdl.batch.policy import PolicyText, policy_text_of
from chunkdl.errors import UsageError
from chunkdl.observe import Notice

if TYPE_CHECKING:
    from datetime import tzinfo

    from chunkdl.batch.manifest import Manifest


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """Where the last manifest lies, None if there was none, and the policy that it said when it was added."""

    path: Path | None = None
    policy: PolicyText = field(default_factory=PolicyText)


def policy_record(manifest: Manifest) -> str:
    """What ``Queue.keep_policy`` is given; ``read_policy_record`` reads it."""
    return json.dumps({"path": str(Path(manifest.where).absolute()), "policy": asdict(manifest.policy)}, sort_keys=True)


def read_policy_record(text: str | None) -> PolicyRecord:
    """Read what ``policy_record`` wrote; None, which is no record, is empty.

    Raises:
        ValueError, TypeError, KeyError: it is no such text.
    """
    if text is None:
        return PolicyRecord()
    values = json.loads(text)
    return PolicyRecord(Path(values["path"]), policy_text_of(json.dumps(values["policy"])))


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes with a file's content; None where it cannot be looked at."""
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size


@lru_cache(maxsize=1)
def _policy_in(path: Path, _stamp: tuple[int, int] | None, local_zone: tzinfo) -> PolicyText:
    """A run asks each second, and a manifest of hundreds of jobs takes a good part of one to read."""
    return read_manifest(path, local_zone).policy


def policy_now(record: PolicyRecord, local_zone: tzinfo) -> tuple[PolicyText, tuple[Notice, ...]]:
    """What the manifest says by now, or what it said where it cannot be read any more, with a notice."""
    if record.path is None:
        return record.policy, ()
    try:
        return _policy_in(record.path, _stamp(record.path), local_zone), ()
    except UsageError as error:
        message = f"the policy stays as it was when {record.path} was added: {error.message}"
        return record.policy, (Notice("policy-kept", message),)
