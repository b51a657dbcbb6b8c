"""What a batch run is told: when to end, by which policy, and whom to tell.

Decides nothing; everything that a run needs of the outside stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from chunkdl.batch.ending import Mode
    from chunkdl.batch.job import Job
    from chunkdl.batch.policy import Policy


@dataclass(frozen=True, slots=True)
class Orders:
    """What a run is told.

    Args:
        mode: when to end.
        until: end then at the latest, seconds since the epoch; None for no such time.
        policy: asked at each look with what the queue remembers of the last manifest, so that it may change; raises
            ``UsageError`` where it is not valid.
        environ: of this process.
        on_job_done, on_window_closed: told afterwards, each with values for a hook.
    """

    mode: Mode
    until: float | None
    policy: Callable[[str | None], Policy]
    environ: Mapping[str, str]
    on_job_done: Callable[[Job], Awaitable[None]]
    on_window_closed: Callable[[], Awaitable[None]]
