import os

import pytest

from tests.support.trials import trials

# Becoming other users takes root, which containers of a CI are and people are not.
collect_ignore = [] if os.geteuid() == 0 else ["test_group_shared.py"]


@pytest.fixture(scope="session")
def workers():
    """Processes that run a command in 0.3 s, as many as keep two cores busy."""
    with trials(4) as running:
        yield running
