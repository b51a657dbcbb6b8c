"""Progress as bars on a terminal; the only importer of tqdm.

Decides how one run looks on a screen: a bar for the whole with goodput and time left, and under it one
line a final data host. Rates and time left are the engine's own: tqdm only draws. Deliberately knows
neither exit codes nor clocks; what deserves a line of its own is decided in ``progress_lines``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Never, TextIO

from tqdm.std import tqdm

from chunkdl.observe import FilePlaced, Progress
from chunkdl.progress_lines import NOTHING_KNOWN, describe, spell_host_name, spell_left, unstyled
from chunkdl.spelling import percent, spell_bytes, spell_count, spell_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.observe import HostStatus, WatchedEvent

# More hosts than this scroll on small terminals; a run rarely has more than four that matter.
_HOST_LINES_MAX = 8
# Below 20 columns a bar says nothing; tqdm then still prints the text.
_TOTAL_FORMAT = "{share:3d}%|{{bar}}| {text}"


class Bars:
    """Bars and host lines that stay at the bottom while other lines scroll above them.

    Args:
        stream: a terminal; its encoding decides between blocks and ASCII.
        quiet: True keeps errors and hints only beside the bars.
        style: makes a line of kind and message; colours live there.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False, style: Callable[[str, str], str] = unstyled) -> None:
        # tqdm would create a multiprocessing lock and a monitor thread: one process draws, from one thread.
        tqdm.set_lock(threading.RLock())
        tqdm.monitor_interval = 0
        self._stream = stream
        self._quiet = quiet
        self._style = style
        self._total: tqdm[Never] | None = None
        self._hosts: list[tqdm[Never]] = []

    def watch(self, event: WatchedEvent) -> None:
        """Redraw, or print what deserves a line."""
        if isinstance(event, Progress):
            self._draw(event)
        elif not isinstance(event, FilePlaced) and (line := describe(event)) is not None:
            self.say(*line)

    def tick(self) -> None:
        """A terminal shows its last state by itself."""

    def say(self, kind: str, message: str, **_details: str | None) -> None:
        """Print one line above the bars."""
        if not self._quiet or kind in {"error", "hint"}:
            tqdm.write(self._style(kind, message), file=self._stream)
            self._stream.flush()

    def aside(self, act: Callable[[], None]) -> None:
        """Wipe the bars, let ``act`` write to the same screen, draw them again."""
        with tqdm.external_write_mode(file=self._stream):
            act()

    def close(self) -> None:
        """Wipe the bars: what stays on the screen is the summary that the command prints."""
        for each in reversed(self._hosts):
            each.close()
        if self._total is not None:
            self._total.close()
        self._hosts, self._total = [], None

    def _draw(self, event: Progress) -> None:
        if self._total is None:
            self._total = self._line()
        bar = self._total
        bar.total, bar.n = max(event.total_bytes, 1), event.done_bytes if event.total_bytes else 1  # nothing is all
        bar.bar_format = _total_format(event)
        self._draw_hosts(event.hosts)
        bar.refresh()

    def _draw_hosts(self, hosts: tuple[HostStatus, ...]) -> None:
        shown = hosts[:_HOST_LINES_MAX]
        while len(self._hosts) < len(shown):
            self._hosts.append(self._line())
        width = max((len(spell_host_name(each)) for each in shown), default=0)
        for line, host in zip(self._hosts, shown, strict=False):
            line.bar_format = _escape(_spell_host(host, width))
            line.refresh()

    def _line(self) -> tqdm[Never]:
        # miniters and mininterval: we call refresh ourselves, at the engine's pace of ten a second at most.
        return tqdm(file=self._stream, total=1, leave=False, dynamic_ncols=True, mininterval=0, bar_format=" ")


def _total_format(event: Progress) -> str:
    if event.waiting_for is not None:
        return _escape(f"waiting for {event.waiting_for}: {spell_bytes(event.done_bytes)} there")
    if not event.files_total:
        return NOTHING_KNOWN
    text = ", ".join(
        filter(
            None,
            (
                f"{spell_bytes(event.done_bytes)} of {spell_bytes(event.total_bytes)}",
                spell_rate(event.goodput_bytes_per_s),
                spell_left(event),
                f"{event.files_done} of {spell_count(event.files_total, 'file')}",
            ),
        )
    )
    return _TOTAL_FORMAT.format(share=percent(event.done_bytes, event.total_bytes), text=_escape(text))


def _spell_host(host: HostStatus, width: int) -> str:
    errors = f", {spell_count(host.errors, 'error')}" if host.errors else ""
    name = f"{spell_host_name(host):<{width}}"
    rate = f"{spell_rate(host.rate_bytes_per_s):>12} x{host.connections:<2}"
    return f"  {name} {rate} {spell_bytes(host.bytes):>9} {host.state}{errors}"


def _escape(text: str) -> str:
    """Text that tqdm's ``format`` leaves alone."""
    return text.replace("{", "{{").replace("}", "}}")


def plain_bar() -> type[tqdm[Never]]:
    """Tqdm's own class, for callers who name none."""
    return tqdm
