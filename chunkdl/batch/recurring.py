"""When a job that recurs is due next: cron expressions, with Debian's meaning of them.

Decides nothing of its own; the library does, changes of the clock included.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from chunkdl.errors import UsageError

if TYPE_CHECKING:
    from datetime import tzinfo


def next_time(expression: str, after: float, zone: tzinfo) -> float:
    """The first time later than ``after`` that ``expression`` names in ``zone``; seconds since the epoch.

    Raises:
        UsageError: it is no cron expression, or names no time in the next decades.
    """
    try:
        return next(CronSim(expression, datetime.fromtimestamp(after, zone))).timestamp()
    except (CronSimError, StopIteration) as error:
        hint = 'five fields: minute hour day month weekday, as "30 2 * * Sun"'
        raise UsageError(f"{expression!r} is no cron expression: {error}".rstrip(": "), hint=hint) from error
