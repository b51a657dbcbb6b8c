"""Where a server of ours listens, as typed and as told to others."""

from __future__ import annotations

import re

from chunkdl.errors import UsageError

# This machine alone, unless somebody says otherwise; the port is free by IANA's list and easy to keep apart
# from the 8090 of olah and the 8000s of model servers.
DEFAULT_LISTEN = "127.0.0.1:8650"
_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+)):(?P<port>\d{1,5})", re.ASCII)
_MAX_PORT = 65_535
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # recognised, not bound to


def parse_listen(text: str, flag: str = "--listen") -> tuple[str, int]:
    """``ADDRESS:PORT``, an IPv6 address in brackets; ``UsageError`` naming ``flag`` for anything else."""
    parts = _LISTEN.fullmatch(text)
    if parts is None or int(parts["port"]) > _MAX_PORT:
        raise UsageError(f"{flag}: {text!r} is not ADDRESS:PORT", hint=f"for example {flag} {DEFAULT_LISTEN}")
    return parts["six"] or parts["host"], int(parts["port"])


def spell_url(address: str, port: int, machine: str) -> str:
    """How others call it; ``machine`` is its name, for a server that listens everywhere."""
    host = machine if address in _EVERYWHERE else address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
