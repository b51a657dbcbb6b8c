"""How few descriptors are shared out, and what is said when they are too few."""

import resource

import pytest

from chunkdl import descriptors
from chunkdl.descriptors import Share, raised_limit, share_out
from chunkdl.errors import StoreBroken

WANTED = {"parts": 64, "connections": 16}


@pytest.fixture
def limits(monkeypatch):
    """The two limits of an imagined process."""
    now = [256, 1024]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: now.__setitem__(slice(None), both))
    return now


def test_the_common_limits_give_a_run_all_that_it_wants():
    assert share_out(1024, hosts=3, **WANTED) == Share(64, 16)
    assert share_out(256, hosts=2, **WANTED) == Share(64, 16), "macOS"


@pytest.mark.parametrize("allowed", range(28, 300, 7))
@pytest.mark.parametrize("hosts", [1, 2, 5])
def test_few_are_shared_so_that_all_fit_and_everybody_has_one(allowed, hosts):
    share = share_out(allowed, hosts=hosts, **WANTED)
    assert share.parts >= 1
    assert share.connections >= 1
    assert 3 * share.parts + share.connections * hosts + 16 <= allowed


def test_the_soft_limit_is_raised_to_what_is_allowed_and_sensible(limits):
    assert raised_limit() == 1024
    assert limits == [1024, 1024]
    limits[:] = [256, resource.RLIM_INFINITY]
    assert raised_limit() == 4096


def test_a_limit_that_is_high_already_stays(limits):
    limits[:] = [100_000, 200_000]
    assert raised_limit() == 4096
    assert limits == [100_000, 200_000]


def test_a_system_that_refuses_to_raise_goes_on_with_what_there_is(limits, monkeypatch):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raised_limit() == 256


def test_so_few_that_nothing_works_are_refused_with_the_remedy(limits):
    limits[:] = [20, 20]
    with pytest.raises(StoreBroken, match="only 20 files") as told:
        raised_limit()
    assert "ulimit -n" in told.value.hint
    assert descriptors.limit() == 20
