"""A mirror in a process of its own, so that a benchmark does not share its interpreter with the server.

Decides nothing about mirrors: it starts a ``MirrorServer``, forwards the few things that can be changed
or read while it runs, and ends it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chunkdl.testing.mirror_server import MirrorServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from typing import Self

    from chunkdl.testing.hub_repo import HubRepo

# A fresh interpreter takes about 0.2 s; digests of gigabytes of content a second a gigabyte.
_ANSWER_LIMIT_S = 60.0
# What may be read and set from outside; everything else is the server's own business.
_READABLE = frozenset({"url", "bytes_served", "bytes_by_file", "requests", "bodies", "peak_bodies", "connections"})
_SETTABLE = frozenset({"rate_bytes_per_s", "latency_s", "faults", "max_bodies"})


@dataclass(frozen=True)
class _Order:
    """One message to the process: read (no value) or set an attribute; no name means stop."""

    name: str = ""
    value: Any = None
    sets: bool = False


class MirrorProcess:
    """``with MirrorProcess([repo], rate_bytes_per_s=5e6) as mirror: mirror.url``.

    Args:
        repos: what the mirror holds.
        options: keyword arguments of ``MirrorServer``; they must survive pickling.
    """

    def __init__(self, repos: Sequence[HubRepo], **options: Any) -> None:
        self._ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_run, args=(theirs, repos, options), name="mirror", daemon=True
        )
        self._theirs = theirs
        self.url = ""

    def __enter__(self) -> Self:
        """Start the process and wait until it listens."""
        self._process.start()
        self._theirs.close()
        self.url = self.read("url")
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the process; one that does not stop is killed."""
        if self._process.is_alive():
            self._ours.send(_Order())
        self._process.join(_ANSWER_LIMIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._ours.close()

    @property
    def pid(self) -> int:
        """The process, for stopping and continuing it in the middle of a transfer."""
        assert self._process.pid is not None, "only inside the context"
        return self._process.pid

    def read(self, name: str) -> Any:
        """Return an attribute of the server, one of its counters or ``url``."""
        if name not in _READABLE:
            raise ValueError(f"not readable from outside: {name}")
        return self._ask(_Order(name))

    def set(self, name: str, value: Any) -> None:
        """Change an attribute of the server while it runs, for example its rate or its faults."""
        if name not in _SETTABLE:
            raise ValueError(f"not settable from outside: {name}")
        self._ask(_Order(name, value, sets=True))

    def _ask(self, order: _Order) -> Any:
        self._ours.send(order)
        if not self._ours.poll(_ANSWER_LIMIT_S):
            raise TimeoutError(f"the mirror's process did not answer within {_ANSWER_LIMIT_S:.0f} s")
        return self._ours.recv()


def _run(orders: Connection, repos: Sequence[HubRepo], options: dict[str, Any]) -> None:
    asyncio.run(_serve(orders, MirrorServer(repos, **options)))


async def _serve(orders: Connection, mirror: MirrorServer) -> None:
    """Obey orders until told to stop, or until the parent is gone."""
    async with mirror:
        while True:
            try:
                order = await asyncio.to_thread(orders.recv)
            except (EOFError, OSError):
                return
            if not order.name:
                return
            if order.sets:
                setattr(mirror, order.name, order.value)
            orders.send(None if order.sets else getattr(mirror, order.name))
