"""The installed huggingface_hub, if there is one: its version, its errors, its HTTP library.

Decides which versions are known. Imports it only when something of it is needed, and never its private parts.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from chunkdl.errors import UsageError

# Major versions whose signatures, errors and client hook were read and tested.
KNOWN_MAJORS = (1, 2)


@cache
def hub() -> Any | None:
    """The package, or None if it is not installed; warns once about a version that nobody here has seen."""
    try:
        found = version("huggingface_hub")
    except PackageNotFoundError:
        return None
    major = re.match(r"\d+", found)
    if major is None or int(major[0]) not in KNOWN_MAJORS:
        known = " and ".join(f"{each}.x" for each in KNOWN_MAJORS)
        warnings.warn(
            f"chunkdl was tested with huggingface_hub {known}; {found} may mean other things by the same names",
            stacklevel=3,
        )
    return import_module("huggingface_hub")


def hub_errors() -> Any | None:
    """Its module of errors, or None."""
    return import_module("huggingface_hub.errors") if hub() is not None else None


def http_library() -> Any:
    """The HTTP library that its errors and clients are made of: httpx before 2.0, httpx2 since.

    Raises:
        UsageError: there is no huggingface_hub, or one that uses neither.
    """
    errors = hub_errors()
    bases = errors.HfHubHTTPError.__mro__ if errors is not None else ()
    names = (each.__module__.partition(".")[0] for each in bases)
    name = next((each for each in names if each.startswith("httpx")), None)
    if name is None:
        hint = "pip install 'huggingface_hub>=2.4,<3'"
        raise UsageError("this needs huggingface_hub 1.x or 2.x", hint=hint)
    return import_module(name)
