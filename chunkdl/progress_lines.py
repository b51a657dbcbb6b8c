"""Progress as lines on stderr: plain ones for logs, NDJSON for programs.

Decides what is worth a line and how often: something at the start, once each ``interval_s`` even if
nothing moved (silent jobs get killed), one for each big file. Deliberately knows no terminal (that is
``progress``) and no clock: it is passed. Text is ASCII but for names, which the stream's own error
handler spells.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from chunkdl.observe import CorruptionFound, FilePlaced, Notice, Progress, ReferencePlaced, ReferencePlanned
from chunkdl.spelling import (
    printable,
    spell_bytes,
    spell_count,
    spell_duration,
    spell_rate,
    spell_reference,
    spell_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.observe import HostStatus, WatchedEvent

# One line each 30 s: often enough for watchdogs of CI systems, rare enough for logs of a night.
PLAIN_INTERVAL_S = 30.0
# Programs redraw at most once a second; ten a second (the engine's pace) would only fill their pipes.
NDJSON_INTERVAL_S = 1.0
# The hub moves files of 10 MB and more into LFS: what people call "the weights" begins there.
BIG_FILE_BYTES = 10_000_000
# Of a liar's ranges a line shows so many; programs get all of them.
_RANGES_SHOWN = 3
# What is true before any listing has come.
NOTHING_KNOWN = "asking which files there are"


class Display(Protocol):
    """Whatever shows a run to its watcher; none of its methods may raise or take long."""

    def watch(self, event: WatchedEvent) -> None:
        """Something happened."""

    def tick(self) -> None:
        """A second or so has passed, whether or not something happened."""

    def say(self, kind: str, message: str, **details: str | None) -> None:
        """One line of ours: ``kind`` is ``note``, ``error``, ``hint``, ``done``, ``load`` or ``text``."""

    def aside(self, act: Callable[[], None]) -> None:
        """Call ``act``, which writes elsewhere on what may be the same screen."""

    def close(self) -> None:
        """The run ended: leave the stream so that lines can follow."""


def unstyled(kind: str, message: str) -> str:
    """The line for a stream without colours; ``text`` stands by itself."""
    return printable(message) if kind == "text" else f"{kind}: {printable(message)}"


class Lines:
    """Plain lines.

    Args:
        stream: usually stderr.
        clock: monotonic seconds.
        progress: False says nothing about progress (``--progress none``).
        quiet: True keeps errors and hints only (``-q``).
        style: makes a line of kind and message; colours live there.
    """

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float],
        *,
        progress: bool = True,
        quiet: bool = False,
        style: Callable[[str, str], str] = unstyled,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._progress = progress
        self._quiet = quiet
        self._style = style
        self._last: Progress | None = None
        self._started_at = self._spoke_at = clock()

    def watch(self, event: WatchedEvent) -> None:
        """Print what deserves a line."""
        if isinstance(event, Progress):
            self._last = event
            self.tick()
        elif (line := describe(event)) is not None:
            kind, message = line
            self.say(kind, message)

    def tick(self) -> None:
        """Print the state of things if the last line is older than the interval."""
        if self._progress and self._clock() - self._spoke_at >= PLAIN_INTERVAL_S:
            elapsed = f"{spell_duration(self._clock() - self._started_at)} in"
            state = spell_progress(self._last) if self._last else NOTHING_KNOWN
            self.say("progress", f"{elapsed}: {state}")

    def say(self, kind: str, message: str, **_details: str | None) -> None:
        """Print unless the mode silences this kind."""
        if (kind in _PROGRESS_KINDS and not self._progress) or (self._quiet and kind not in _ALWAYS_KINDS):
            return
        if kind in _PROGRESS_KINDS:
            self._spoke_at = self._clock()
        print(self._style(kind, message), file=self._stream, flush=True)

    def aside(self, act: Callable[[], None]) -> None:
        """Lines are in nobody's way."""
        act()

    def close(self) -> None:
        """Nothing stands open."""


_PROGRESS_KINDS = frozenset({"progress", "start", "plan", "file"})
_ALWAYS_KINDS = frozenset({"error", "hint"})


class Ndjson:
    """One JSON object a line: ``{"event": …}`` with the fields of the observed event, in bytes and seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._due_at = 0.0
        self._held: Progress | None = None

    def watch(self, event: WatchedEvent) -> None:
        """Write the event; progress at most once a second, the newest wins."""
        if isinstance(event, Progress):
            self._held = event
            self.tick()
            return
        self._flush()
        self._write(_EVENT_NAMES[type(event)], _fields(event))

    def tick(self) -> None:
        """Write held progress once it is due."""
        if self._clock() >= self._due_at:
            self._flush()

    def say(self, kind: str, message: str, **details: str | None) -> None:
        """Write one line of ours; errors carry ``code``, ``mirror`` and ``file`` beside the message."""
        self._flush()
        self._write(kind, {"message": message, **details})

    def aside(self, act: Callable[[], None]) -> None:
        """Lines are in nobody's way."""
        act()

    def close(self) -> None:
        """Write what was held: the last state is the one that matters."""
        self._flush()

    def _flush(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._due_at = self._clock() + NDJSON_INTERVAL_S
            self._write("progress", asdict(held))

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        print(json.dumps({"event": event, **fields}), file=self._stream, flush=True)


_EVENT_NAMES: dict[type, str] = {
    Notice: "notice",
    ReferencePlanned: "planned",
    FilePlaced: "file-placed",
    CorruptionFound: "corruption",
    ReferencePlaced: "placed",
}


def _fields(event: WatchedEvent) -> dict[str, Any]:
    if not isinstance(event, ReferencePlanned):
        return asdict(event)
    plan = event.plan
    return {
        "reference": event.reference,
        "commit": plan.artifact.commit,
        "files": len(plan.chosen),
        "bytes_total": plan.bytes_total,
        "bytes_to_fetch": plan.bytes_to_fetch,
        "bytes_reused": plan.bytes_reused,
        "files_left_out": len(plan.left_out),
        "bytes_left_out": plan.bytes_left_out,
    }


# What is said of a file where no whole digest was there to prove it.
_PROVEN = {
    "prefix": "proven by the digits in its name, and placed",
    "size": "placed, checked by its length alone",
}


def describe(event: WatchedEvent) -> tuple[str, str] | None:
    """Kind and message of an event that deserves a line in a log, or None."""
    if isinstance(event, Notice):
        return "note", event.message
    if isinstance(event, ReferencePlanned):
        return "plan", _spell_planned(event)
    if isinstance(event, CorruptionFound):
        return "note", _spell_corruption(event)
    if isinstance(event, FilePlaced) and event.size >= BIG_FILE_BYTES:
        proven = _PROVEN.get(event.verified, "proven and placed")
        return "file", f"{event.path} {proven}, {spell_bytes(event.size)}"
    return None


def _spell_planned(event: ReferencePlanned) -> str:
    plan = event.plan
    parts = [
        f"{spell_reference(event.reference)}: {spell_count(len(plan.chosen), 'file')}, {spell_bytes(plan.bytes_total)}"
    ]
    if plan.bytes_reused:
        parts.append(f"{spell_bytes(plan.bytes_reused)} here already")
    if plan.left_out:
        parts.append(f"{spell_count(len(plan.left_out), 'file')} ({spell_bytes(plan.bytes_left_out)}) left out")
    commit = f" (commit {plan.artifact.commit[:12]})" if plan.artifact.commit else ""
    return f"{', '.join(parts)}{commit}"


def _spell_corruption(event: CorruptionFound) -> str:
    if event.host is None or not event.repaired:
        return f"the digest of {event.path} is wrong: fetching suspect ranges again from other hosts"
    shown = ", ".join(map(str, event.where[:_RANGES_SHOWN]))
    more = ", ..." if len(event.where) > _RANGES_SHOWN else ""
    where = f" ({shown}{more})" if shown else ""
    wrong = spell_count(event.ranges, "wrong range")
    return f"{wrong} of {event.path} came from {event.host}{where}, replaced from elsewhere"


def spell_progress(event: Progress) -> str:
    """The whole state on one line: share, bytes, rate, time left, files, hosts."""
    if event.waiting_for is not None:
        return f"waiting for {event.waiting_for}, which fetches the same files"
    if not event.files_total:
        return NOTHING_KNOWN
    parts = [
        spell_share(event.done_bytes, event.total_bytes),
        f"{spell_bytes(event.done_bytes)} of {spell_bytes(event.total_bytes)}",
        spell_rate(event.goodput_bytes_per_s),
        spell_left(event),
        f"{event.files_done} of {spell_count(event.files_total, 'file')}",
        *(spell_host(each) for each in event.hosts if each.connections),
    ]
    return ", ".join(filter(None, parts))


def spell_left(event: Progress) -> str:
    """Time left, or that everything is stored and now proven, or nothing while no rate is known."""
    if event.done_bytes >= event.total_bytes:
        return "all bytes here, proving them"
    return "" if event.eta_s is None else f"{spell_duration(event.eta_s)} left"


def spell_host(host: HostStatus) -> str:
    """One host on a few words: name, rate, connections, and what is wrong with it."""
    state = "" if host.state in {"active", "idle"} else f" {host.state}"
    return f"{spell_host_name(host)} {spell_rate(host.rate_bytes_per_s)} x{host.connections}{state}"


def spell_host_name(host: HostStatus) -> str:
    """The mirrors that people typed, and where they really lead if that is elsewhere."""
    return spell_mirrors(host.host, host.mirrors)


def spell_mirrors(host: str, mirrors: Sequence[str]) -> str:
    """The same of its parts; a host that is a mirror's own is not named twice."""
    own = {host, host.removesuffix(":443"), host.removesuffix(":80"), ""}
    names = "+".join(mirrors)
    return (names or host) if own.intersection(mirrors) or not names else f"{names} via {host}"
