"""Indexes of weights, judged once they are here: half a set of shards is refused long before it is whole.

Decides when an index is read and against what. Shards flow meanwhile: an index is small and comes first, so
that a refusal costs a moment's bytes and waiting for it would cost every sound repository a round trip.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chunkdl.assemble.weight_maps import read_index
from chunkdl.core.weight_index import check_shards, check_size, is_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.assemble.destination import Destination
    from chunkdl.core.planner import Plan, PlannedContent
    from chunkdl.transfer.threads import Threads

    Arriving = tuple[PlannedContent, asyncio.Task[str | BaseException]]


def holds_index(planned: PlannedContent) -> bool:
    """True if loaders take one of the content's paths for an index of weights."""
    return any(is_index(path, planned.size) for path in planned.paths)


async def judge_indexes(plan: Plan, indexes: Sequence[Arriving], threads: Threads, destination: Destination) -> None:
    """Await each index and refuse what it says of the repository; one that does not come is its own failure.

    Raises:
        PlacementRefused: an index is too large, or leads out of the repository.
        ArtifactNotFound: the rules of selection were in force, and a shard is not among what they chose.
    """
    for planned, _ in indexes:
        check_size(planned.paths[0], planned.size)
    for planned, task in indexes:
        await asyncio.wait({task})
        blob = destination.paths_of(planned).blob
        if task.cancelled() or isinstance(task.result(), BaseException) or not blob.exists():
            continue  # it failed, or stands at its place already and was judged when it came there
        for path in (each for each in planned.paths if is_index(each, planned.size)):
            shards = await threads.submit(threads.sync, read_index, path, planned.size, blob)
            if plan.by_rule:
                _check(plan, path, shards)


def _check(plan: Plan, path: str, shards: Sequence[str]) -> None:
    listed = {each.path for each in plan.artifact.files}
    check_shards(path, shards, listed=listed, chosen={each.path for each in plan.chosen})
