"""Which process this is, said so that another one can tell whether it still lives.

Decides what "the same host" means and when a process is certainly dead. A process id alone proves
nothing: it is reused, and two containers that share a cache folder have the same ids for other
processes. Hence host name, boot id and pid namespace must agree before an id is looked up, and the
start time must agree before it is believed.

Known by few and depending on nothing: owner files and the names of half-made files both say it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
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
    FORMER = "former"  # of this host before it was booted again, or of another host that has the same name
    UNKNOWN = "unknown"


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    return _identity_of(os.getpid())


@lru_cache(maxsize=2)  # it names each small file that is written; after a fork the id is another one
def _identity_of(pid: int) -> ProcessIdentity:
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
    if not me.boot or not other.boot or other.host != me.host:
        return Life.UNKNOWN
    if other.boot != me.boot:
        return Life.UNKNOWN if _boot_id(other.boot) == _boot_id(me.boot) else Life.FORMER
    if not _exists(other.pid):
        return Life.DEAD
    started = _started(other.pid)
    if started is None or other.started is None:
        return Life.UNKNOWN  # hidden by hidepid, or it ended just now: the next look tells
    return Life.ALIVE if started == other.started else Life.DEAD


def _boot_id(boot: str) -> str:
    return boot.partition("/")[0]


def stamp() -> str:
    """The calling process, in letters that a file name may hold: where it runs (hashed), its id, its start."""
    me = this_process()
    return f"{_where(me)}-{me.pid}-{me.started or 0}"


def life_of_stamped(text: str) -> Life:
    """Whether the process that bears this ``stamp`` lives; UNKNOWN for one of elsewhere, or what is no stamp."""
    me = this_process()
    where, _, process = text.partition("-")
    pid, _, started = process.partition("-")
    if where != _where(me) or not (pid.isdecimal() and started.isdecimal()):
        return Life.UNKNOWN
    return life_of(ProcessIdentity(me.host, me.boot, int(pid), int(started) or None), me)


def _where(process: ProcessIdentity) -> str:
    """Eight digits are enough: a stranger's id would also have to be taken by another process here."""
    return hashlib.sha256(f"{process.host}/{process.boot}".encode()).hexdigest()[:8]


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
