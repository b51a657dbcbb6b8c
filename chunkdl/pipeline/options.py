"""What one fetch is asked to do, beside where from: selection, pace and permissions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Options of one run; the defaults are those of the command line.

    Args:
        revision: branch, tag, ``refs/pr/N`` or commit for references that name none.
        include: patterns of paths to fetch; turns ``format`` off. ``*`` crosses ``/``.
        exclude: patterns to leave out.
        format: ``auto`` fetches the smallest set that loads, ``all`` everything, else one weight family.
        variant: weight variant such as ``fp16``.
        quant: quantisation such as ``Q4_K_M``.
        force: fetch again what is already there.
        dry_run: plan only.
        limit_rate_bytes_per_s: 0 means no limit.
        connections: cap of connections a host, 0 for each mirror's own.
        space_check: refuse a plan that does not fit the disk.
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
