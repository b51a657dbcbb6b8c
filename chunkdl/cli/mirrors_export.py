"""``chunkdl mirrors export``: lay out what the cache holds as a mirror of your own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chunkdl.cli.display import open_display
from chunkdl.cli.errors import Interrupted, resume_command, say_error, tell
from chunkdl.cli.output import Output
from chunkdl.cli.sections import TeachingCommand
from chunkdl.cli.stopping import Stopping
from chunkdl.errors import ChunkdlError
from chunkdl.report import SCHEMA
from chunkdl.share.listen_address import DEFAULT_LISTEN, parse_listen
from chunkdl.spelling import spell_bytes, spell_count

if TYPE_CHECKING:
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.progress_lines import Display
    from chunkdl.settings import Settings
    from chunkdl.share.export import Exported
    from chunkdl.share.folder import MirrorFolder

_EXAMPLES = (
    ("chunkdl fetch bert-base-uncased --format all", "first have all of it"),
    ("chunkdl mirrors export bert-base-uncased /srv/hub", "then lay it out; adds to what is there"),
    ("chunkdl serve /srv/hub --listen 0.0.0.0:8650", "offer it to the lab; or with nginx:"),
    ("nginx -p /srv/hub -c nginx.conf", "the same by plain nginx (export with --listen 0.0.0.0:8650)"),
    ("HF_ENDPOINT=http://server:8650 hf download bert-base-uncased", "any client of the hub; or a faster one:"),
    ("chunkdl fetch bert-base-uncased --add-mirror http://server:8650", "one more source beside the others"),
)


@click.command("export", cls=TeachingCommand, examples=_EXAMPLES, short_help="Lay out cached files as a mirror.")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--cache-dir", metavar="DIR", type=click.Path(file_okay=False), help="Cache instead of HF_HUB_CACHE.")
@click.option("--listen", default=DEFAULT_LISTEN, metavar="ADDRESS:PORT", show_default=True, help="For nginx.conf.")
@click.option("--nginx", "print_config", is_flag=True, help="Print nginx's configuration; DIR/nginx.conf is the same.")
@click.option("--restricted", is_flag=True, help="Also what the origin calls gated or private.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object, on failure too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
@click.pass_obj
def export(around: Surroundings, /, **arguments: Any) -> int:
    """Offer what the cache holds of each REF in DIR, every file proven and, where possible, a hard link."""
    return _Command(around, **arguments).run()


class _Command:
    """One export, told as it goes."""

    def __init__(self, around: Surroundings, **arguments: Any) -> None:
        self._around = around
        self._arguments = arguments
        self._display: Display = open_display("none", around, quiet=arguments["quiet"])
        self._output = Output(around.stdout)
        self._exported: list[Exported] = []
        self._errors: list[tuple[str, ChunkdlError]] = []

    def run(self) -> int:
        """Try every reference; the first failure's code counts, unless a signal ended it."""
        with Stopping(self._interrupted, self._around.leave) as stopping:
            config = ""
            try:
                config = self._run()
            except ChunkdlError as error:
                self._failed("", error)
            except KeyboardInterrupt:
                if stopping.signum is None:
                    raise
                return self._interrupted(stopping.exit_code) if stopping.may_speak() else stopping.exit_code
            return self._tell(config) if stopping.may_speak() else stopping.exit_code

    def _interrupted(self, code: int) -> int:
        hint = f"run it again, which adds what is missing: {resume_command(self._around.argv)}"
        self._failed("", Interrupted("interrupted", code, hint=hint))
        if self._arguments["as_json"]:
            self._output.text(json.dumps(self._report(code)))
        return code

    def _tell(self, config: str) -> int:
        code = self._errors[0][1].exit_code if self._errors else 0
        if self._arguments["as_json"]:
            self._output.text(json.dumps(self._report(code)))
        elif self._arguments["print_config"]:
            self._output.text(config.rstrip("\n"))
        elif self._exported:
            self._output.line(os.fsencode(self._arguments["folder"].absolute()))
        return code

    def _run(self) -> str:
        from chunkdl.settings import Flags, load_settings  # noqa: PLC0415 - --help must not pay for it
        from chunkdl.share.export import prepare, write_config  # noqa: PLC0415
        from chunkdl.share.folder import MirrorFolder  # noqa: PLC0415

        parse_listen(self._arguments["listen"])
        cache_dir = self._arguments["cache_dir"]
        flags = Flags(cache_dir=Path(cache_dir) if cache_dir else None)
        settings = load_settings(self._around.environ, None, flags, self._around.folder)
        folder = MirrorFolder(self._arguments["folder"].absolute())
        prepare(folder, settings)
        for each in self._arguments["references"]:
            self._try(each, folder, settings)
        return write_config(folder, self._arguments["listen"])

    def _try(self, reference: str, folder: MirrorFolder, settings: Settings) -> None:
        from chunkdl.share.export import export as export_one  # noqa: PLC0415

        self._display.say("text", f"proving and laying out {reference}")
        try:
            done = export_one(reference, folder, settings, restricted=self._arguments["restricted"])
        except ChunkdlError as error:
            self._failed(reference, error)
            return
        self._exported.append(done)
        for notice in done.notices:
            self._display.say("note", notice)
        self._display.say("done", _spell(done))

    def _failed(self, reference: str, error: ChunkdlError) -> None:
        self._errors.append((reference, error))
        say_error(self._display, tell(error))

    def _report(self, code: int) -> dict[str, Any]:
        errors = [{"ref": reference, **asdict(tell(error))} for reference, error in self._errors]
        return {
            "schema": SCHEMA,
            "ok": code == 0,
            "exit_code": code,
            "folder": str(self._arguments["folder"].absolute()),
            "exported": [asdict(each) for each in self._exported],
            "errors": errors,
        }


def _spell(done: Exported) -> str:
    how = f", {spell_bytes(done.bytes_copied)} copied" if done.bytes_copied else ", as links"
    name = done.reference if done.reference == done.repo_id else f"{done.reference} ({done.repo_id})"
    return f"{name}: {spell_count(done.files, 'file')}, {spell_bytes(done.bytes)}{how}"
