"""Whether a request means us: the Host check that keeps web pages from reading a mirror through the browser.

A page can point a name of its own at this machine (DNS rebinding); the browser then sends that name as Host.
It cannot do so with an address, nor with a name that it does not control: those pass. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.addresses import is_loopback_host, parse_literal

if TYPE_CHECKING:
    from collections.abc import Collection


def is_ours(host: str, names: Collection[str]) -> bool:
    """True if the Host header ``host`` is an address, localhost, or one of ``names`` (lower case), port aside."""
    name = host_name(host)
    return bool(name) and (parse_literal(name) is not None or is_loopback_host(name) or name in names)


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without port, brackets and final dot."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, colon, port = text.rpartition(":")
    return (name if colon and port.isdecimal() else text).rstrip(".")
