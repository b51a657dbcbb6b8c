"""``chunkdl doctor``: its arguments, and how an examination is printed."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.answering import Answer, answer_stoppably
from chunkdl.cli.display import open_display
from chunkdl.cli.empty_answers import EMPTY
from chunkdl.cli.sections import SectionedOption, TeachingCommand
from chunkdl.spelling import spell_bytes, spell_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chunkdl.cli.stopping import Stopping
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.doctor.examine import Examination
    from chunkdl.doctor.seen import FolderSeen, SourceSeen, Step
    from chunkdl.settings import Settings

_EXAMPLES = (
    ("chunkdl doctor", "check everything with bert-base-uncased, a listing and one byte from each source"),
    ("chunkdl doctor org/name --json", "check with the model that matters; one object for programs"),
    ("HTTPS_PROXY=http://10.0.0.1:3128 chunkdl doctor", "would it work through this proxy?"),
)
_FOOTER = (
    "The exit code is the one that a fetch would end with: 0 it would work, 2 settings, 3 not there,",
    "not yours or offline, 4 nobody can be reached, 6 disk, 7 refused by policy. No secret is printed.",
)
_source = partial(click.option, cls=SectionedOption, section="Where from")


@click.command(
    "doctor", cls=TeachingCommand, examples=_EXAMPLES, footer=_FOOTER, short_help="Check what a fetch needs."
)
@click.argument("reference", metavar="[REF]", required=False)
@_source("--mirror", "mirrors", metavar="URL", multiple=True, help="Check this mirror instead of those in use.")
@_source("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Check this mirror too.")
@_source("--no-mirrors", is_flag=True, help="Check the origin alone.")
@_source("--origin", metavar="URL", help="The hub whose listing is believed.")
@_source("--trust", type=click.Choice(("auto", "strict")), help="As for fetch.")
@_source("--offline/--online", default=None, help="As for fetch.")
@click.option("--cache-dir", metavar="DIR", type=click.Path(file_okay=False), help="Cache instead of HF_HUB_CACHE.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.pass_obj
def doctor(around: Surroundings, /, *, reference: str | None, as_json: bool, **arguments: Any) -> int:
    """Check settings, name resolution, connections, proxies, mirrors, clock, token, disk and leftovers."""
    display = open_display("none", around, quiet=as_json)
    seen: list[Examination] = []

    def made(stopping: Stopping) -> Answer:
        found = _examine(around, reference, arguments, lambda line: display.say("text", line), stopping)
        seen.append(found)
        return Answer(found.as_json(), list(spell(found)), exit_code=found.exit_code)

    code = answer_stoppably(around, made, as_json=as_json, empty=EMPTY["doctor"])
    if any(map(_lingers, seen)):
        around.leave(code)
    return code


def _lingers(found: Examination) -> bool:
    """Whether a name server that never answered still holds a thread, which would hold the exit for half a minute."""
    return any(step.name == "dns" and step.code == "timeout" for each in found.sources for step in each.steps)


def _examine(
    around: Surroundings,
    reference: str | None,
    arguments: dict[str, Any],
    say: Callable[[str], object],
    stopping: Stopping,
) -> Examination:
    from chunkdl.cli.running import run_or_raise  # noqa: PLC0415 - --help must not pay for it
    from chunkdl.doctor.examine import DEFAULT_REFERENCE, examine  # noqa: PLC0415
    from chunkdl.doctor.network import SOURCE_LIMIT_S  # noqa: PLC0415

    settings = _settings(around, arguments)
    if not settings.offline:
        asked = reference or DEFAULT_REFERENCE
        count = spell_count(len(settings.sources), "source")
        say(f"checking {count} with {asked}, a few KiB each; at most {SOURCE_LIMIT_S:g} s")
    return run_or_raise(lambda: examine(reference, settings, around.environ, time.time), stopping)


def _settings(around: Surroundings, arguments: dict[str, Any]) -> Settings:
    from chunkdl.settings import Flags, load_settings  # noqa: PLC0415 - as above

    cache_dir = arguments.pop("cache_dir")
    flags = Flags(cache_dir=Path(cache_dir) if cache_dir else None, **arguments)
    return load_settings(around.environ, None, flags, around.folder)


def spell(found: Examination) -> Iterator[str]:
    """The examination for people: what counts, what was seen, what to do."""
    yield "Settings"
    width = max(len(each.name) for each in found.settings)
    values = max(len(each.value) for each in found.settings if len(each.value) <= _WIDE)
    for each in found.settings:
        yield f"  {each.name:<{width}}  {each.value:<{values}}  {each.where}".rstrip()
    if found.sources:
        yield f"Sources, asked about {found.reference}"
    for source in found.sources:
        yield from _spell_source(source)
    yield "Disk"
    for folder in found.folders:
        yield f"  {_spell_folder(folder)}"
    yield "Findings" if found.findings else "Findings: none"
    for finding in found.findings:
        yield f"  {finding.level}: {finding.message}"
        if finding.advice:
            yield f"      do: {finding.advice}"
    verdict = "a fetch would work" if not found.exit_code else f"a fetch would end with exit code {found.exit_code}"
    yield f"Verdict: {verdict}"


_WIDE = 48  # longer values push nothing aside


def _spell_source(source: SourceSeen) -> Iterator[str]:
    role = "origin" if source.is_origin else "mirror"
    way = f"through {source.proxy}" if source.proxy else "direct"
    yield f"  {source.name} ({role}, {way})"
    for step in source.steps:
        yield f"    {step.name:<8}  {_spell_time(step):>8}  {'' if step.ok else 'FAILED: '}{step.detail}".rstrip()


def _spell_time(step: Step) -> str:
    milliseconds = step.seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{step.seconds:.1f} s"  # noqa: PLR2004


def _spell_folder(folder: FolderSeen) -> str:
    if folder.trouble:
        return f"{folder.role}: FAILED: {folder.trouble}"
    free = "free space unknown" if folder.free_bytes is None else f"{spell_bytes(folder.free_bytes)} free"
    links = "symbolic links" if folder.symlinks else "no symbolic links"
    hard = "hard links" if folder.hard_links else "no hard links"
    return f"{folder.role}: {folder.path}: writable, {free}, {links}, {hard}"
