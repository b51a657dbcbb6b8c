"""Which bytes a request's Range header means, from a server's point of view (RFC 9110, section 14).

Decides from the header's text alone. One range only, as hubs and their CDNs have it: several, another unit
or nonsense mean the whole file, which the RFC allows.
"""

from __future__ import annotations

import re

# No file offset has more digits than 2^63; Python refuses to read numbers of thousands of them.
_RANGE = re.compile(r"bytes=(?P<first>\d{0,19})-(?P<last>\d{0,19})", re.ASCII | re.IGNORECASE)


def asked_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range of a file of ``size`` bytes; empty if it cannot be satisfied (416); None for the whole."""
    parts = _RANGE.fullmatch(header.strip())
    if parts is None or not (parts["first"] or parts["last"]):
        return None
    if not parts["first"]:
        return max(size - int(parts["last"]), 0), size
    first = int(parts["first"])
    last = int(parts["last"]) if parts["last"] else max(first, size)
    if last < first:
        return None
    return min(first, size), min(last + 1, size)
