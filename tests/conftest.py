from __future__ import annotations

import os
from pathlib import Path

import hypothesis

# No deadline: a loaded machine is no bug. CHUNKDL_EXAMPLES raises the number for a thorough run.
hypothesis.settings.register_profile(
    "chunkdl",
    deadline=None,
    max_examples=int(os.environ.get("CHUNKDL_EXAMPLES", "100")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("chunkdl")

LOADERS = Path(__file__).parent / "loaders"


def pytest_ignore_collect(collection_path, config):
    """The oracles need a venv of their own (scripts/loaders): only a run that names them collects them."""
    if collection_path == LOADERS:
        named = [Path(each.split("::")[0]).resolve() for each in config.args]
        return None if any(each.is_relative_to(LOADERS) for each in named) else True
    return None
