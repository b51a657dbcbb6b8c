"""``chunkdl lock``: write down what references mean today, check it, export it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.answering import Answer, answer_stoppably
from chunkdl.cli.fetch import FORMATS
from chunkdl.cli.sections import SectionedOption, TeachingCommand
from chunkdl.errors import OfflineMiss, PolicyRefused, UsageError
from chunkdl.spelling import spell_bytes, spell_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chunkdl.cli.stopping import Stopping
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.identify.lockfile import Lock, LockedArtifact
    from chunkdl.observe import WatchedEvent
    from chunkdl.pipeline.locking import Compared

_EXAMPLES = (
    ("chunkdl lock bert-base-uncased org/name@v1.0 -o chunkdl.lock", "fix commit, sizes and digests; commit the file"),
    ("chunkdl lock torch:resnet50 https://host.example/model-0676ba61.pth", "single files with their digests, too"),
    ("chunkdl fetch --locked chunkdl.lock", "elsewhere: exactly these bytes, from any mirror, the hub asleep or not"),
    ("chunkdl lock --check", "has anything moved since? exit code 7 and a list if so"),
    ("chunkdl lock --export sha256sum > SHA256SUMS", "for sha256sum -c in the snapshot's folder"),
)
_choice = partial(click.option, cls=SectionedOption, section="What")
_source = partial(click.option, cls=SectionedOption, section="Where from")
# What a lock file fixes.
_SELECTION = ("revision", "include", "exclude", "weights_format", "variant", "quant")


@click.command("lock", cls=TeachingCommand, examples=_EXAMPLES, short_help="Write down what references mean today.")
@click.argument("references", metavar="[REF]...", nargs=-1)
@click.option(
    "-o", "--output", "path", default="chunkdl.lock", show_default=True, metavar="FILE", help="The lock file."
)
@click.option("--check", is_flag=True, help="Compare FILE with what its references mean now; change nothing.")
@click.option("--export", type=click.Choice(["sha256sum"]), help="Print FILE's digests; no network.")
@_choice("--revision", metavar="REV", help="Branch, tag or commit for a REF without an @revision.")
@_choice("--include", metavar="GLOB", multiple=True, help="Only files that match.")
@_choice("--exclude", metavar="GLOB", multiple=True, help="Not the files that match.")
@_choice("--format", "weights_format", type=click.Choice(FORMATS), default="auto", help="As for fetch.")
@_choice("--variant", metavar="NAME", help="As for fetch.")
@_choice("--quant", metavar="NAME", help="As for fetch.")
@_source("--origin", metavar="URL", help="The hub whose listing is believed.")
@_source("--mirror", "mirrors", metavar="URL", multiple=True, help="Instead of the configured ones.")
@_source("--add-mirror", "add_mirrors", metavar="URL", multiple=True, help="Beside the configured ones.")
@_source("--no-mirrors", is_flag=True, help="Ask the origin alone.")
@_source("--trust", type=click.Choice(("auto", "strict")), help="As for fetch.")
@_source("--online", is_flag=True, help="Ask even if HF_HUB_OFFLINE is set.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def lock(around: Surroundings, /, **arguments: Any) -> int:
    """Write down what each REF means now: commit, every file's size and digest, and whose word that is.

    Other references of FILE stay as they are. Locking again what has not changed changes no byte of it.
    """
    command = _Command(around, arguments)
    return answer_stoppably(
        around,
        command.run,
        as_json=arguments["as_json"],
        quiet=arguments["quiet"],
        empty={"lock": arguments["path"]},
        interrupted=f"interrupted; {arguments['path']} is as it was",
    )


class _Command:
    """One call of it."""

    def __init__(self, around: Surroundings, arguments: dict[str, Any]) -> None:
        self._around = around
        self._said = arguments
        self._path = Path(arguments["path"])
        self._notices: list[Any] = []

    def run(self, stopping: Stopping) -> Answer:
        said = self._said
        if said["check"] and said["export"]:
            raise UsageError("--check and --export exclude each other", hint="one after the other")
        if said["check"] or said["export"]:
            if said["references"]:
                raise UsageError(f"{self._path} says itself which references to look at", hint="leave REF out")
            if any(said[name] not in {None, (), "auto"} for name in _SELECTION):
                hint = "leave revision and selection out, or lock anew with them"
                raise UsageError(f"{self._path} says itself which revision and files", hint=hint)
            return self._export() if said["export"] else self._check(stopping)
        if not said["references"]:
            raise UsageError("lock needs at least one REF", hint="chunkdl lock org/name, or --check")
        return self._lock(stopping)

    def _lock(self, stopping: Stopping) -> Answer:
        from chunkdl.cli.running import run_or_raise  # noqa: PLC0415 - --help must not pay for it
        from chunkdl.identify.known_locks import remember_lock  # noqa: PLC0415
        from chunkdl.identify.lockfile import Lock  # noqa: PLC0415
        from chunkdl.pipeline.locking import lock_references, read_lock, write_lock  # noqa: PLC0415

        settings = self._settings()
        before = read_lock(self._path) if self._path.exists() else Lock()
        references = self._said["references"]
        options = self._options()
        made = run_or_raise(lambda: lock_references(references, options, settings, self._watch, before), stopping)
        written = write_lock(self._path, made)
        remember_lock(settings.state_dir, self._path)
        news = made.artifacts[: len(references)]
        verdict = "written" if written else "unchanged"
        notes = [f"{_spell(each)}" for each in news] + [f"{self._path}: {verdict}"]
        values = {"lock": str(self._path), "written": written, "artifacts": [_values(each) for each in news]}
        return Answer(values, [str(self._path)], self._notices, notes=notes)

    def _check(self, stopping: Stopping) -> Answer:
        from chunkdl.cli.running import run_or_raise  # noqa: PLC0415
        from chunkdl.pipeline.locking import compare_lock, first_error, read_lock  # noqa: PLC0415

        locked, settings = read_lock(self._path), self._settings()
        compared = run_or_raise(lambda: compare_lock(locked, settings, self._watch), stopping)
        error = first_error(compared)
        drifted = [each for each in compared if each.drift]
        lines = [line for each in compared for line in _spell_compared(each)]
        code = PolicyRefused.exit_code if drifted else error.exit_code if error else 0
        values = {"lock": str(self._path), "artifacts": [_compared_values(each) for each in compared]}
        verdict = "drifted: chunkdl lock follows" if drifted else "not wholly known" if error else "as locked"
        return Answer(values, lines, self._notices, exit_code=code, notes=[f"{self._path}: {verdict}"])

    def _export(self) -> Answer:
        from chunkdl.pipeline.locking import read_lock  # noqa: PLC0415

        made = read_lock(self._path)
        lines, others = _sums(made)
        notes = []
        if others:
            notes.append(
                f"{spell_count(others, 'file')} left out: of small files the hub names git's sha1, and torch the first "
                "digits of a sha256; chunkdl fetch --locked checks both"
            )
        return Answer({"lock": str(self._path), "sums": lines, "left_out": others}, lines, notes=notes)

    def _settings(self) -> Any:
        from chunkdl.settings import Flags, load_settings  # noqa: PLC0415

        said = self._said
        flags = Flags(
            origin=said["origin"],
            mirrors=said["mirrors"],
            add_mirrors=said["add_mirrors"],
            no_mirrors=said["no_mirrors"],
            trust=said["trust"],
            offline=False if said["online"] else None,
        )
        settings = load_settings(self._around.environ, None, flags, self._around.folder)
        if settings.offline:
            hint = "--online ignores it for this command"
            raise OfflineMiss(f"a lock asks the hub, and {settings.offline_because} forbids it", hint=hint)
        return settings

    def _options(self) -> Any:
        from chunkdl.api import FetchOptions  # noqa: PLC0415

        said = self._said
        return FetchOptions(
            revision=said["revision"],
            include=said["include"],
            exclude=said["exclude"],
            format=said["weights_format"],
            variant=said["variant"],
            quant=said["quant"],
        )

    def _watch(self, event: WatchedEvent) -> None:
        from chunkdl.observe import Notice  # noqa: PLC0415

        if isinstance(event, Notice) and event not in self._notices:
            self._notices.append(event)


def _sums(made: Lock) -> tuple[list[str], int]:
    """Lines for ``sha256sum -c``, and how many files have no sha256."""
    from chunkdl.model import DigestAlgorithm  # noqa: PLC0415

    files = [each for locked in made.artifacts for each in locked.files]
    named = [each for each in files if each.digest.algorithm is DigestAlgorithm.SHA256]
    return [f"{each.digest.hex}  {each.path}" for each in named], len(files) - len(named)


def _spell(locked: LockedArtifact) -> str:
    total = spell_bytes(sum(each.size for each in locked.files))
    if locked.reference.hub.names_files:
        return f"{locked.ref}: {locked.files[0].digest}, {total}"
    return f"{locked.ref}: commit {locked.commit}, {spell_count(len(locked.files), 'file')}, {total}"


def _spell_compared(compared: Compared) -> Sequence[str]:
    ref = compared.locked.ref
    if compared.error is not None:
        return [f"{ref}: not known: {compared.error.message}"]
    assert compared.now is not None
    moved = f" (commit {compared.locked.commit} -> {compared.now.commit})" if compared.moved else ""
    if not compared.drift:
        return [f"{ref}: as locked{moved}"]
    return [f"{ref}: drifted{moved}", *(f"  {line}" for line in compared.drift.lines())]


def _values(locked: LockedArtifact) -> dict[str, Any]:
    return {
        "ref": locked.ref,
        "repo": locked.reference.repo_id,
        "commit": locked.commit or None,
        "authority": locked.authority,
        "authenticated": locked.authenticated,
        "files": [{"path": each.path, "size": each.size, "digest": str(each.digest)} for each in locked.files],
    }


def _compared_values(compared: Compared) -> dict[str, Any]:
    error = compared.error
    return {
        "ref": compared.locked.ref,
        "commit": compared.locked.commit or None,
        "commit_now": compared.now.commit or None if compared.now else None,
        "drift": asdict(compared.drift) if compared.drift is not None else None,
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
    }
