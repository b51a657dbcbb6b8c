"""An origin that was silent and comes back, or does not, while mirrors already serve."""

import asyncio
import time
from contextlib import contextmanager
from dataclasses import replace
from socket import create_server
from types import SimpleNamespace

import pytest

from chunkdl.identify.known import Known
from chunkdl.identify.references import parse_reference
from chunkdl.testing import HubRepo, MirrorServer
from tests.support.scene import Scene, assert_placed, small_repo

OLD = small_repo(2 << 20)
NEW = HubRepo("org/name", {**OLD.files, "config.json": b'{"new": true}'})


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@contextmanager
def mute():
    """Takes connections and never answers."""
    with create_server(("127.0.0.1", 0)) as listener:
        yield SimpleNamespace(url=f"http://127.0.0.1:{listener.getsockname()[1]}")


async def fetched(scene, settings):
    """A fetch whose origin is known to have been silent a moment ago: mirrors are asked at once."""
    await Known.of(settings).note_silence(time.time())
    return await scene.fetch(settings=settings)


def notices(report):
    return [each.code for each in report.notices]


def test_an_origin_that_stays_silent_does_not_hold_what_is_there(scene):
    async def work():
        with mute() as origin:
            async with MirrorServer([OLD]) as mirror:
                patient = scene.settings(origin, mirror, answer_s=90.0, metadata_s=90.0)
                report = await asyncio.wait_for(fetched(scene, patient), 60)  # a wait for the origin would take 90 s
                assert_placed(report, OLD)
                return report, await Known.of(patient).unconfirmed(parse_reference("org/name"))

    report, unconfirmed = asyncio.run(work())
    assert report.results[0].authority == "mirrors"
    assert unconfirmed.commit == OLD.commit


def test_a_branch_that_moved_on_meanwhile_is_a_notice(scene):
    async def work():
        moved = replace(NEW, older=(replace(OLD, branches=()),))
        async with MirrorServer([moved]) as origin, MirrorServer([OLD], rate_bytes_per_s=2 << 20) as mirror:
            report = await fetched(scene, scene.settings(origin, mirror))
            assert_placed(report, OLD)
            return report

    report = asyncio.run(work())
    result = report.results[0]
    assert (result.commit, result.authority) == (OLD.commit, "origin")
    assert notices(report) == ["one-mirror-unconfirmed", "newer-commit"]
    assert NEW.commit[:12] in report.notices[1].message


def test_other_contents_for_the_same_commit_place_nothing(scene):
    async def work():
        lying = HubRepo("org/name", {**OLD.files, "config.json": b"evil"}, commit=OLD.commit)
        async with MirrorServer([OLD]) as origin, MirrorServer([lying], rate_bytes_per_s=2 << 20) as mirror:
            return await fetched(scene, scene.settings(origin, mirror))

    report = asyncio.run(work())
    error = report.results[0].error
    assert report.exit_code == 7
    assert "lists other contents for this commit" in error.message
    assert "same command again" in error.hint
    assert not list(scene.cache.rglob("snapshots/*/*"))
