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
from chunkdl.testing import HubRepo, MirrorServer, fault
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


def test_a_ref_that_names_the_newer_commit_already_stays(scene):
    async def work():
        moved = replace(NEW, older=(replace(OLD, branches=()),))
        async with MirrorServer([moved]) as origin, MirrorServer([OLD], rate_bytes_per_s=2 << 20) as mirror:
            settings = scene.settings(origin, mirror)
            ref = scene.cache / "models--org--name" / "refs" / "main"
            ref.parent.mkdir(parents=True)
            ref.write_text(NEW.commit)  # as the stock client left it
            report = await fetched(scene, settings)
            return report, ref.read_text()

    report, ref = asyncio.run(work())
    assert (report.results[0].commit, report.results[0].authority) == (OLD.commit, "origin")
    assert ref == NEW.commit
    assert f"stays at {NEW.commit}" in report.notices[-1].message


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


async def once_listed(scene, settings):
    """What the origin said in an earlier run, of which nothing is left but the memory."""
    await scene.fetch(settings=settings, dry_run=True)
    await Known.of(settings).note_silence(time.time())


def test_an_origin_that_was_silent_is_asked_after_all_where_it_is_alone(scene):
    async def work():
        async with MirrorServer([OLD]) as origin:
            alone = scene.settings(origin)
            await once_listed(scene, alone)
            report = await scene.fetch(settings=alone)
            assert_placed(report, OLD)
            return report

    report = asyncio.run(work())
    assert report.results[0].authority == "origin"
    assert notices(report) == []


def test_a_repository_that_no_mirror_may_hear_of_comes_from_an_origin_that_was_silent(scene):
    async def work():
        gated = replace(OLD, gated="manual")
        async with MirrorServer([gated], token="hf_test") as origin, MirrorServer([OLD]) as mirror:
            settings = scene.settings(origin, mirror)
            settings = replace(settings, origin=replace(settings.origin, token="hf_test"))
            await once_listed(scene, settings)
            report = await scene.fetch(settings=settings)
            assert_placed(report, OLD)
            return mirror.requests

    assert asyncio.run(work()) == 0


def test_an_origin_that_comes_back_in_mid_run_gives_bytes(scene):
    """The mirror lists everything and gives only what is small: who brings the rest is the origin."""

    async def work():
        poor = fault("status", where="content", path="model.safetensors", status=404)
        async with MirrorServer([OLD]) as origin, MirrorServer([OLD], faults=[poor]) as mirror:
            report = await fetched(scene, scene.settings(origin, mirror))
            assert_placed(report, OLD)
            return report, origin.bytes_served

    report, from_origin = asyncio.run(work())
    assert report.results[0].authority == "origin"
    assert from_origin >= 2 << 20


def test_a_far_mirror_that_is_the_only_source_is_waited_for(scene):
    """The origin is silent, its listing is remembered, and the mirror takes 2.5 s to say that it has the same."""

    async def work():
        async with MirrorServer([OLD]) as origin, MirrorServer([OLD], latency_s=2.5) as mirror:
            settings = scene.settings(origin, mirror)
            await once_listed(scene, settings)
            origin.faults = [fault("accept-and-silent", where="any")]
            report = await scene.fetch(settings=settings)
            assert_placed(report, OLD)
            return report

    assert asyncio.run(work()).results[0].authority == "last-known"
