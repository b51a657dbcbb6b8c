"""How far the run is, in numbers that do not lie.

Decides what counts: ``done`` is what is stored, claims of an earlier run and what those have whom we wait
for included; ``fetched`` is what this run brought; goodput is fetched and kept over time, smoothed. No estimate
is given before a rate is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chunkdl.observe import HostStatus, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chunkdl.core.host_view import HostView
    from chunkdl.transfer.content import Content

# One sample a second, weighed so that the last five or so make the figure: readable, and quick to admit a stall.
_SAMPLE_S = 1.0
_WEIGHT = 0.3


class Tally:
    """Sums over everything that the engine was asked for."""

    def __init__(self) -> None:
        """All zero."""
        self.total_bytes = 0
        self.finished_bytes = 0
        self.found_bytes = 0
        self.files_total = 0
        self.files_done = 0
        self._waiting: dict[str, tuple[str, int]] = {}
        self._goodput = 0.0
        self._sampled_at: float | None = None
        self._sampled_bytes = 0

    def planned(self, files: int, size: int) -> None:
        """So many more contents are wanted, ``size`` bytes in all."""
        self.files_total += files
        self.total_bytes += size

    def present(self, files: int, size: int) -> None:
        """Planned contents that needed no transfer, ``size`` bytes in all."""
        self.files_done += files
        self.finished_bytes += size
        self.found_bytes += size

    def ended(self, content: Content, *, placed: bool) -> None:
        """A content is at its final path, or failed with what it has."""
        self.files_done += placed
        self.finished_bytes += content.stored.total
        self.found_bytes += content.claimed_bytes

    def waiting(self, what: str, owner: str | None, done_bytes: int) -> None:
        """Another process is at work on ``what`` and has ``done_bytes``; no owner ends the wait."""
        if owner is None:
            self._waiting.pop(what, None)
        else:
            self._waiting[what] = (owner, done_bytes)

    def progress(self, contents: Iterable[Content], hosts: Sequence[HostView], now: float) -> Progress:
        """The picture at ``now`` (monotonic seconds)."""
        live = tuple(contents)
        stored = self.finished_bytes + sum(content.stored.total for content in live)
        done = stored + sum(there for _, there in self._waiting.values())
        fetched = stored - self.found_bytes - sum(content.claimed_bytes for content in live)
        self._sample(fetched, now)
        left = max(0, self.total_bytes - done)
        return Progress(
            done_bytes=done,
            total_bytes=self.total_bytes,
            fetched_bytes=fetched,
            goodput_bytes_per_s=self._goodput,
            eta_s=left / self._goodput if self._goodput > 0 else None,
            files_done=self.files_done,
            files_total=self.files_total,
            hosts=tuple(map(_status, hosts)),
            waiting_for=next((owner for owner, _ in self._waiting.values()), None),
        )

    def _sample(self, fetched: int, now: float) -> None:
        if self._sampled_at is None:
            self._sampled_at, self._sampled_bytes = now, fetched
            return
        elapsed = now - self._sampled_at
        if elapsed < _SAMPLE_S:
            return
        rate = max(0, fetched - self._sampled_bytes) / elapsed
        self._goodput = rate if self._goodput == 0 else self._goodput + _WEIGHT * (rate - self._goodput)
        self._sampled_at, self._sampled_bytes = now, fetched


def _status(host: HostView) -> HostStatus:
    return HostStatus(
        host.host, tuple(host.mirrors), host.bytes, host.rate_bytes_per_s, host.connections, host.state, host.errors
    )
