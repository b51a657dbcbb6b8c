"""What earlier runs taught about mirrors, handed to this one; and what this one teaches, kept at its end.

Decides which of a run's figures are worth remembering: rates that our own limit held down are not.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from chunkdl.http.proxies import proxy_of
from chunkdl.mirrors.remembered import Seen, Way
from chunkdl.observe import CorruptionFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from chunkdl.core.host_view import HostView
    from chunkdl.mirrors.memory import Memory
    from chunkdl.model import Mirror
    from chunkdl.observe import Observer, WatchedEvent
    from chunkdl.transfer.engine import Engine


class Lessons:
    """One run's use of the memory of mirrors.

    Nothing is known until ``begin``, and nothing is kept without it.

    Args:
        observer: told everything that ``watch`` is told.
        environ: where proxies are read from.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        observer: Observer,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._memory: Memory | None = None
        self._observer = observer
        self._environ = environ
        self._clock = clock
        self._lies: Counter[str] = Counter()
        self._mirrors: dict[str, Mirror] = {}

    def begin(self, memory: Memory) -> None:
        """Start from what is known."""
        self._memory = memory

    def watch(self, event: WatchedEvent) -> None:
        """Note who lied, and pass the event on."""
        if isinstance(event, CorruptionFound) and event.host is not None and event.repaired:
            self._lies[event.host] += 1
        self._observer(event)

    def introduce(self, mirror: Mirror, engine: Engine) -> Mirror:
        """Make ``mirror`` known to the engine with what earlier runs taught; liked less if it lied lately."""
        memory, proxy = self._memory, proxy_of(mirror, self._environ)
        prior = memory.prior(mirror.url, proxy, self._clock()) if memory is not None else None
        if prior is not None and prior.lied:
            mirror = replace(mirror, priority=mirror.priority - 1)
        if mirror.name not in self._mirrors:
            self._mirrors[mirror.name] = mirror
            engine.add_mirror(mirror, prior.rate_bytes_per_s if prior else 0.0, prior.host if prior else "")
        return mirror

    def keep(self, hosts: Iterable[HostView], *, rates: bool) -> None:
        """Remember what became of ``hosts``; ``rates`` False if our own limit decided how fast they were."""
        seen = [
            Seen(
                Way(mirror.url, each.host, proxy_of(mirror, self._environ)),
                each.connection_rate_bytes_per_s if rates else 0.0,
                each.errors,
                self._lies[each.host],
            )
            for each in hosts
            for name in each.mirrors
            if (mirror := self._mirrors.get(name)) and (each.bytes or each.errors)
        ]
        if self._memory is not None:
            self._memory.learn(seen, self._clock())
