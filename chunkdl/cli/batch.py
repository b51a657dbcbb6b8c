"""``chunkdl batch``: its arguments, as people read them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.batch_running import run
from chunkdl.cli.fetch import FORMATS
from chunkdl.cli.sections import SectionedOption, TeachingCommand

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings

# click keeps the lines of a paragraph that begins with a backspace.
_HELP = """Queue models and datasets, pull them in off-peak windows, see what came.

\b
Examples:
  # queue what a manifest lists, with its windows and limits
  chunkdl batch add night.toml
  # pull while the window is open; a page shows how it goes
  chunkdl batch run --http 127.0.0.1:8650
  # in the morning
  chunkdl batch report
"""
_ADD_EXAMPLES = (
    ("chunkdl batch add night.toml", "queue what a manifest lists; again after an edit, it takes what is new"),
    ("chunkdl batch add bert-base-uncased org/name@v1.0", "queue references, with the selection of fetch"),
    ("chunkdl batch add org/big --quant Q4_K_M --priority 5 --deadline '2026-11-25 07:00'", "urgent, and due"),
    ("chunkdl batch add datasets/org/news --every '30 2 * * Sun'", "again each Sunday at half past two"),
)
_ADD_FOOTER = (
    "Whatever ends in .toml is a manifest. Adding is harmless twice: a job is its REF, revision, selection and",
    "destination; what is the same stays as it is, priority and deadline follow the last word.",
    "With --again REF may be the name or id of a job in the queue, which is taken up again as it is.",
    "A relative folder is where you are, in a manifest where the manifest is.",
    "",
    "Exit codes: 0 queued, 2 a mistake in a name, an option or the manifest, 6 the queue cannot be used.",
)
_STATUS_EXAMPLES = (
    ("chunkdl batch status", "what is queued, how far it is, why it waits"),
    ("chunkdl batch status --watch", "the same, kept up to date until Ctrl-C"),
    ("chunkdl batch status | cut -f1,2,3", "in a pipe: tab-separated, bytes and times as numbers"),
)
_LOG_EXAMPLES = (("chunkdl batch log bert-base-uncased", "each attempt, who gave how much, what is placed where"),)
_CANCEL_EXAMPLES = (("chunkdl batch cancel org/name 3f9c", "by name, or by the beginning of the id"),)
_REPORT_EXAMPLES = (
    ("chunkdl batch report", "since yesterday: what came, what each mirror gave, what failed and why, what waits"),
    ("chunkdl batch report --since 12h", "also 2026-11-21, '2026-11-21 22:00', today, yesterday, 3d"),
    ("chunkdl batch report --since 7d > week.md", "it is Markdown; --json for programs"),
)
_TIMER_EXAMPLES = (
    ("chunkdl batch timer", "print what would start the batch when its windows open, for every scheduler"),
    ("chunkdl batch timer --install", "write a systemd user timer, and print the two commands that start it"),
    ("chunkdl batch timer --for cron", "one line for crontab -e; also launchd (macOS) and schtasks (Windows)"),
)
_TIMER_FOOTER = (
    "The scheduler of your system starts batch run, which waits until the window is open and ends when everything is",
    "done or the window closes. Without windows it is started each hour and ends at once if there is nothing to do.",
    "Nothing is enabled for you: --install writes two files and says how. After a change of windows, do it again.",
)

_choice = partial(click.option, cls=SectionedOption, section="What")
_place = partial(click.option, cls=SectionedOption, section="Where to")
_urgency = partial(click.option, cls=SectionedOption, section="How urgent")
_option = partial(click.option, cls=SectionedOption)
_folder = click.Path(file_okay=False)
_as_json = _option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
_quiet = _option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")


@click.group("batch", short_help="Queue pulls and run them off-peak.", help=_HELP)
def batch() -> None:
    """Queue models and datasets, pull them in off-peak windows, see what came."""


batch.add_command(run)


@batch.command(
    "add",
    cls=TeachingCommand,
    examples=_ADD_EXAMPLES,
    footer=_ADD_FOOTER,
    short_help="Queue what a manifest lists, or references.",
)
@click.argument("subjects", metavar="MANIFEST.toml|REF...", nargs=-1)
@_choice("--revision", metavar="REV", help="Branch, tag or commit, for every REF without an @revision.")
@_choice("--include", metavar="GLOB", multiple=True, help="Only files that match; repeatable; * crosses /.")
@_choice("--exclude", metavar="GLOB", multiple=True, help="Not the files that match; repeatable.")
@_choice("--format", "weights_format", type=click.Choice(FORMATS), help="As for fetch.  [default: auto]")
@_choice("--variant", metavar="NAME", help="Weights variant, such as fp16.")
@_choice("--quant", metavar="NAME", help="GGUF quantisation, such as Q4_K_M.")
@_urgency("--priority", type=click.IntRange(-1000, 1000), metavar="N", help="Higher goes first.  [default: 0]")
@_urgency("--deadline", metavar="TIME", help="When it should be here: '2026-11-25 07:00', 2026-11-25, with +08:00.")
@_urgency("--every", metavar="CRON", help="Again at these times: minute hour day month weekday.")
@_urgency("--again", is_flag=True, help="Also what is done, parked or waits after a failure: at once.")
@_place("--cache-dir", metavar="DIR", type=_folder, help="Cache instead of HF_HUB_CACHE.")
@_place("--local-dir", metavar="DIR", type=_folder, help="Real files in this folder; takes one REF.")
@_as_json
@_quiet
@click.pass_obj
def add_jobs(around: Surroundings, /, **arguments: Any) -> int:
    """Queue what a manifest lists, or each REF. Nothing is fetched yet: batch run does that."""
    from chunkdl.cli.batch_adding import AddWishes, add_and_tell  # noqa: PLC0415 - --help must not pay for it

    return add_and_tell(AddWishes(**arguments), around)


@batch.command(
    "status", cls=TeachingCommand, examples=_STATUS_EXAMPLES, short_help="Show the queue; --watch keeps it up to date."
)
@_option("--watch", is_flag=True, help="Keep it up to date until Ctrl-C.")
@_as_json
@_quiet
@click.pass_obj
def show_status(around: Surroundings, /, *, watch: bool, as_json: bool, quiet: bool) -> int:
    """Show the queue: how far each job is and why it waits, and whether the window is open."""
    from chunkdl.cli.batch_status import show, watch_status  # noqa: PLC0415 - as above

    return watch_status(around, as_json=as_json) if watch else show(around, as_json=as_json, quiet=quiet)


@batch.command("log", cls=TeachingCommand, examples=_LOG_EXAMPLES, short_help="Show every attempt at one job.")
@click.argument("job", metavar="JOB")
@_as_json
@click.pass_obj
def show_log(around: Surroundings, /, *, job: str, as_json: bool) -> int:
    """Show one job: every attempt, how it ended, what each host gave, what is placed."""
    from chunkdl.cli.batch_telling import log  # noqa: PLC0415 - as above

    return log(around, job, as_json=as_json)


@batch.command("cancel", cls=TeachingCommand, examples=_CANCEL_EXAMPLES, short_help="Take jobs out of the queue.")
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
@_as_json
@click.pass_obj
def cancel_jobs(around: Surroundings, /, *, jobs: tuple[str, ...], as_json: bool) -> int:
    """Take jobs out of the queue; one that runs stops within seconds, and what it fetched stays."""
    from chunkdl.cli.batch_telling import cancel  # noqa: PLC0415 - as above

    return cancel(around, jobs, as_json=as_json)


@batch.command(
    "report", cls=TeachingCommand, examples=_REPORT_EXAMPLES, short_help="Report what came, from whom, and what failed."
)
@_option(
    "--since", metavar="WHEN", default="yesterday", show_default=True, help="A day, a time, or as long ago as 12h."
)
@_as_json
@click.pass_obj
def show_report(around: Surroundings, /, *, since: str, as_json: bool) -> int:
    """Report in Markdown: what came and when, what each host gave and how fast, what failed and why, what waits."""
    from chunkdl.cli.batch_telling import report  # noqa: PLC0415 - as above

    return report(around, since, as_json=as_json)


@batch.command(
    "timer",
    cls=TeachingCommand,
    examples=_TIMER_EXAMPLES,
    footer=_TIMER_FOOTER,
    short_help="Have the system's scheduler start batch run.",
)
@_option("--install", is_flag=True, help="Write the systemd user units.")
@_option("--print", "only_print", is_flag=True, help="Print and write nothing; what happens anyway.")
@_option("--for", "scheduler", type=click.Choice(("systemd", "cron", "launchd", "schtasks")), help="Only this one.")
@_as_json
@click.pass_obj
def show_timer(around: Surroundings, /, **arguments: Any) -> int:
    """Have the system's own scheduler start batch run when the windows open."""
    from chunkdl.cli.batch_timer import timer  # noqa: PLC0415 - as above

    return timer(around, **arguments)
