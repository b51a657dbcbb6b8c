"""Faults by name, as data: everything that mirrors were seen to do wrong, and what tests think they might.

Decides how each fault changes an answer, or what a mirror believes its repositories are. Deliberately
does not know when a fault strikes: ``Fault`` carries that as data and the server counts.

``fault("flip-bits", every=2)`` makes one; a bare name is enough wherever a server takes faults. Every
fault takes these besides its own parameters:

    path   glob over the repository path (or, for API requests, the URL's path); ``*`` crosses ``/``
    where  kind of request: info, tree, api (both), resolve (redirects to content), content, other, any
    skip   let so many matching requests pass first
    every  then strike each n-th
    times  at most so often; None is for ever
"""

from __future__ import annotations

from typing import Any

from chunkdl.testing.faults import bodies, heads, listings
from chunkdl.testing.faults.base import KINDS, Fault

__all__ = ["Fault", "as_fault", "fault", "fault_names"]

# Importing a module registers its kinds.
_MODULES = (bodies, heads, listings)


def fault(name: str, **parameters: Any) -> Fault:
    """Make the fault of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in KINDS:
        raise ValueError(f"no fault is called {name!r}; there are: {', '.join(fault_names())}")
    return KINDS[name](**parameters)


def fault_names() -> tuple[str, ...]:
    """Return the names of all faults, sorted."""
    return tuple(sorted(KINDS))


def as_fault(value: Fault | str) -> Fault:
    """Let a bare name stand for the fault with default parameters."""
    return fault(value) if isinstance(value, str) else value
