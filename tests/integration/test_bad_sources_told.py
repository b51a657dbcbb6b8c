"""What a person reads when a source is bad: one line that names it, and the next step.

Certificates and proxies have files of their own, and so has what bytes do; here are the rest, with real sockets.
"""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from test_bounded_waits import LIMITS, Listener

from chunkdl.pipeline import session as session_module
from chunkdl.testing import HubRepo, MirrorServer, fault
from tests.support.scene import Scene, assert_placed, small_repo

REPO = small_repo(2 << 20)
OTHER = HubRepo("org/name", {**REPO.files, "config.json": b'{"model_type": "gpt2"}'})  # as long as the true one
IMPATIENT = {"connect_s": 0.5, "origin_connect_s": 0.5, "answer_s": 0.7, "metadata_s": 1.5}
NETWORK = "check the network and HTTPS_PROXY"


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "SchedulerConfig", lambda: LIMITS)
    return Scene(tmp_path)


def told(scene, origin, *mirrors, **changes):
    """The error of a fetch, which must name the source and say what to do."""

    async def work():
        return await scene.fetch(settings=replace(scene.settings(origin, *mirrors), **changes))

    report = asyncio.run(work())
    error = report.results[0].error
    assert error is not None, report
    assert "\n" not in error.message + error.hint
    assert error.hint
    return report.exit_code, error


def at(url):
    return SimpleNamespace(url=url)


def test_nobody_listens(scene):
    code, error = told(scene, at("http://127.0.0.1:9"))
    assert (code, error.message) == (4, "no authority answers: no answer from 127.0.0.1:9 (Connection refused)")
    assert NETWORK in error.hint


def test_packets_go_nowhere(scene):
    with Listener(full=True) as hole:
        code, error = told(scene, hole, **IMPATIENT)
    assert code == 4
    assert hole.url.removeprefix("http://") in error.message
    assert "within" in error.message


def test_an_origin_that_hangs(scene):
    with Listener() as mute:
        code, error = told(scene, mute, **IMPATIENT)
    assert code == 4
    assert f"{mute.url.removeprefix('http://')} sent no answer within 0.7 s" in error.message
    assert "HTTPS_PROXY" in error.hint


def test_a_name_that_does_not_exist(scene):
    code, error = told(scene, at("http://no-such-mirror.invalid"))
    assert code == 4
    assert "no-such-mirror.invalid" in error.message
    assert "resolve" in error.message
    assert "resolver" in error.hint


def serving(scene, repo, *faults, **changes):
    with MirrorServer([repo], faults=faults, **changes).in_thread() as server:
        return server.url.removeprefix("http://"), *told(scene, server)


def test_a_captive_portal(scene):
    place, code, error = serving(scene, REPO, fault("html-200", where="any"))
    assert code == 4
    assert place in error.message
    assert "login page" in error.hint


def test_a_captive_portal_before_the_files_alone(scene):
    place, code, error = serving(scene, REPO, fault("html-200", where="content"))
    assert code == 4
    assert f"{place} sent an HTML page" in error.message
    assert "same command again" in error.hint


@pytest.mark.parametrize(
    "etag", ['"0123456789abcdef0123456789abcdef-10"', f'W/"{"a" * 64}"', f'"{"b" * 32}"'], ids=["olah", "weak", "md5"]
)
def test_etags_that_are_no_digests(scene, etag):
    """A hub without a tree, whose headers are all there is: nothing can be proven, and it says so."""
    place, code, error = serving(scene, REPO, fault("no-tree"), fault("no-blobs"), fault("foreign-etag", etag=etag))
    assert code == 7
    assert place in error.message


def beside(scene, repo, *faults):
    """The report of a fetch from an honest origin and one mirror, whose place it is."""

    async def work():
        async with (
            MirrorServer([REPO], rate_bytes_per_s=2 << 20) as origin,
            MirrorServer([repo], faults=faults) as mirror,
        ):
            report = await scene.fetch(settings=scene.settings(origin, mirror))
            assert_placed(report, REPO)
            return next(each for each in report.hosts if mirror.url.endswith(each.host)), mirror.bytes_by_file

    return asyncio.run(work())


def test_the_right_sizes_under_another_commit(scene):
    """It lags: what its digests prove is taken from it, the rest is not, and the report says how it differs."""
    host, served = beside(scene, OTHER)
    assert OTHER.commit[:12] in host.lag
    assert "config.json" not in served


def test_a_listing_that_its_bytes_contradict(scene):
    host, _ = beside(scene, REPO, fault("flip-bits", where="content"))
    assert host.state == "excluded"
    assert "wrong" in host.reason
