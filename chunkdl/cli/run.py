"""``chunkdl run``: a program that knows nothing of chunkdl, whose downloads from the hub come through the engine.

Decides what the program is told about where its hub is, and what a person sees beside its output.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.child import run_child
from chunkdl.cli.display import open_display
from chunkdl.cli.errors import Interrupted, resume_command, say_error, tell
from chunkdl.cli.sections import SectionedOption, TeachingCommand
from chunkdl.cli.stopping import Stopping
from chunkdl.cli.wishes import Wishes
from chunkdl.errors import ChunkdlError
from chunkdl.observe import Notice, Progress, ReferencePlaced, ReferencePlanned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.endpoint.serving import Offer
    from chunkdl.observe import WatchedEvent
    from chunkdl.pipeline.background import Background
    from chunkdl.progress_lines import Display
    from chunkdl.report import Report
    from chunkdl.settings import Settings

_EXAMPLES = (
    ("chunkdl run -- python train.py", "every from_pretrained and hf_hub_download in it comes from all mirrors"),
    ("chunkdl run -- hf download org/name", "the stock client, unchanged"),
    ("chunkdl run --fetch org/big -- python serve.py", "fetch the whole model first, then start"),
    ("chunkdl run --offline -- python eval.py", "what the cache holds, and no request at all"),
)
_FOOTER = (
    "The program is given HF_ENDPOINT: a server on 127.0.0.1 that lives as long as it does and answers what",
    "downloads ask. A file is fetched and proven before the program's own client is told of it, into the cache",
    "that both use, so that nothing is copied. Its HF_TOKEN goes to the origin and to nobody else.",
    "",
    "Signals are passed on, and the exit code is the program's own; 2 and 3 to 7 as those of chunkdl fetch",
    "if it could not be started, or --fetch failed.",
)

_source = partial(click.option, cls=SectionedOption, section="Where from")
_pace = partial(click.option, cls=SectionedOption, section="How")


@click.command(
    "run",
    cls=TeachingCommand,
    examples=_EXAMPLES,
    footer=_FOOTER,
    short_help="Run a program whose downloads come through chunkdl.",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
@_source(
    "--fetch", "references", metavar="REF", multiple=True, help="Fetch this before the program starts; repeatable."
)
@_source("--offline/--online", default=None, help="Ask nobody: what the cache holds; or ignore HF_HUB_OFFLINE.")
@_source(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="Use this mirror instead of the configured ones.",
)
@_source("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Use this mirror too.")
@_source("--no-mirrors", is_flag=True, help="Use the origin alone.")
@_source("--origin", metavar="URL", help="The hub whose listing is believed.")
@_source("--trust", type=click.Choice(("auto", "strict")), help="As for chunkdl fetch.")
@_source("--cache-dir", metavar="DIR", type=click.Path(file_okay=False), help="Cache instead of HF_HUB_CACHE.")
@_pace("--limit-rate", "--bwlimit", "limit_rate", metavar="RATE", help="Bytes a second: 20M is 20 MiB/s.")
@_pace("--connections", metavar="N", type=click.IntRange(1, 16), help="At most N connections a host.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def run(around: Surroundings, /, command: tuple[str, ...], **arguments: Any) -> int:
    """Run CMD; what it downloads from the Hugging Face hub comes from all mirrors at once, every byte proven."""
    wishes = Wishes(**arguments)
    display = open_display("plain", around, quiet=wishes.quiet)
    try:
        return _run(command, wishes, around, display)
    except Interrupted as error:  # told by who was interrupted
        return error.exit_code
    except ChunkdlError as error:
        say_error(display, tell(error))
        return error.exit_code


def _run(command: tuple[str, ...], wishes: Wishes, around: Surroundings, display: Display) -> int:
    from chunkdl.endpoint import environment  # noqa: PLC0415 - --help must not pay for it
    from chunkdl.settings import load_settings  # noqa: PLC0415

    settings = load_settings(around.environ, None, wishes.flags(), around.folder)
    if settings.offline:
        with _interruptible(around, display):
            _look_first(wishes, settings, around)
        return run_child(command, environment.offline(around.environ, settings))
    return _online(command, wishes, settings, around, display)


def _online(
    command: tuple[str, ...], wishes: Wishes, settings: Settings, around: Surroundings, display: Display
) -> int:
    from chunkdl.descriptors import raised_limit  # noqa: PLC0415
    from chunkdl.endpoint import environment  # noqa: PLC0415
    from chunkdl.endpoint.serving import offer  # noqa: PLC0415  brings the HTTP client along
    from chunkdl.pipeline.background import Background  # noqa: PLC0415

    raised_limit()
    background = Background("chunkdl-run")
    offered = background.start(lambda: offer(settings, wishes.options(), _watching(display), _complaining(display)))
    try:
        with _interruptible(around, display):
            _fetch_first(wishes, offered, background)
        return run_child(command, environment.online(around.environ, offered.url, settings))
    finally:
        background.stop()


def _fetch_first(wishes: Wishes, offered: Offer, background: Background) -> None:
    for each in wishes.references:
        _raise_cause(background.submit(offered.fetch(each, wishes.options())).result())


def _look_first(wishes: Wishes, settings: Settings, around: Surroundings) -> None:
    """Offline: whether the cache holds what the program is to find."""
    import asyncio  # noqa: PLC0415

    if wishes.references:
        _raise_cause(asyncio.run(around.pipeline()(wishes.references, wishes.options(), settings, lambda _event: None)))


def _raise_cause(report: Report) -> None:
    for each in report.results:
        if each.cause is not None:
            raise each.cause


@contextmanager
def _interruptible(around: Surroundings, display: Display) -> Iterator[None]:
    """Until the program runs, to whom signals go then.

    Raises:
        Interrupted: a signal came, and that was told.
    """

    def interrupted(code: int) -> Interrupted:
        error = Interrupted("interrupted", code, hint=f"resume with: {resume_command(around.argv)}")
        say_error(display, tell(error))
        return error

    with Stopping(interrupted, around.leave) as stopping:
        try:
            yield
        except KeyboardInterrupt:
            if stopping.signum is None or not stopping.may_speak():
                raise
            raise interrupted(stopping.exit_code) from None


def _watching(display: Display) -> Callable[[WatchedEvent], None]:
    """What deserves a place in a program's output: big files, notices, and progress while something moves."""

    def watch(event: WatchedEvent) -> None:
        still = isinstance(event, Progress) and event.done_bytes >= event.total_bytes
        # of one file among others, and of a cache that the program's own client keeps as it likes
        partial = isinstance(event, Notice) and event.code == "placement"
        if not (still or partial or isinstance(event, ReferencePlanned | ReferencePlaced)):
            display.watch(event)

    return watch


def _complaining(display: Display) -> Callable[[ChunkdlError], None]:
    """The program may swallow why a download failed; files that are not there are its own affair."""

    def complain(error: ChunkdlError) -> None:
        if error.code != "not-found":
            display.watch(Notice(error.code, " - ".join(each for each in (error.message, error.hint) if each)))

    return complain
