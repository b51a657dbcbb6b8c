"""``chunkdl fetch``: its arguments, as people read them. What they set in motion is in ``fetching``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.display import MODES
from chunkdl.cli.sections import SectionedOption, TeachingCommand
from chunkdl.cli.wishes import Wishes

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings

_EXAMPLES = (
    ("chunkdl fetch bert-base-uncased", "fetch a model; then AutoModel.from_pretrained(...) finds it, offline too"),
    ("chunkdl fetch bert-base-uncased --dry-run", "show what would be fetched, from where, and fetch nothing"),
    ("chunkdl fetch org/name@v1.0 datasets/org/corpus", "several at once; a branch, tag or commit; a dataset"),
    ("chunkdl fetch org/big --include '*.gguf' --limit-rate 20M", "only some files, and leave room on the link"),
    ("chunkdl fetch torch:resnet50", "torchvision's weights, where torch.hub looks; or the URL of a checkpoint"),
    ("chunkdl fetch ms:org/name --local-dir DIR", "from ModelScope, by its own word; then from_pretrained('DIR')"),
    ("chunkdl fetch org/name --add-mirror https://mirror.example", "one more mirror beside the built-in ones"),
    ('cd "$(chunkdl fetch -q bert-base-uncased)"', "stdout is the folder and nothing else; --json says everything"),
)
_FOOTER = (
    "REF is bert-base-uncased, org/name, org/name@revision, datasets/org/name, hf://...,",
    "or a pasted https://huggingface.co/... address; torch:resnet50 or torch:resnet50.IMAGENET1K_V1;",
    "the https URL of a checkpoint, which goes where torch.hub looks, or with --local-dir of any file",
    "(behind it #sha256=HEX says what it must be, #name=FILE what to call it);",
    "ms:org/name[@revision], ms:datasets/org/name or a pasted https://modelscope.cn/... address, with --local-dir.",
    "",
    "Interrupted? The same command resumes. Every byte is checked against the publisher's digest",
    "before a file appears at its final path.",
    "",
    "Exit codes: 0 proven and placed, 2 usage, 3 not there or not yours, 4 may work later,",
    "5 bytes proved wrong, 6 local storage, 7 refused by policy, 130/143 interrupted.",
)
FORMATS = ("auto", "safetensors", "bin", "tf", "flax", "gguf", "onnx", "all")

_source = partial(click.option, cls=SectionedOption, section="Where from")
_choice = partial(click.option, cls=SectionedOption, section="What")
_place = partial(click.option, cls=SectionedOption, section="Where to")
_pace = partial(click.option, cls=SectionedOption, section="How")
_output = partial(click.option, cls=SectionedOption, section="Output")


@click.command("fetch", cls=TeachingCommand, examples=_EXAMPLES, footer=_FOOTER, short_help="Fetch models or datasets.")
@click.argument("references", metavar="REF...", nargs=-1)
@_choice("--revision", metavar="REV", help="Branch, tag or commit, for every REF without an @revision.")
@_choice("--include", metavar="GLOB", multiple=True, help="Only files that match; repeatable; * crosses /.")
@_choice("--exclude", metavar="GLOB", multiple=True, help="Not the files that match; repeatable.")
@_choice(
    "--format",
    "weights_format",
    type=click.Choice(FORMATS),
    help="Weights to take where a repository has the same in several formats. auto: the smallest set that loads; "
    "all: every file.  [default: auto]",
)
@_choice("--variant", metavar="NAME", help="Weights variant, such as fp16.")
@_choice("--quant", metavar="NAME", help="Precision of GGUF or ONNX, such as Q4_K_M or int8.")
@_choice("--locked", metavar="FILE", help="Exactly what this lock file says of each REF, by default of all in it.")
@_source(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="Use this mirror instead of the configured ones.",
)
@_source("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Use this mirror too.")
@_source("--no-mirrors", is_flag=True, help="Use the origin alone.")
@_source("--origin", metavar="URL", help="The hub whose listing is believed.  [default: https://huggingface.co]")
@_source(
    "--trust",
    type=click.Choice(("auto", "strict")),
    help="auto: mirrors may vouch for each other while the origin is silent; strict: never.",
)
@_source("--offline/--online", default=None, help="Use only what the cache holds, or ignore HF_HUB_OFFLINE.")
@_place("--cache-dir", metavar="DIR", type=click.Path(file_okay=False), help="Cache instead of HF_HUB_CACHE.")
@_place(
    "--local-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Real files in this folder, to read, edit or copy, instead of the cache; takes one REF.",
)
@_place("--force", is_flag=True, help="Fetch again even what is there.")
@_place("--space-check/--no-space-check", default=True, help="Refuse what the disk cannot hold.")
@_source("--allow-unverified", is_flag=True, help="Take a URL's file although nothing says which bytes it must have.")
@_pace("--limit-rate", "--bwlimit", "limit_rate", metavar="RATE", help="Bytes a second: 20M is 20 MiB/s; 20MB, 20Mbit.")
@_pace("--connections", metavar="N", type=click.IntRange(1, 16), help="At most N connections a host.")
@_output("--dry-run", is_flag=True, help="Print the plan and fetch nothing.")
@_output("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@_output("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@_output(
    "--progress",
    type=click.Choice(MODES),
    default="auto",
    help="auto: bars on a terminal, else a line each 30 s; json: one JSON object a line. All on stderr.",
)
@click.pass_obj
def fetch(around: Surroundings, /, **arguments: Any) -> int:
    """Fetch each REF from all its mirrors at once, prove every byte, place it where loaders look."""
    from chunkdl.cli.fetching import fetch_and_tell  # noqa: PLC0415 - --help must not pay for it

    return fetch_and_tell(Wishes(**arguments), around)
