"""``chunkdl cache`` and ``chunkdl verify``: their arguments, as people read them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.display import MODES
from chunkdl.cli.sections import SectionedOption, TeachingCommand

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings

_LS_EXAMPLES = (
    ("chunkdl cache ls", "models, datasets, torch checkpoints, unfinished transfers"),
    ("chunkdl cache ls 'size>1GB' 'accessed>30d' --sort size", "large, and not read for a month"),
    ("chunkdl cache ls type=partial", "what was begun and not ended, and whether somebody is at it"),
    (
        "chunkdl cache ls 'accessed>90d' -q | xargs -r -d '\\n' chunkdl cache rm --yes",
        "names alone, for the next",
    ),
)
_LS_FOOTER = (
    "Filters: size>1GB, accessed>30d, modified<7d, type=model|dataset|space|torch|partial, or a pattern of",
    "names such as 'org/*'. All kinds must hold. GB is 1000-based, GiB and G are 1024-based.",
    "In a pipe: tab-separated, bytes and times as numbers. Times of access are as exact as the file system's.",
)
_RM_EXAMPLES = (
    ("chunkdl cache rm org/name", "the repository, and what was begun of it"),
    ("chunkdl cache rm org/name@v1.0 --dry-run", "what removing one revision would free"),
    ("chunkdl cache rm torch:resnet50-11ad3fa6.pth partial:1a2b3c4d5e6f", "by the names that cache ls prints"),
)
_PRUNE_EXAMPLES = (
    ("chunkdl cache prune --dry-run", "what would go and why, and what stays and for whom"),
    ("chunkdl cache prune --keep-last 2", "but keep the two newest revisions of each repository"),
    ("chunkdl cache prune --max-size 200GB --yes", "and then what was read longest ago, until the rest fits"),
)
_PRUNE_FOOTER = (
    "Goes: revisions that no ref names; unfinished transfers that nobody is at and contents that nothing shows, once",
    "they are older than --older-than; leftovers of killed processes. Stays: what a lock file or a batch job",
    "names, what a process is at, repositories with a link or a ref that leads nowhere (as a download leaves one that",
    "failed), files that are not the hub's or ours. Only --max-size removes what a ref names.",
)
_VERIFY_EXAMPLES = (
    ("chunkdl verify", "everything: the hub's cache, torch's checkpoints"),
    ("chunkdl verify org/name datasets/org/corpus@main", "only these"),
    ("chunkdl verify models/name", "a folder that --local-dir filled, by the records in it"),
    ("chunkdl verify org/name --repair", "fetch again what is damaged, and only that"),
)
_VERIFY_FOOTER = (
    "Reads every byte once, on all cores, and asks nobody. A damaged file stays until the right one has been proven.",
    "",
    "Exit codes: 0 all is right (or mended), 3 it is not there, 5 damage was found, 6 something cannot be read.",
)

_option = partial(click.option, cls=SectionedOption)
_repair = partial(_option, section="Repair")
_place = _option(
    "--cache-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    section="Where",
    help="Cache instead of HF_HUB_CACHE.",
)
_as_json = _option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
_dry_run = _option("--dry-run", is_flag=True, help="Say what would be done and do nothing.")
_yes = _option("-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")


@click.group("cache", short_help="What lies in the caches.")
def cache() -> None:
    """What lies in the caches (the hub's, torch's, unfinished transfers): list, remove, prune, verify."""


@cache.command("ls", cls=TeachingCommand, examples=_LS_EXAMPLES, footer=_LS_FOOTER, short_help="List what is there.")
@click.argument("filters", metavar="[FILTER]...", nargs=-1)
@_place
@_option("--revisions", is_flag=True, help="One line a revision.")
@_option("--sort", metavar="ORDER", default="name", help="name, size, accessed, modified; with :asc or :desc.")
@_option("--limit", metavar="N", type=click.IntRange(1), help="At most N lines.")
@_as_json
@_option("-q", "--quiet", is_flag=True, help="Print names alone.")
@click.pass_obj
def list_caches(around: Surroundings, /, **arguments: Any) -> int:
    """List what is in the caches, with sizes counted once however often a content is linked."""
    from chunkdl.cli.cache_listing import show  # noqa: PLC0415 - --help must not pay for it

    return show(around, **arguments)


@cache.command("rm", cls=TeachingCommand, examples=_RM_EXAMPLES, short_help="Remove what is named.")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@_place
@_dry_run
@_yes
@_as_json
@click.pass_obj
def remove(around: Surroundings, /, **arguments: Any) -> int:
    """Remove repositories, revisions, checkpoints or unfinished transfers; what others share stays."""
    from chunkdl.cli.cache_removing import rm  # noqa: PLC0415 - as above

    return rm(around, **arguments)


@cache.command("prune", cls=TeachingCommand, examples=_PRUNE_EXAMPLES, footer=_PRUNE_FOOTER)
@_place
@_option("--older-than", metavar="AGE", default="14d", show_default=True, help="Of transfers and unused contents.")
@_option("--keep-last", metavar="N", type=click.IntRange(0), default=0, help="Keep so many revisions without a ref.")
@_option("--max-size", metavar="SIZE", help="Of all together; what was read longest ago goes first.")
@_dry_run
@_yes
@_as_json
@click.pass_obj
def prune(around: Surroundings, /, **arguments: Any) -> int:
    """Remove what nobody names, and what was begun and left."""
    from chunkdl.cli.cache_removing import prune as run  # noqa: PLC0415 - as above

    return run(around, **arguments)


@click.command(
    "verify",
    cls=TeachingCommand,
    examples=_VERIFY_EXAMPLES,
    footer=_VERIFY_FOOTER,
    short_help="Prove every byte again; mend it.",
)
@click.argument("targets", metavar="[REF|PATH]...", nargs=-1)
@_place
@_repair("--repair", is_flag=True, help="Fetch what is damaged, from all sources.")
@_repair("--as", "reference", metavar="REF", help="What a folder holds: it does not say so itself.")
@_repair(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="Use this mirror instead of the configured ones.",
)
@_repair("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Use this mirror too.")
@_repair("--no-mirrors", is_flag=True, help="Use the origin alone.")
@_repair("--origin", metavar="URL", help="The hub whose listing is believed.")
@_repair("--offline/--online", default=None, help="Only say what would be fetched, or ignore HF_HUB_OFFLINE.")
@_as_json
@_option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@_option("--progress", type=click.Choice(MODES), default="auto", help="As for fetch.")
@click.pass_obj
def verify(around: Surroundings, /, **arguments: Any) -> int:
    """Prove every byte in the caches, or of each REF or PATH, against its publisher's digest."""
    from chunkdl.cli.cache_verifying import VerifyWishes, verify_and_tell  # noqa: PLC0415 - as above

    return verify_and_tell(VerifyWishes(**arguments), around)


cache.add_command(verify)
