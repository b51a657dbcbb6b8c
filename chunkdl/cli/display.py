"""Which display a run gets: bars, lines, NDJSON or nothing; and that a broken stderr never breaks a fetch.

Decides by mode, terminal and environment. tqdm is imported only if bars are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from chunkdl.progress_lines import Display, Lines, Ndjson, unstyled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.observe import WatchedEvent

MODES = ("auto", "bar", "plain", "json", "none")
_TRUE = frozenset({"1", "on", "yes", "true"})  # what huggingface_hub takes for true, in any case
_COLOURS = {"error": "31;1", "hint": "36", "note": "33", "done": "32", "load": "36"}


def open_display(mode: str, around: Surroundings, *, quiet: bool) -> Display:
    """The display of ``--progress mode`` on ``around.stderr``; ``quiet`` silences what is no error."""
    chosen = choose_mode(mode, around.environ, terminal=is_terminal(around.stderr), quiet=quiet)
    style = choose_style(around.environ, terminal=is_terminal(around.stderr))
    if chosen == "json":
        return Unbreakable(Ndjson(around.stderr, around.clock))
    if chosen == "bar":
        from chunkdl.progress import Bars  # noqa: PLC0415 - tqdm only where bars are drawn

        return Unbreakable(Bars(around.stderr, quiet=quiet, style=style))
    lines = Lines(around.stderr, around.clock, progress=chosen == "plain", quiet=quiet, style=style)
    return Unbreakable(lines)


def choose_mode(mode: str, environ: Mapping[str, str], *, terminal: bool, quiet: bool) -> str:
    """Resolve ``auto``: bars on a terminal that can move its cursor, lines else, nothing if quiet."""
    if mode != "auto":
        return mode
    if quiet:
        return "none"
    bars_disabled = environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").lower() in _TRUE
    return "bar" if terminal and environ.get("TERM") != "dumb" and not bars_disabled else "plain"


def choose_style(environ: Mapping[str, str], *, terminal: bool) -> Callable[[str, str], str]:
    """Colours on a terminal, unless NO_COLOR (no-color.org: any non-empty value) or TERM=dumb."""
    return unstyled if not terminal or environ.get("NO_COLOR") or environ.get("TERM") == "dumb" else _coloured


def is_terminal(stream: TextIO) -> bool:
    """True if a person may be looking; a closed stream is none."""
    return not stream.closed and stream.isatty()


def _coloured(kind: str, message: str) -> str:
    colour = _COLOURS.get(kind)
    line = unstyled(kind, message)
    return line if colour is None else f"\x1b[{colour}m{kind}:\x1b[0m{line[len(kind) + 1 :]}"


class Unbreakable:
    """A display whose stream may go away (``2>&1 | head``): from then on it is silent."""

    def __init__(self, inner: Display) -> None:
        self._inner = inner
        self._broken = False

    def watch(self, event: WatchedEvent) -> None:
        """Pass on while the stream lives."""
        self._try(lambda: self._inner.watch(event))

    def tick(self) -> None:
        """Pass on while the stream lives."""
        self._try(self._inner.tick)

    def say(self, kind: str, message: str, **details: str | None) -> None:
        """Pass on while the stream lives."""
        self._try(lambda: self._inner.say(kind, message, **details))

    def aside(self, act: Callable[[], None]) -> None:
        """Pass on while the stream lives; ``act`` needs no stream of ours, is called once and fails by itself."""
        ended: list[OSError | None] = []

        def called() -> None:
            try:
                act()
            except OSError as error:
                ended.append(error)
            else:
                ended.append(None)

        self._try(lambda: self._inner.aside(called))
        if not ended:
            act()
        elif ended[0] is not None:
            raise ended[0]

    def close(self) -> None:
        """Pass on while the stream lives."""
        self._try(self._inner.close)

    def _try(self, act: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            act()
        except OSError:  # EPIPE, EIO of a vanished terminal: nobody is left to tell
            self._broken = True
