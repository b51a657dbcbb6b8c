"""Trying one step, timing it, and naming how it failed.

Decides which failure is which; what to do about each is ``judge_network``'s. Every step has a limit.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

from chunkdl.doctor.seen import Step
from chunkdl.errors import ChunkdlError
from chunkdl.http.certificates import fault_of
from chunkdl.spelling import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_TRANSPORT = 4  # the exit code of a source that cannot be reached


class Steps:
    """Collects the steps of one source; ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seen: list[Step] = []
        self._clock = clock

    async def attempt(self, name: str, limit_s: float, work: Awaitable[tuple[T, str]]) -> T | None:
        """The first part of what ``work`` returns, its second being the step's detail; None if it failed.

        ``UnicodeError`` is what a name that no resolver can be asked for raises.
        """
        began = self._clock()
        try:
            async with asyncio.timeout(limit_s):
                value, detail = await work
        except (OSError, ChunkdlError, EOFError, UnicodeError) as error:
            self.seen.append(failed(name, self._clock() - began, error, limit_s))
            return None
        self.seen.append(Step(name, ok=True, seconds=self._clock() - began, detail=printable(detail)))
        return value


def failed(name: str, seconds: float, error: Exception, limit_s: float) -> Step:
    """The step that ended in ``error``."""
    if isinstance(error, ChunkdlError):
        return Step(name, False, seconds, printable(error.message), error.code, error.hint, error.exit_code)
    code, said = _named(error, limit_s)
    return Step(name, ok=False, seconds=seconds, detail=printable(said), code=code, exit_code=_TRANSPORT)


def _named(error: Exception, limit_s: float) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return fault_of(error.verify_code).value, error.verify_message
    if isinstance(error, TimeoutError):
        return "timeout", f"nothing came within {limit_s:g} s"
    code = next((code for kinds, code in _CODES if isinstance(error, kinds)), "unreachable")
    said = getattr(error, "reason", None) or _told(error) or _SAID.get(code) or str(error)
    return code, str(said) or type(error).__name__


def _told(error: Exception) -> str | None:
    """The system's word, where asyncio has put an address in its place."""
    said = getattr(error, "strerror", None)
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if str(said).startswith("Connect call failed") else said


# First match counts.
_CODES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((ssl.SSLError,), "tls"),
    ((socket.gaierror, UnicodeError), "dns"),
    ((ConnectionRefusedError,), "refused"),
    ((ConnectionResetError, EOFError), "reset"),
)
_SAID = {"refused": "the connection was refused", "reset": "the connection was closed in mid-sentence"}
