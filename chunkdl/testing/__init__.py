"""Mirrors for tests: a hub on loopback that is as slow, lossy or dishonest as you ask. Supported API.

    from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

    repo = HubRepo("org/name", {"config.json": b"{}", "model.safetensors": SeededContent(seed=1, size=50_000_000)})
    async with MirrorServer([repo], rate_bytes_per_s=5_000_000, faults=["ignore-range"]) as mirror:
        ...  # mirror.url speaks the hub's protocol; mirror.bytes_served, mirror.log tell what happened

    with MirrorServer([repo], faults=[fault("flip-bits", every=3)]).in_thread() as mirror:
        ...  # the same for synchronous code

    async with ModelScopeServer([repo], faults=["wrong-digest"]) as server:
        ...  # the same repository, rates, counters and faults, in ModelScope's protocol

``fault_names()`` lists the faults; ``help(chunkdl.testing.faults)`` says when they strike. ``bert_repo``
makes a repository shaped like bert-base-uncased. Nothing here needs more than the standard library, and
nothing is imported before it is used: the simulated network in this package must not pay for servers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chunkdl.testing.bert import bert_repo
    from chunkdl.testing.content import Content, SeededContent
    from chunkdl.testing.faults import Fault, fault, fault_names
    from chunkdl.testing.hub_repo import HubRepo
    from chunkdl.testing.mirror_process import MirrorProcess
    from chunkdl.testing.mirror_server import Logged, MirrorServer
    from chunkdl.testing.modelscope_server import ModelScopeServer

__all__ = [
    "Content",
    "Fault",
    "HubRepo",
    "Logged",
    "MirrorProcess",
    "MirrorServer",
    "ModelScopeServer",
    "SeededContent",
    "bert_repo",
    "fault",
    "fault_names",
]

_HOMES = {
    "Content": "content",
    "Fault": "faults",
    "HubRepo": "hub_repo",
    "Logged": "mirror_server",
    "MirrorProcess": "mirror_process",
    "MirrorServer": "mirror_server",
    "ModelScopeServer": "modelscope_server",
    "SeededContent": "content",
    "bert_repo": "bert",
    "fault": "faults",
    "fault_names": "faults",
}


def __getattr__(name: str) -> Any:
    """Import what was asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
