"""Trying one step, timing it, and naming how it failed.

Decides which failure is which; what to do about each is ``judge_network``'s. Every step has a limit.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

from chunkdl.doctor.seen import Step
from chunkdl.errors import ChunkdlError
from chunkdl.spelling import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# OpenSSL's X509_V_ERR codes (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64
_UNTRUSTED = frozenset({18, 19, 20, 21})  # self-signed, in the chain or alone; issuer not known
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
        return _of_certificate(error.verify_code), error.verify_message
    if isinstance(error, TimeoutError):
        return "timeout", f"nothing came within {limit_s:g} s"
    code = next((code for kinds, code in _CODES if isinstance(error, kinds)), "unreachable")
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or _SAID.get(code) or str(error)
    return code, str(said) or type(error).__name__


# First match counts.
_CODES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((ssl.SSLError,), "tls"),
    ((socket.gaierror, UnicodeError), "dns"),
    ((ConnectionRefusedError,), "refused"),
    ((ConnectionResetError, EOFError), "reset"),
)
_SAID = {"refused": "the connection was refused", "reset": "the connection was closed in mid-sentence"}


def _of_certificate(verify_code: int) -> str:
    if verify_code in {_NOT_YET_VALID, _EXPIRED}:
        return "tls-expired"
    if verify_code in {_NAME_MISMATCH, _ADDRESS_MISMATCH}:
        return "tls-name"
    return "tls-unknown-ca" if verify_code in _UNTRUSTED else "tls"
