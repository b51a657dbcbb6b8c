"""What each mirror gave on which day, and which has given what it may.

Decides by counting: bytes a final data host has brought since the start of a pool, told again and again, become
differences a mirror. Where several mirrors lead to one host, its bytes count for each of them: a budget is a promise
about money, and erring to the safe side keeps it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from chunkdl.batch.queue import HostTraffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import tzinfo

    from chunkdl.observe import HostStatus


class Spending:
    """Counts what is new since it was last asked. One for each pool: hosts begin at nothing."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._new: dict[str, HostTraffic] = {}

    def see(self, hosts: Iterable[HostStatus], passed_s: float) -> None:
        """The hosts of one moment, ``passed_s`` seconds after the moment before."""
        for host in hosts:
            fresh = host.bytes - self._seen.get(host.host, 0)
            if fresh > 0:
                self._seen[host.host] = host.bytes
                old = self._new.get(host.host, HostTraffic(host.host, host.mirrors, 0, 0.0))
                grown = HostTraffic(host.host, host.mirrors, old.bytes + fresh, old.active_s + passed_s)
                self._new[host.host] = grown

    def take(self) -> tuple[HostTraffic, ...]:
        """What each host gave since the last call."""
        taken, self._new = tuple(self._new.values()), {}
        return taken

    def give_back(self, taken: Iterable[HostTraffic]) -> None:
        """What ``take`` gave and nobody could write down: it is in the next one."""
        for each in taken:
            new = self._new.get(each.host, HostTraffic(each.host, each.mirrors, 0, 0.0))
            self._new[each.host] = replace(new, bytes=new.bytes + each.bytes, active_s=new.active_s + each.active_s)


def by_mirror(hosts: Iterable[HostTraffic]) -> dict[str, int]:
    """Mirror → bytes; a host's bytes count for each mirror that leads to it."""
    found: Counter[str] = Counter()
    for each in hosts:
        found.update(dict.fromkeys(each.mirrors, each.bytes))
    return dict(found)


def day_of(instant: float, zone: tzinfo) -> str:
    """The local day, as ``2026-11-22``; budgets begin anew at its midnight."""
    return datetime.fromtimestamp(instant, zone).date().isoformat()


def overspent(budgets: Mapping[str, int], spent: Mapping[str, int]) -> frozenset[str]:
    """Mirrors that have given what they may."""
    return frozenset(name for name, budget in budgets.items() if spent.get(name, 0) >= budget)
