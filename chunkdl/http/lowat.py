"""Waking less often: how many bytes the kernel collects before it calls us, and what it holds unread.

Decides the low-water mark of one receiving socket from its rate and what is left of the body; the one
module that touches SO_RCVLOWAT and FIONREAD. Off where the platform has neither, or CHUNKDL_NO_LOWAT is set.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

# At the top: an import in mid-transfer fails when all descriptors are in use.
if sys.platform != "win32":
    import fcntl
    import termios

if TYPE_CHECKING:
    import asyncio

# CPU seconds a GiB over 8 connections of 20 Mbit/s at 40 ms (asyncio / uvloop), measured: woken by every packet
# 12 / 7.5, over TLS 18 / 15; with these marks 4 / 3, over TLS 6 / 5. The portable remedy, to stop reading for 10 ms
# after a short read, gives 4 / 3 as well but 17 / 10 over TLS, where the loop goes on reading underneath.
_MARKS = (256 << 10, 64 << 10, 16 << 10)

# A mark hides bytes for at most this many seconds, well below every stall limit.
_HIDDEN_S = 0.25

# Slower connections wake us rarely enough; 1 MB/s is ~700 packets a second.
_FLOOR_BYTES_PER_S = 1e6

# The last two marks of a body are read as they come: nothing follows that would wake us.
_TAIL_MARKS = 2

# What asyncio and uvloop may hold back above the socket under TLS: 256 KiB and one more read of 256 KiB.
# Those bytes are still to come for us and already gone for the kernel; without this a body's end hung (measured).
TLS_HELD_BYTES = 512 << 10


def tail_bytes(mark: int, *, encrypted: bool) -> int:
    """How near to the body's end ``mark`` may stay set."""
    return mark * _TAIL_MARKS + (TLS_HELD_BYTES if encrypted else 0)


def mark_bytes(rate_bytes_per_s: float, left_bytes: int, *, encrypted: bool = False) -> int:
    """The mark for a connection of this rate with this much of its body to come; 1 = wake at once."""
    if rate_bytes_per_s < _FLOOR_BYTES_PER_S:
        return 1
    slow_enough = (mark for mark in _MARKS if mark <= rate_bytes_per_s * _HIDDEN_S)
    return next((mark for mark in slow_enough if tail_bytes(mark, encrypted=encrypted) < left_bytes), 1)


def supported() -> bool:
    """True if marks work here and the user did not turn them off."""
    return sys.platform == "linux" and not os.environ.get("CHUNKDL_NO_LOWAT")


def unread_bytes(transport: asyncio.BaseTransport) -> int:
    """Bytes that arrived and wait in the kernel (ciphertext under TLS); 0 where that cannot be asked."""
    handle = transport.get_extra_info("socket")
    if handle is None or sys.platform == "win32":
        return 0
    answer = bytearray(4)
    try:
        fcntl.ioctl(handle.fileno(), termios.FIONREAD, answer)
    except (OSError, ValueError):  # the socket is closed, so nothing waits in it
        return 0
    return int.from_bytes(answer, sys.byteorder)


class LowWater:
    """The mark of one connection, set only when it changes."""

    __slots__ = ("_mark", "_socket")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        handle = transport.get_extra_info("socket")
        self._socket: socket.socket | None = handle if supported() else None
        self._mark = 1

    @property
    def mark(self) -> int:
        """What is set now, bytes."""
        return self._mark

    def set(self, mark: int) -> None:
        """Wake us when ``mark`` bytes are there; quietly nothing where the socket refuses or is closed."""
        if self._socket is None or mark == self._mark:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
        except OSError:  # refused by the kernel or already closed: the portable way is to be woken at once
            self._socket = None
            return
        self._mark = mark
