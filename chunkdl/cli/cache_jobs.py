"""What jobs of the batch queue count on in the caches: the commits of what they name, and what was begun of them.

Decides that every job but a cancelled one counts: a done one may come back, and its result is what it was for. Never
makes a queue where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.batch.job import JobState
from chunkdl.batch.queue import QUEUE_FILE, Queue
from chunkdl.caches.keepers import Keep
from chunkdl.caches.seen import TORCH
from chunkdl.errors import ChunkdlError
from chunkdl.identify.checkpoints import checkpoint_of
from chunkdl.identify.references import parse_reference
from chunkdl.model import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chunkdl.batch.job import Job

_COUNTING = tuple(state for state in JobState if state is not JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class QueuedJobs:
    """A ``Keeper``: the queue in the state folder, if there is one."""

    state_dir: Path

    def keeps(self) -> Iterator[Keep]:
        """One wish a job. Raises ``StoreError`` if the queue cannot be read."""
        path = self.state_dir / QUEUE_FILE
        if not path.exists():
            return
        with Queue(path) as queue:
            jobs = queue.jobs(_COUNTING)
        for job in jobs:
            yield from _keeps(job)


def _keeps(job: Job) -> Iterator[Keep]:
    task, because = job.wish.task, f"the batch job {job.id}"
    try:
        reference = parse_reference(task.reference)
        if reference.hub.names_files:
            yield Keep(f"{TORCH}:{checkpoint_of(reference).name}", None, because)
            return
    except ChunkdlError:
        return  # a mirror test without a choice of its own, or a name that means nothing any more
    if reference.hub is Hub.HUGGING_FACE:
        revision = reference.revision or task.revision or reference.hub.default_revision
        yield Keep(f"{reference.repo_type.url_prefix}{reference.repo_id}", revision, because)
