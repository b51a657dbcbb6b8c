"""Names to addresses, with a verdict: a public mirror is never led to a private address.

Check and use are one lookup, since the connector connects to exactly what ``resolve`` returned; a check
beforehand would race with a second lookup. Has threads of its own, so that a slow name server (60 s
is common) starves neither the disk nor hashing. Deliberately does not know mirrors or redirects.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aiohttp.abc import AbstractResolver, ResolveResult

from chunkdl.addresses import is_loopback_host, is_public, parse_literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Lookup = Callable[[str, int, int], list[tuple[int, str]]]

# aiohttp's own default: long enough that a burst of connections asks once, short enough for round-robin CDNs.
_TTL_S = 10.0

# Names of one run: mirrors, their CDNs and proxies; far more means somebody makes us resolve garbage.
_MAX_NAMES = 256

# Concurrent lookups; each may hang for the system resolver's whole time limit.
_THREADS = 4


class Standing(StrEnum):
    """Which addresses a name leads to."""

    PUBLIC = "public"
    MIXED = "mixed"  # a machine at home with a public IPv6 address beside its private one; or somebody who plays tricks
    PRIVATE = "private"


class PrivateAddress(OSError):
    """A name that led only to addresses which its mirror may not send us to."""


def system_lookup(
    host: str, port: int, family: int, ask: Callable[..., Sequence[Any]] = socket.getaddrinfo
) -> list[tuple[int, str]]:
    """Addresses of ``host`` as (family, address), from the system; blocks. ``ask`` is getaddrinfo or its like."""
    # ADDRCONFIG asks for no families that this machine lacks; loopback counts for none, so localhost would fail.
    flags = 0 if is_loopback_host(host) else getattr(socket, "AI_ADDRCONFIG", 0)
    answers = ask(host, port, family, socket.SOCK_STREAM, 0, flags)
    return [(int(answer[0]), str(answer[4][0])) for answer in answers]


class Addresses:
    """Looked-up names with a short memory, shared by the judging and the trusting resolver."""

    def __init__(self, lookup: Lookup = system_lookup, clock: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._clock = clock
        self._known: OrderedDict[tuple[str, int], tuple[float, list[tuple[int, str]]]] = OrderedDict()
        self._connected: OrderedDict[str, Standing] = OrderedDict()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="chunkdl-dns")

    async def of(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        """Addresses of ``host``; ``OSError`` if there are none."""
        key = (host, family)
        known = self._known.get(key)
        if known is not None and self._clock() - known[0] < _TTL_S:
            return known[1]
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._executor, self._lookup, host, port, family)
        self._known[key] = (self._clock(), found)
        if len(self._known) > _MAX_NAMES:
            self._known.popitem(last=False)
        return found

    async def standing(self, host: str, port: int) -> Standing:
        """Where the name ``host`` leads; ``OSError`` if nowhere."""
        return _standing(await self.of(host, port))

    def connecting(self, host: str, found: list[tuple[int, str]]) -> None:
        """A connection to ``host`` is about to be made, to one of ``found``."""
        self._connected[host] = _standing(found)
        if len(self._connected) > _MAX_NAMES:
            self._connected.popitem(last=False)

    def connected(self, host: str) -> Standing | None:
        """Where the last connection to the name ``host`` led, None if none was made lately."""
        return self._connected.get(host)

    def close(self) -> None:
        """Let the threads go; a lookup that hangs is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _standing(found: list[tuple[int, str]]) -> Standing:
    public = [_public(address) for _, address in found]
    if all(public):
        return Standing.PUBLIC
    return Standing.MIXED if any(public) else Standing.PRIVATE


def _public(address: str) -> bool:
    literal = parse_literal(address)
    return literal is not None and is_public(literal)


class JudgingResolver(AbstractResolver):
    """What aiohttp's connector asks; ``private`` True lets every address pass."""

    def __init__(self, addresses: Addresses, *, private: bool) -> None:
        self._addresses = addresses
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses to connect to, in the system's order; ``PrivateAddress`` if none is allowed."""
        found = await self._addresses.of(host, port, family)
        allowed = [(kind, address) for kind, address in found if self._private or _public(address)]
        if not allowed:
            raise PrivateAddress(f"{host} leads to the private address {found[0][1] if found else '(none)'}")
        self._addresses.connecting(host, allowed)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in allowed
        ]

    async def close(self) -> None:
        """The shared addresses outlive a connector."""
