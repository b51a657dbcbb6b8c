"""A batch run at one moment, as its watchers see it: the terminal, the status page.

Decides nothing; a value made once a second by the runner. Instants in seconds since the epoch, rates in bytes a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.batch.job import Job
    from chunkdl.batch.policy import Policy
    from chunkdl.observe import HostStatus, Notice


@dataclass(frozen=True, slots=True)
class JobMoment:
    """One job: as the queue has it, with live figures while it runs.

    ``rate_bytes_per_s`` is what it brings at the moment; 0.0 if it does not run.
    """

    job: Job
    done_bytes: int
    total_bytes: int
    rate_bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """The whole batch.

    Args:
        at: when this is.
        open: True while bytes may flow.
        changes_at: when the window opens or closes next, None if it never does.
        policy: in force, with its texts.
        limit_bytes_per_s: in force, 0.0 for none.
        goodput_bytes_per_s: of everything together.
        jobs: all that is in the queue, the most urgent first.
        hosts: final data hosts of this window, with their rates.
        spent: mirror → bytes of today, where there is a budget.
        notices: what a person should know, the newest last; old ones are dropped.
        told: how many there were in all.
    """

    at: float
    open: bool
    changes_at: float | None
    policy: Policy
    limit_bytes_per_s: float
    goodput_bytes_per_s: float
    jobs: tuple[JobMoment, ...] = ()
    hosts: tuple[HostStatus, ...] = ()
    spent: tuple[tuple[str, int], ...] = ()
    notices: tuple[Notice, ...] = ()
    told: int = 0

    def news(self, told: int) -> tuple[Notice, ...]:
        """The notices that came after the first ``told``, as far as they are kept."""
        return self.notices[max(0, len(self.notices) - (self.told - told)) :] if self.told > told else ()


if TYPE_CHECKING:
    Watcher = Callable[[Moment], None]
