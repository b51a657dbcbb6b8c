import pytest

from tests.support.trials import trials


@pytest.fixture(scope="session")
def workers():
    """Processes that run a command in 0.3 s, as many as keep two cores busy."""
    with trials(4) as running:
        yield running
