"""How many files and sockets this process may have open at once, and how a run shares them out.

Decides who gets how many where they are few: macOS begins with 256, containers and old shells with less. Deliberately
does not know what is opened with them.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass

from chunkdl.errors import StoreBroken

if sys.platform != "win32":
    import resource

# What the interpreter, the event loop, executors and short-lived opens (listings, owner files) need: measured 14.
_OWN = 16
# An open content: part file, journal, and the lock file of huggingface_hub beside it.
_PER_PART = 3
# Below that not even one content and two connections fit with certainty.
_LEAST = _OWN + 4 * _PER_PART
# As many as any run uses; more would only hide a leak.
_ENOUGH = 4096


@dataclass(frozen=True, slots=True)
class Share:
    """What one run may open: part files at once, and connections to each host."""

    parts: int
    connections: int


def raised_limit() -> int:
    """How many may be open, after the soft limit was raised as far as is sensible and allowed.

    Only for a program: a library leaves its host's limits alone.

    Raises:
        StoreBroken: so few that nothing can be fetched.
    """
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with suppress(OSError, ValueError):  # macOS refuses some values; what we have may do
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    found = limit()
    if found < _LEAST:
        raise StoreBroken(
            f"this process may open only {found} files and connections at once",
            hint="allow more before running it again: ulimit -n 1024",
        )
    return found


def limit() -> int:
    """How many may be open at once; sockets do not count on Windows, whose limit of files nobody meets."""
    if sys.platform == "win32":
        return _ENOUGH
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else min(soft, _ENOUGH)


def share_out(allowed: int, *, hosts: int, parts: int, connections: int) -> Share:
    """Share ``allowed`` descriptors: at most what is asked for, half of them for connections if they are few.

    Args:
        allowed: what ``limit`` says.
        hosts: sources of the run.
        parts: part files that would be good to have open.
        connections: connections to each host that would be good to have.

    Raises:
        StoreBroken: not even one connection to each host and one content fit.
    """
    least = _OWN + hosts + _PER_PART
    if allowed < least:
        raise StoreBroken(
            f"this process may open only {allowed} files and connections at once; {hosts} sources take {least}",
            hint="allow more before running it again (ulimit -n 1024), or name fewer mirrors",
        )
    each_host = max(1, min(connections, (allowed - _OWN) // 2 // max(1, hosts)))
    left = allowed - _OWN - each_host * hosts
    return Share(max(1, min(parts, left // _PER_PART)), each_host)
