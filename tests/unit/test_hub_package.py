"""Which huggingface_hub is known, and what is said of the others."""

import types
import warnings

import pytest

from chunkdl.errors import ArtifactNotFound, UsageError
from chunkdl.integrations import hub_package
from chunkdl.integrations.hub_errors import as_hub_error
from chunkdl.integrations.hub_installed import _factory, installed


@pytest.fixture
def found(monkeypatch):
    """Pretend that a version is installed; None for none."""
    hub_package.hub.cache_clear()

    def version(wanted):
        def told(_name):
            if wanted is None:
                raise hub_package.PackageNotFoundError("huggingface_hub")
            return wanted

        monkeypatch.setattr(hub_package, "version", told)
        monkeypatch.setattr(hub_package, "import_module", lambda name: types.SimpleNamespace(__name__=name))

    yield version
    hub_package.hub.cache_clear()


@pytest.mark.parametrize("known", ["1.33.0", "2.4.0", "2.11.1"])
def test_known_versions_are_taken_without_a_word(found, known):
    found(known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hub_package.hub() is not None


@pytest.mark.parametrize("unknown", ["0.36.2", "3.0.0", "unreadable"])
def test_an_unknown_version_is_named(found, unknown):
    found(unknown)
    with pytest.warns(UserWarning, match=f"tested with huggingface_hub 1.x and 2.x; {unknown}"):
        hub_package.hub()
    hub_package.hub()  # said once


def test_without_it_our_own_errors_stay(found):
    found(None)
    error = ArtifactNotFound("not there", missing="file")
    assert as_hub_error(error, "https://hub.example/a") is error


def test_without_it_nothing_can_be_installed(found):
    found(None)
    with pytest.raises(UsageError, match="huggingface_hub"), installed("org/name"):
        raise AssertionError("not reached")


def test_a_hub_that_hides_its_factory_gets_clients_like_its_own_back():
    class Client:
        def __init__(self, **shown):
            self.__dict__.update(shown)

    now = Client(event_hooks={"request": [print]}, headers={"a": "b"}, timeout=3, follow_redirects=True)
    utils = types.SimpleNamespace(_http=types.SimpleNamespace(), get_session=lambda: now)
    again = _factory(types.SimpleNamespace(utils=utils))()
    assert again is not now
    assert vars(again) == vars(now)
