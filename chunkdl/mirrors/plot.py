"""A picture of an evaluation: goodput by mirror over the rounds, as SVG or PNG. The only importer of matplotlib.

Decides the drawing. matplotlib is an extra and takes half a second to import: ``check_plot`` says beforehand whether
it is there, so that nobody measures for two minutes for nothing.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING, Any

from chunkdl.disk import replacing, store_errors, write_all
from chunkdl.errors import UsageError
from chunkdl.model import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chunkdl.mirrors.measures import Trial

_FORMATS = ("svg", "png")
_INCHES = (8.0, 4.5)
_DOTS_PER_INCH = 120


def check_plot(path: Path) -> None:
    """Raise UsageError if ``path`` names no format that can be drawn, its folder is missing, or matplotlib is."""
    if _format(path) not in _FORMATS:
        raise UsageError(f"--plot {path}: only .svg and .png can be drawn")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.absolute().parent}")
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed", hint=f"{sys.executable} -m pip install matplotlib"
        ) from error


def draw(trials: Sequence[Trial], path: Path) -> None:
    """Draw the goodput of each round, several connections solid and one dashed; StoreError if it cannot be written."""
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    for index, each in enumerate(trial for trial in trials if trial.samples):
        colour = f"C{index % 10}"
        for several, style in ((True, "o-"), (False, "x--")):
            rates = [rate / MIB for rate in each.goodputs(several=several)]
            what = "several connections" if several else "one connection"
            axes.plot(range(1, len(rates) + 1), rates, style, color=colour, label=f"{each.mirror.name}, {what}")
    axes.set(xlabel="round", ylabel="goodput, MiB/s", title="Mirrors over the rounds", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    if axes.lines:
        axes.legend(fontsize="small")
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=_format(path), dpi=_DOTS_PER_INCH)
    with store_errors(path), replacing(path, sync=False) as fd:
        write_all(fd, buffer.getvalue(), 0)


def _format(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
