"""What makes a scheduler of the system start ``batch run``: systemd units, a cron line, a launchd list, schtasks.

Decides what is written there; pure, and it enables nothing. The run that is started waits until the window is open,
goes on over failures that may pass, and ends when everything is done or the window closes: hence neither ``--once``,
which would not wait for a mirror to come back, nor ``--watch``, which would not end.
"""

from __future__ import annotations

import plistlib
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chunkdl.batch.ending import SOME_PARKED, WORK_LEFT
from chunkdl.core.windows import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chunkdl.batch.openings import Opening

SERVICE, TIMER = "chunkdl-batch.service", "chunkdl-batch.timer"
LABEL = "chunkdl.batch"
# The first line of what we wrote and may therefore write anew.
MARK = "# Written by chunkdl batch timer --install, which writes it anew."
# Machines that share a link, a mirror and a manifest do not all begin in one second.
_SPREAD = "5min"
# 143: it was stopped by systemctl, as it may be.
_FINE_EXIT_CODES = (SOME_PARKED, WORK_LEFT, 143)
_HOURLY = "hourly"
# systemd takes no program whose name holds one of these (path_is_safe and string_is_safe of its sources), and
# replaces no variables in it; as a word for env they are characters like others.
_NO_PROGRAM = frozenset("\"'\\")
_BY_NAME = "/usr/bin/env"


@dataclass(frozen=True, slots=True)
class Starting:
    """What is started, and with which environment: schedulers know nothing of a shell's."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def service_unit(starting: Starting) -> str:
    """The systemd service."""
    program, *words = starting.command
    if set(program) & _NO_PROGRAM:
        program, words = _BY_NAME, [*starting.command]
    command = " ".join([_quoted(program), *(_quoted(each, dollars=True) for each in words)])
    environ = [f"Environment={_quoted(f'{name}={value}')}" for name, value in starting.environ.items()]
    return _lines(
        MARK,
        "[Unit]",
        "Description=Pull queued models with chunkdl while the window is open",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={command}",
        *environ,
        f"SuccessExitStatus={' '.join(map(str, _FINE_EXIT_CODES))}",
        "Nice=10",
    )


def timer_unit(openings: Sequence[Opening], zone: str | None) -> str:
    """The systemd timer; ``zone`` is the policy's, None for the machine's own."""
    return _lines(
        MARK,
        "[Unit]",
        "Description=Start chunkdl batch when its window opens",
        "",
        "[Timer]",
        *(f"OnCalendar={each}" for each in calendar(openings, zone)),
        "# a start that was missed because the machine was off happens when it is on",
        "Persistent=true",
        f"RandomizedDelaySec={_SPREAD}",
        "",
        "[Install]",
        "WantedBy=timers.target",
    )


def calendar(openings: Sequence[Opening], zone: str | None) -> list[str]:
    """Calendar events of systemd.time(7)."""
    if not openings:
        return [_HOURLY]
    return [_event(each) + (f" {zone}" if zone else "") for each in openings]


def _event(opening: Opening) -> str:
    days = "" if opening.daily else ",".join(DAYS[each] for each in opening.days) + " "
    return f"{days}*-*-* {opening.clock}:00"


def cron_lines(openings: Sequence[Opening], starting: Starting) -> list[str]:
    """Lines for ``crontab -e``, by the machine's clock; a percent sign would end the command."""
    environ = ["env", *(f"{name}={value}" for name, value in starting.environ.items())] if starting.environ else []
    command = shlex.join([*environ, *starting.command]).replace("%", r"\%")
    if not openings:
        return [f"0 * * * * {command}"]
    return [f"{each.minute % 60} {each.minute // 60} * * {_cron_days(each)} {command}" for each in openings]


def _cron_days(opening: Opening) -> str:
    return (
        "*" if opening.daily else ",".join(str(day) for day in sorted((each + 1) % len(DAYS) for each in opening.days))
    )


def launchd_list(openings: Sequence[Opening], starting: Starting) -> str:
    """A property list for ``~/Library/LaunchAgents``; a start that was slept through happens on waking."""
    values: dict[str, Any] = {
        "Label": LABEL,
        "ProgramArguments": list(starting.command),
        "StartCalendarInterval": [*_intervals(openings)] or [{"Minute": 0}],
        "ProcessType": "Background",
    }
    if starting.environ:
        values["EnvironmentVariables"] = dict(starting.environ)
    return plistlib.dumps(values, sort_keys=False).decode()


def _intervals(openings: Iterable[Opening]) -> Iterable[dict[str, int]]:
    for each in openings:
        time = {"Hour": each.minute // 60, "Minute": each.minute % 60}
        if each.daily:
            yield time
        else:
            yield from ({"Weekday": (day + 1) % len(DAYS), **time} for day in each.days)


def schtasks_lines(openings: Sequence[Opening], starting: Starting) -> list[str]:
    """Commands for a Windows prompt, a task each; tasks have the user's own environment."""
    run = subprocess.list2cmdline(starting.command)
    if not openings:
        return [_schtask("chunkdl batch", ["/SC", "HOURLY"], run)]
    found = []
    for number, each in enumerate(openings, start=1):
        name = "chunkdl batch" if number == 1 else f"chunkdl batch {number}"
        days = (
            ["/SC", "DAILY"]
            if each.daily
            else ["/SC", "WEEKLY", "/D", ",".join(DAYS[day].upper() for day in each.days)]
        )
        found.append(_schtask(name, [*days, "/ST", each.clock], run))
    return found


def _schtask(name: str, when: Sequence[str], run: str) -> str:
    return subprocess.list2cmdline(["schtasks", "/Create", "/TN", name, *when, "/TR", run])


def _quoted(text: str, *, dollars: bool = False) -> str:
    """One word of a unit file: systemd.syntax(7)'s quotes and specifiers and, in arguments, variables as text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if dollars:
        escaped = escaped.replace("$", "$$")
    return f'"{escaped}"' if not text or set(escaped) & set(" \t'\"\\;") or "=" in text else escaped


def _lines(*lines: str) -> str:
    return "\n".join((*lines, ""))
