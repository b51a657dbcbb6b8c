"""What the commands on batches look at: settings, the queue if there is one, the policy in force, the time.

Decides that looking makes no queue where there is none.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.batch.queue import QUEUE_FILE, Queue
from chunkdl.batch.standing import standing_policy
from chunkdl.errors import ArtifactNotFound, StoreBroken
from chunkdl.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from chunkdl.batch.standing import Standing
    from chunkdl.cli.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Sight:
    """``queue`` None where nothing was ever queued; ``now`` in seconds since the epoch."""

    queue: Queue | None
    standing: Standing
    now: float

    def asked(self) -> Queue:
        """The queue, for commands that name a job of it; ``ArtifactNotFound`` if there is none."""
        if self.queue is None:
            raise ArtifactNotFound("nothing was ever queued", hint="chunkdl batch add REF... queues")
        return self.queue


def queue_path(around: Surroundings) -> Path:
    """Where the queue of this state folder lies, or would."""
    return load_settings(around.environ).state_dir / QUEUE_FILE


@contextmanager
def looking(around: Surroundings) -> Iterator[Sight]:
    """The queue and the policy in force.

    Raises:
        UsageError: a setting cannot mean anything.
        StoreError: the queue cannot be read.
    """
    path = queue_path(around)
    if not path.exists():
        yield Sight(None, standing_policy(None, around.environ), time.time())
        return
    with Queue(path) as queue:
        yield Sight(queue, standing_of(queue, around.environ), time.time())


def standing_of(queue: Queue, environ: Mapping[str, str]) -> Standing:
    """The policy in force, with what came with the last manifest.

    Raises:
        UsageError: the settings file says what cannot be.
        StoreBroken: what the queue remembers is no policy.
    """
    kept = queue.policy()
    try:
        return standing_policy(kept, environ)
    except (ValueError, TypeError, KeyError) as error:
        hint = "chunkdl batch add MANIFEST.toml writes it anew"
        raise StoreBroken(f"{queue.path}: the policy in it cannot be read: {error}", hint=hint) from error
