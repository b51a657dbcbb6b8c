"""Who failed in a run that succeeded all the same: one line each, at the end.

Decides words; deliberately says nothing of hosts that never failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.progress_lines import spell_mirrors
from chunkdl.spelling import spell_bytes, spell_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.report import HostReport, Report

_WELL = frozenset({"active", "idle"})


def troubles(report: Report) -> Iterator[str]:
    """What a person should know of each host that failed or could not be used."""
    for each in report.hosts:
        if each.reason:
            yield f"{spell_mirrors(each.host, each.mirrors)} {_fate(each)}"


def _fate(host: HostReport) -> str:
    reason = (host.reason or "").removeprefix("not used: ")
    if not host.bytes:
        return f"gave nothing: {reason}"
    failed = f"failed {spell_count(host.errors, 'time')}"
    if host.state == "excluded":
        return f"gave wrong bytes and was excluded: {reason}"
    if host.state in _WELL:
        return f"{failed}, came back and gave {spell_bytes(host.bytes)} in all (last: {reason})"
    return f"{failed} after {spell_bytes(host.bytes)}, the others went on (last: {reason})"
