"""When and how fast a batch may pull: windows, time zone, timetable, and what each mirror may give.

Decides which source of a policy goes first (flags, manifest, settings file) and what its texts mean. Deliberately
reads no file and no clock.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from chunkdl.core.bandwidth import parse_rate
from chunkdl.core.timetable import parse_timetable
from chunkdl.core.windows import parse_windows
from chunkdl.errors import UsageError
from chunkdl.observe import Notice
from chunkdl.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import tzinfo

    from chunkdl.core.week_schedule import WeekSchedule


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy as people write it; None is what the next source says.

    Args:
        windows: as ``Mon-Fri 22:30-07:00``; an empty tuple is always.
        time_zone: an IANA name such as ``Asia/Shanghai``.
        bwlimit: a rate or a timetable, in rclone's notation.
        budgets: mirror → bytes a day, as ``20G``, after which it is not asked until midnight.
        caps: mirror → bytes a second, as ``2M``.
    """

    windows: tuple[str, ...] | None = None
    time_zone: str | None = None
    bwlimit: str | None = None
    budgets: Mapping[str, str] | None = None
    caps: Mapping[str, str] | None = None

    def over(self, lower: PolicyText) -> PolicyText:
        """This, and what ``lower`` says where this says nothing."""
        said: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(lower, **{name: value for name, value in said.items() if value is not None})

    def as_json(self) -> str:
        """For the queue; ``policy_text_of`` reads it."""
        return json.dumps(asdict(self), sort_keys=True)


def policy_text_of(text: str) -> PolicyText:
    """Read what ``as_json`` wrote.

    Raises:
        ValueError, TypeError: it is no such text.
    """
    values = json.loads(text)
    windows = values.pop("windows")
    return PolicyText(windows=None if windows is None else tuple(windows), **values)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that can be asked. Instants in seconds since the epoch, rates in bytes a second.

    Args:
        windows: True while bytes may flow.
        rates: limit of the whole batch, 0.0 for none.
        zone: the clock of windows, timetable, budgets and cron expressions.
        budgets: mirror → bytes a day.
        caps: mirror → bytes a second.
        text: what it was made of.
    """

    windows: WeekSchedule[bool]
    rates: WeekSchedule[float]
    zone: tzinfo
    budgets: Mapping[str, int] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    text: PolicyText = field(default_factory=PolicyText)


def policy_of(text: PolicyText, local_zone: tzinfo) -> Policy:
    """What a text means; ``local_zone`` is the machine's own, for a text that names none.

    Raises:
        UsageError: a window, rate, size or time zone that cannot be.
    """
    zone = zone_of(text.time_zone) if text.time_zone is not None else local_zone
    return Policy(
        windows=parse_windows(text.windows or (), zone),
        rates=parse_timetable(text.bwlimit or "off", zone),
        zone=zone,
        budgets={name: int(size) for name, size in _limits(text.budgets).items()},
        caps=_limits(text.caps),
        text=text,
    )


def _limits(said: Mapping[str, str] | None) -> dict[str, float]:
    """By mirror; ``off`` is none, as it is for ``bwlimit``."""
    found = {name: parse_rate(limit) for name, limit in (said or {}).items()}
    return {name: limit for name, limit in found.items() if limit >= 1}


def unknown_mirrors(policy: Policy, known: Collection[str]) -> tuple[Notice, ...]:
    """Budgets and caps of mirrors that nobody knows: they limit nothing, which should be no surprise on the bill."""
    kinds = (("budgets", policy.budgets), ("caps", policy.caps))
    wrong = [(kind, name) for kind, limits in kinds for name in limits if name not in known]
    return tuple(_unknown(kind, name, nearest(name, known)) for kind, name in wrong)


def _unknown(kind: str, name: str, close: str | None) -> Notice:
    advice = f"did you mean {close}?" if close else "chunkdl mirrors list names them"
    return Notice("unknown-mirror", f"{kind}: no mirror of any job is called {name!r}, so nothing is limited: {advice}")


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises:
        UsageError: there is none of that name; the nearest names are in the hint.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a name that is a folder
        raise UsageError(f"there is no time zone {name!r}", hint=_like(name, sorted(available_timezones()))) from error


def _like(name: str, known: Sequence[str]) -> str:
    if not known:
        return "this system has no time zone database: install the Python package tzdata"
    close = nearest(name, known)
    return f"did you mean {close}?" if close else "write an IANA name such as Asia/Shanghai or UTC"
