"""Which process this is, said so that another one can tell whether it still lives.

Decides what "the same host" means and when a process is certainly dead. A process id alone proves
nothing: it is reused, and two containers that share a cache folder have the same ids for other
processes. Hence host name, boot id and pid namespace must agree before an id is looked up, and the
start time must agree before it is believed.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_PROC = Path("/proc")
# proc(5): fields of /proc/<pid>/stat counted from the one after the name in parentheses (field 3).
_STATE_FIELD = 0
_START_TIME_FIELD = 19
_HOST_LENGTH = 64  # HOST_NAME_MAX of Linux; longer ones, on other systems, are told apart by it well enough
_DEAD_STATES = frozenset({"Z", "X", "x"})  # a killed process that nobody has waited for is dead to us


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of one boot of one host (and one pid namespace of it).

    ``boot`` is empty and ``started`` None where the system does not tell (macOS, Windows); nobody
    can then be sure that such a process is dead. ``started`` is in clock ticks since boot.
    """

    host: str
    boot: str
    pid: int
    started: int | None

    def __str__(self) -> str:
        """As messages name it."""
        return f"process {self.pid} on {self.host}"


class Life(StrEnum):
    """What can be known about another process."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(socket.gethostname()[:_HOST_LENGTH], _boot(), pid, _started(pid))


def _boot() -> str:
    """Boot id and pid namespace; empty where /proc does not give both."""
    try:
        boot_id = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{boot_id}/{namespace}"


def life_of(other: ProcessIdentity, me: ProcessIdentity) -> Life:
    """Whether ``other`` lives, as far as ``me`` can tell from here."""
    if not me.boot or (other.host, other.boot) != (me.host, me.boot):
        return Life.UNKNOWN
    if not _exists(other.pid):
        return Life.DEAD
    started = _started(other.pid)
    if started is None or other.started is None:
        return Life.UNKNOWN  # hidden by hidepid, or it ended just now: the next look tells
    return Life.ALIVE if started == other.started else Life.DEAD


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # never asked: there is no boot id, and signal 0 would end the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return _stat_field(pid, _STATE_FIELD) not in _DEAD_STATES


def _started(pid: int) -> int | None:
    field = _stat_field(pid, _START_TIME_FIELD)
    return int(field) if field is not None else None


def _stat_field(pid: int, field: int) -> str | None:
    """One field of /proc/<pid>/stat, None if it cannot be read; the name before it may hold anything."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[field]
