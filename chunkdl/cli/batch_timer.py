"""``chunkdl batch timer``: print what starts the batch, or write the systemd units.

Decides that nothing is enabled, and that a unit which somebody else wrote is never replaced.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chunkdl.batch.local_zone import local_zone
from chunkdl.batch.openings import openings, openings_here
from chunkdl.batch.status import zone_name
from chunkdl.batch.timer_environment import kept_environment
from chunkdl.batch.timers import (
    MARK,
    SERVICE,
    TIMER,
    Starting,
    cron_lines,
    launchd_list,
    schtasks_lines,
    service_unit,
    timer_unit,
)
from chunkdl.cli.answering import Answer, answer
from chunkdl.cli.batch_sight import looking
from chunkdl.disk import store_errors, write_atomically
from chunkdl.errors import PlacementRefused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.cli.surroundings import Surroundings

_Described = dict[str, dict[str, str]]
# -P: the folder that a scheduler starts in is no place for modules.
_COMMAND = (sys.executable, "-P", "-m", "chunkdl", "batch", "run")
_ENABLE = ("systemctl --user daemon-reload", f"systemctl --user enable --now {TIMER}")


def timer(around: Surroundings, /, *, install: bool, only_print: bool, scheduler: str | None, as_json: bool) -> int:
    """Print or write; the exit code."""

    def made() -> Answer:
        if install and (only_print or scheduler not in {None, "systemd"}):
            raise UsageError("--install is for systemd and writes; leave --print and --for out")
        return _install(around) if install else _print(around, scheduler)

    return answer(around, made, as_json=as_json, empty={"schedulers": {}, "written": []})


def _print(around: Surroundings, scheduler: str | None) -> Answer:
    described, notes, notices = _described(around)
    chosen = {name: files for name, files in described.items() if scheduler in {None, name}}
    lines = [line for name, files in chosen.items() for line in _spelled(name, files, alone=scheduler is not None)]
    return Answer({"schedulers": chosen, "written": []}, lines, notices, notes=notes)


def _spelled(name: str, files: Mapping[str, str], *, alone: bool) -> list[str]:
    """Each with the place where it belongs above it; alone, exactly what goes there, unless it goes to two places."""
    lines = []
    for place, text in files.items():
        if not alone or len(files) > 1:
            lines += [f"# {name}: {place}"]
        lines += text.removesuffix("\n").split("\n")
        lines += [] if alone and len(files) == 1 else [""]
    return lines


def _install(around: Surroundings) -> Answer:
    if not sys.platform.startswith("linux"):
        raise UsageError(
            "--install writes units of systemd, which is Linux's", hint="chunkdl batch timer prints others"
        )
    described, notes, notices = _described(around)
    units = {Path(place): text for place, text in described["systemd"].items()}
    for path in units:
        _refuse_foreign(path)
    for path, text in units.items():
        with store_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
    written = [str(each) for each in units]
    notes = [*notes, "nothing is enabled yet; the two commands do it, and loginctl enable-linger keeps it after logout"]
    return Answer({"schedulers": {}, "written": written, "enable": list(_ENABLE)}, _ENABLE, notices, notes=notes)


def _refuse_foreign(path: Path) -> None:
    with store_errors(path):
        if path.exists() and not path.read_text("utf-8", "replace").startswith(MARK):
            raise PlacementRefused(f"{path} was not written by chunkdl", hint="move it away, or edit it yourself")


def _described(around: Surroundings) -> tuple[_Described, list[str], Any]:
    """Scheduler → where it belongs → text."""
    environ, folder = around.environ, (around.folder or Path()).absolute()
    with looking(around) as sight:
        policy = sight.standing.policy
    kept, notices = kept_environment(environ, folder)
    starting = Starting(_COMMAND, kept)
    here = openings_here(policy.windows, local_zone(environ), time.time())
    unit = timer_unit(openings(policy.windows), policy.text.time_zone)
    units = _units(environ)
    described = {
        "systemd": {str(units / SERVICE): service_unit(starting), str(units / TIMER): unit},
        "cron": {"crontab -e": "\n".join(cron_lines(here, starting))},
        "launchd": {"~/Library/LaunchAgents/chunkdl.batch.plist": launchd_list(here, starting)},
        "schtasks": {"in a prompt": "\n".join(schtasks_lines(here, starting))},
    }
    when = ", ".join(policy.text.windows or ()) or "always open: started each hour"
    notes = [f"windows: {when} ({zone_name(policy)})"]
    return described, notes, (*sight.standing.notices, *notices)


def _units(environ: Mapping[str, str]) -> Path:
    """Where systemd looks for a user's own units (systemd.unit(5))."""
    config = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home()) / ".config"
    return Path(config).expanduser().absolute() / "systemd" / "user"
