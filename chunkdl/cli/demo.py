"""``chunkdl demo``: see it work without internet, and believe nothing: the result is hashed once more at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chunkdl.cli.display import MODES, open_display
from chunkdl.cli.errors import INTERNAL_EXIT_CODE, say_failures
from chunkdl.cli.output import Output
from chunkdl.cli.running import run_until_stopped
from chunkdl.cli.sections import TeachingCommand
from chunkdl.cli.stopping import Stopping, exit_code_of
from chunkdl.spelling import spell_bytes, spell_duration, spell_rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chunkdl.cli.demo_scene import Scene
    from chunkdl.cli.surroundings import Surroundings
    from chunkdl.report import Report

_EXAMPLES = (
    ("chunkdl demo", "fetch a generated model from a slow, a stalling and a lying mirror"),
    ('ls -l "$(chunkdl demo --keep)"', "the same, and keep it; stdout is the model's folder"),
)


@click.command("demo", cls=TeachingCommand, examples=_EXAMPLES)
@click.option("--keep", is_flag=True, help="Keep the temporary folder and print the model's path on stdout.")
@click.option("--progress", type=click.Choice(MODES), default="auto", help="As for fetch.")
@click.pass_obj
def demo(around: Surroundings, /, *, keep: bool, progress: str) -> int:
    """Fetch a small generated model from three bad mirrors on this machine.

    Takes 10 to 20 seconds and no internet. Your caches, settings and environment are not touched.
    """
    with _home(keep=keep) as home:
        return _Demo(around, home, keep=keep, progress=progress).run()


@contextmanager
def _home(*, keep: bool) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="chunkdl-demo-"))
    try:
        yield home
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


class _Demo:
    def __init__(self, around: Surroundings, home: Path, *, keep: bool, progress: str) -> None:
        self._around = around
        self._home = home
        self._keep = keep
        self._display = open_display(progress, around, quiet=False)

    def run(self) -> int:
        """Play the scene and tell what happened; the exit code is that of the fetch."""
        with Stopping(lambda _code: None, self._around.leave) as stopping:
            scene = self._set()
            report = run_until_stopped(lambda: scene.play(self._display.watch), stopping, self._display.tick)
            self._display.close()
            if report is None:
                assert stopping.signum is not None
                self._display.say("error", "interrupted; begin again with: chunkdl demo")
                return exit_code_of(stopping.signum)
            say_failures(self._display, report)
            return report.exit_code or self._tell(scene, report)

    def _set(self) -> Scene:
        from chunkdl.cli.demo_scene import WEIGHTS_BYTES, Scene  # noqa: PLC0415 - brings servers and pipeline along

        self._text(
            f"One generated model, {spell_bytes(WEIGHTS_BYTES)} of weights, on three bad mirrors on this machine:"
        )
        scene = Scene(self._home)
        for each in scene.characters:
            self._text(f"  {each.name:<9} {each.vice}")
        self._text(f"Fetching it from all three into {self._home}")
        return scene

    def _tell(self, scene: Scene, report: Report) -> int:
        for line in (*_spell_hosts(report), *scene.caught(), *_spell_totals(report)):
            self._text(f"  {line}")
        path = Path(report.results[0].path or "")
        proven = scene.is_proven(path)
        self._text(f"  proof: the weights hashed once more, here: {'right' if proven else 'WRONG'}")
        if self._keep:
            self._text(f"Kept in {self._home}")
            Output(self._around.stdout).line(os.fsencode(path))
        else:
            self._text(f"Placed in {path}, removed now; --keep keeps it")
        return 0 if proven else INTERNAL_EXIT_CODE

    def _text(self, line: str) -> None:
        self._display.say("text", line)


def _spell_hosts(report: Report) -> Iterator[str]:
    for each in report.hosts:
        trouble = f", {each.errors} times cut for silence or errors" if each.errors else ""
        excluded = ", then excluded" if each.state == "excluded" else ""
        yield f"{'+'.join(each.mirrors):<9} gave {spell_bytes(each.bytes)} in {each.leases} answers{trouble}{excluded}"


def _spell_totals(report: Report) -> Iterator[str]:
    totals, left_out = report.totals, report.results[0].left_out
    yield f"left out: {left_out.files} files, {spell_bytes(left_out.bytes)}: the same weights in older formats"
    yield (
        f"in all: {spell_bytes(totals.bytes_fetched)} in {spell_duration(totals.wall_s)}, "
        f"{spell_rate(totals.goodput_bytes_per_s)}; {spell_bytes(totals.bytes_wasted)} more came in vain"
    )
