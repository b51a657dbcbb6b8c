"""``chunkdl mirrors``: its commands and their arguments, as people read them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.mirrors_export import export
from chunkdl.cli.sections import SectionedOption, TeachingCommand

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings

_LIST_EXAMPLES = (
    ("chunkdl mirrors list", "who is asked, who could be, what is known of each, what past runs taught"),
    ("chunkdl mirrors list --json", "the same for programs"),
)
_ADD_EXAMPLES = (
    ("chunkdl mirrors add https://mirror.example", "one more mirror, from now on"),
    ("chunkdl mirrors add hf-api.gitee.com", "switch one on that is known and off"),
    ("chunkdl mirrors add http://10.0.0.5:8090 --name lab --proxy none --first-byte-s 3600", "a cache in the lab"),
    (
        "chunkdl mirrors add static+https://mirror.lan/torch --replaces https://download.pytorch.org/models/",
        "a folder with torchvision's weights",
    ),
)
_REMOVE_EXAMPLES = (("chunkdl mirrors remove lab", "by name or URL; a built-in one is switched off"),)
_TEST_EXAMPLES = (
    ("chunkdl mirrors test", "rank all sources with bert-base-uncased"),
    ("chunkdl mirrors test org/name --rounds 5 --max-bytes 256M", "with the model that matters, more thoroughly"),
    ("chunkdl mirrors test --coverage repos.txt", "who has which repositories; one REF a line"),
    ("chunkdl mirrors test --plot mirrors.svg", "and a picture of it"),
)
_TEST_FOOTER = (
    "One mirror is measured at a time, so that none takes the link from another. Bytes and seconds are bounded",
    "and the bounds are said first. What was measured is remembered: the next fetch starts from it.",
    "",
    "Exit codes: 0 at least one source delivers, 2 usage, 3 not there or not yours, 4 none delivers now.",
)

_option = partial(click.option, cls=SectionedOption)
_source = partial(_option, section="Which sources")
_bound = partial(_option, section="Bounds")
_output = partial(_option, section="Output")
_policy = partial(_option, section="How it is used")
_fact = partial(_option, section="Facts, shown as they are")


@click.group("mirrors", short_help="Which mirrors there are, and how good they are.")
def mirrors() -> None:
    """Which mirrors there are, how good they are from here, and which are used."""


mirrors.add_command(export)


@mirrors.command("list", cls=TeachingCommand, examples=_LIST_EXAMPLES)
@_output("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@click.pass_obj
def list_mirrors(around: Surroundings, /, *, as_json: bool) -> int:
    """Show the origin, the mirrors in use and those known and off."""
    from chunkdl.cli.mirrors_listing import show  # noqa: PLC0415 - --help must not pay for it

    return show(around, as_json=as_json)


@mirrors.command(
    "test", cls=TeachingCommand, examples=_TEST_EXAMPLES, footer=_TEST_FOOTER, short_help="Measure and rank them."
)
@click.argument("references", metavar="[REF]...", nargs=-1)
@_source("--mirror", "mirrors", metavar="URL", multiple=True, help="Test this mirror instead of those in use.")
@_source("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Test this mirror too.")
@_source("--all", "everyone", is_flag=True, help="Test those too that are known and off: they hear the names.")
@_source("--no-mirrors", is_flag=True, help="Test the origin alone.")
@_source("--origin", metavar="URL", help="The hub that everybody is compared with.")
@_source("--online", is_flag=True, help="Ask even if HF_HUB_OFFLINE is set.")
@_bound("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Rounds of measuring.")
@_bound("--max-bytes", metavar="SIZE", default="64M", show_default=True, help="Bytes in all, such as 64M or 1G.")
@_bound(
    "--max-time",
    "max_time_s",
    metavar="SECONDS",
    type=click.FloatRange(1, 86_400),
    default=120,
    show_default=True,
    help="Seconds in all.",
)
@_bound("--connections", type=click.IntRange(1, 16), default=4, show_default=True, help="What several means.")
@_output("--coverage", metavar="FILE", type=click.Path(dir_okay=False), help="Who has which of these repositories.")
@_output("--plot", metavar="FILE", type=click.Path(dir_okay=False), help="Draw goodput over the rounds: .svg, .png.")
@_output("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@_output("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def test_mirrors(around: Surroundings, /, **arguments: Any) -> int:
    """Measure every source with real ranges of each REF and rank them, with reasons."""
    from chunkdl.cli.mirrors_testing import TestWishes, measure_and_tell  # noqa: PLC0415 - as above

    return measure_and_tell(TestWishes(**arguments), around)


@mirrors.command("add", cls=TeachingCommand, examples=_ADD_EXAMPLES)
@click.argument("place", metavar="NAME|URL")
@_policy("--name", metavar="NAME", help="How messages call it.")
@_policy("--kind", type=click.Choice(("hf", "modelscope", "static")), help="How it is asked; hf unless said.")
@_policy("--of", metavar="URL", help="The hub that it mirrors: it is asked for no other.")
@_policy("--replaces", metavar="URL", help="A static one: it holds the addresses that begin so.")
@_policy("--priority", type=int, metavar="N", help="Higher is liked more while rates are unknown.")
@_policy("--connections", "max_connections", type=int, metavar="N", help="At most N connections, 1 to 16.")
@_policy("--limit-rate", metavar="RATE", help="At most this much from it, such as 20M.")
@_policy("--first-byte-s", type=float, metavar="SECONDS", help="For caches that fill themselves first: up to a day.")
@_policy("--proxy", metavar="env|none|URL", help="Through the environment's proxy, directly, or through this one.")
@_policy("--token-env", metavar="VARIABLE", help="The variable that holds its token.")
@_policy("--ca-file", metavar="FILE", help="A PEM bundle to trust for it beside the system's.")
@_fact("--covers", metavar="TEXT", help="What it holds.")
@_fact("--sync", metavar="TEXT", help="How often it follows the hub.")
@_fact("--operator", metavar="TEXT", help="Who runs it.")
@_fact("--certification", metavar="TEXT", help="Under which certification.")
@_output("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.pass_obj
def add_mirror(around: Surroundings, /, **arguments: Any) -> int:
    """Write a mirror into your chunkdl.toml; comments in it stay."""
    from chunkdl.cli.mirrors_changing import add  # noqa: PLC0415 - as above

    return add(around, **arguments)


@mirrors.command("remove", cls=TeachingCommand, examples=_REMOVE_EXAMPLES, short_help="Take one out of your settings.")
@click.argument("place", metavar="NAME|URL")
@_output("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.pass_obj
def remove_mirror(around: Surroundings, /, *, place: str, as_json: bool) -> int:
    """Take a mirror out of your chunkdl.toml, or switch a built-in one off there."""
    from chunkdl.cli.mirrors_changing import remove  # noqa: PLC0415 - as above

    return remove(around, place, as_json=as_json)
