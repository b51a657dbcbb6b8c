"""Answers longer than they say, cut where they said that they would end.

aiohttp's parser takes what follows a whole answer for the next one. If both come in one packet it fails before
it hands the answer over, and a server that appends rubbish to each small file could serve none. Decides only
where such a packet ends; bodies that come in several packets are bounded by ``body`` and ``metadata``.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    import asyncio

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_FRAMED_OTHERWISE = re.compile(rb"\r\n(?:transfer-encoding|upgrade):", re.IGNORECASE)


def cut(data: bytes) -> bytes:
    """``data`` without what follows the answer that begins and ends in it; all of it if none does."""
    head, _, rest = data.partition(_HEAD_END)
    if not rest or not head.startswith(b"HTTP/1."):
        return data
    lengths = _LENGTH.findall(head + b"\r\n")
    if len(lengths) != 1 or _FRAMED_OTHERWISE.search(head):
        return data
    return data[: len(head) + len(_HEAD_END) + int(lengths[0])]


class CuttingProtocol(ResponseHandler):
    """aiohttp's protocol of one connection, deaf once an answer was longer than it said."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._deaf = False

    def data_received(self, data: bytes) -> None:
        """Hand on what belongs to the answer; the connection is not used again if there was more."""
        if self._deaf:
            return
        kept = cut(data)
        self._deaf = len(kept) < len(data)
        if self._deaf:
            self.force_close()
        super().data_received(kept)


class CuttingConnector(aiohttp.TCPConnector):
    """A connector whose connections speak ``CuttingProtocol``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = partial(_protocol, loop=self._loop)


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return CuttingProtocol(loop)
