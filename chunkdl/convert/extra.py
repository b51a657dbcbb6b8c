"""The libraries of the extra ``convert``: absent in most installations, and then said in one line."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

from chunkdl.errors import UsageError

_NEEDED = ("numpy", "ml_dtypes", "safetensors")


def require_extra() -> None:
    """Raise unless the extra is installed and can be imported.

    Raises:
        UsageError: with the command that installs it.
    """
    missing = [each for each in _NEEDED if find_spec(each) is None]
    if missing:
        raise UsageError(
            f"convert needs {', '.join(missing)}, which this installation lacks",
            hint=f"{sys.executable} -m pip install {' '.join(_NEEDED)}",
        )
    for each in _NEEDED:
        importlib.import_module(each)
