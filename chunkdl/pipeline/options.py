"""What one fetch is asked to do, beside where from: selection, pace and permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chunkdl.identify.lockfile import Lock
    from chunkdl.model import Digest


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Options of one run; the defaults are those of the command line.

    Args:
        revision: branch, tag, ``refs/pr/N`` or commit for references that name none.
        include: patterns of paths to fetch; turns ``format`` off. ``*`` crosses ``/``.
        may_miss: patterns of ``include`` need not match anything as long as one does.
        exclude: patterns to leave out.
        format: ``auto`` fetches the smallest set that loads, ``all`` everything, else one weight family.
        variant: weight variant such as ``fp16``.
        quant: quantisation such as ``Q4_K_M``.
        force: fetch again what is already there.
        dry_run: plan only.
        limit_rate_bytes_per_s: 0 means no limit.
        connections: cap of connections a host, 0 for each mirror's own.
        space_check: refuse a plan that does not fit the disk.
        allow_unverified: take a file of which nothing says what its bytes must be, on the word of its length.
        names_prove: digits in a checkpoint's name are the first of its sha256, as torch.hub has it.
        lock: references mean exactly what it says of them, files included.
        distrusted: contents of the cache that proved wrong and come again, whatever stands there.
    """

    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: str = "auto"
    variant: str | None = None
    quant: str | None = None
    force: bool = False
    dry_run: bool = False
    limit_rate_bytes_per_s: float = 0.0
    connections: int = 0
    space_check: bool = True
    allow_unverified: bool = False
    names_prove: bool = True
    lock: Lock | None = None
    distrusted: frozenset[Digest] = frozenset()
    may_miss: bool = False
