"""One hash for a whole listing, so that two listings can be compared and remembered."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chunkdl.model import RemoteFile


def fingerprint(files: Iterable[RemoteFile]) -> str:
    """sha256 over path, size and digest of every file, whatever their order; 64 hex digits."""
    lines = sorted(f"{each.path}\0{each.size}\0{each.digest}\n" for each in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
