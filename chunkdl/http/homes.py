"""Where each mirror itself stands, which decides whether it may send us to private addresses (DESIGN §5).

A name's standing is looked up before the first request, and taken back where connecting led elsewhere: a name
that leads inside first and out later would else open the inside to whoever answers outside. Behind a proxy no
name is looked up, and the proxy resolves.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from yarl import URL

from chunkdl.addresses import is_private_host
from chunkdl.errors import ConnectFailed
from chunkdl.http.proxies import proxy_for
from chunkdl.http.redirects import host_of, parse_url
from chunkdl.http.resolver import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chunkdl.http.resolver import Addresses
    from chunkdl.model import Mirror


class Homes:
    """What is known of each mirror's own address, for one client."""

    def __init__(self, addresses: Addresses, environ: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._environ = environ
        self._standing: dict[str, Standing] = {}  # by base URL

    async def look_up(self, mirror: Mirror, limit_s: float) -> None:
        """Make sure that ``mirror`` is judged; ``ConnectFailed`` if its name is not resolved within ``limit_s``."""
        if mirror.url in self._standing:
            return
        url = parse_url(mirror.url, mirror=mirror.name)
        literal = is_private_host(url.raw_host or "")
        if literal is not None:
            self._standing[mirror.url] = Standing.PRIVATE if literal else Standing.PUBLIC
        elif proxy_for(url, mirror.proxy, self._environ) is None:
            await self._look_up(mirror, url, limit_s)

    async def _look_up(self, mirror: Mirror, url: URL, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                found = await self._addresses.standing(url.raw_host or "", url.port or 0)
        except socket.gaierror:
            return  # connecting will report it
        except TimeoutError as error:
            message = f"{mirror.name}: the name of {host_of(url)} was not resolved within {limit_s:g} s"
            raise ConnectFailed(message, mirror=mirror.name) from error
        self._standing[mirror.url] = found

    def may_connect_inside(self, mirror: Mirror, host: str) -> bool:
        """True if a connection to ``host`` (``name:port``), for ``mirror``, may go to a private address.

        The user named the mirror, so its own name may lead inside even where some of its addresses are public.
        """
        standing = self._of(mirror)
        return standing is Standing.PRIVATE or (standing is Standing.MIXED and host == host_of(mirror.url))

    def may_lead_inside(self, mirror: Mirror) -> bool:
        """True if ``mirror`` may redirect to private addresses: nothing of it is public."""
        return self._of(mirror) is Standing.PRIVATE

    def _of(self, mirror: Mirror) -> Standing:
        known = self._standing.get(mirror.url, Standing.PUBLIC)
        seen = self._addresses.connected(URL(mirror.url, encoded=True).raw_host or "")
        if known is Standing.PRIVATE and seen not in {None, Standing.PRIVATE}:
            known = self._standing[mirror.url] = Standing.MIXED
        return known
