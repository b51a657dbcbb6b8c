"""How long signed URLs are used, what a quota moves elsewhere, and how two names of one data host share it."""

import asyncio
from dataclasses import replace

import pytest
from support.peers import turns_until

from chunkdl.testing import MirrorServer, fault
from tests.support.scene import SIZE, Scene, assert_placed, small_repo

MODEL = "model.safetensors"
BODY = {"where": "content", "path": MODEL}


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def resolved(server):
    return [each.status for each in server.log if not each.request.on_cdn and each.subject == MODEL]


def fetched(server):
    """All of the CDN's answers: one to a URL that has expired is about no file that the server knows."""
    return [each.status for each in server.log if each.request.on_cdn]


def test_a_signed_url_is_asked_for_once_for_many_requests(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], signed_urls=True, rate_bytes_per_s=8 << 20) as origin:
            assert_placed(await scene.fetch(settings=scene.settings(origin)), repo)
            return resolved(origin), fetched(origin)

    asked, given = asyncio.run(work())
    assert set(given) == {206}
    assert len(given) > len(asked)


def test_it_is_renewed_before_its_end_and_no_request_meets_that(scene):
    """The transfer takes three lives of a URL, and nobody ever sees a 403."""

    async def work():
        repo = small_repo()
        how = {"signed_urls": True, "signed_url_ttl_s": 4.0, "rate_bytes_per_s": 2 << 20}
        async with MirrorServer([repo], **how) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
            assert_placed(report, repo)
            return resolved(origin), fetched(origin), report

    asked, given, report = asyncio.run(work())
    assert set(given) == {206}
    assert len(asked) >= 3
    assert report.hosts[0].errors == 0


def test_one_that_is_revoked_is_resolved_again_and_nobody_is_blamed(scene):
    async def work():
        repo = small_repo()
        async with MirrorServer([repo], signed_urls=True, rate_bytes_per_s=8 << 20) as origin:
            fetching = asyncio.ensure_future(scene.fetch(settings=scene.settings(origin)))
            await turns_until(lambda: origin.bytes_served > SIZE // 4)
            origin.expire_signed_urls()
            report = await fetching
            assert_placed(report, repo)
            return fetched(origin), report

    given, report = asyncio.run(work())
    assert given.count(403) >= 1
    assert report.hosts[0].errors == 0


def test_a_403_of_a_fresh_url_counts_and_its_reason_is_told(scene):
    async def work():
        repo = small_repo()
        async with (
            MirrorServer([repo], signed_urls=True, signed_url_ttl_s=0.0) as mirror,
            MirrorServer([repo]) as origin,
        ):
            report = await scene.fetch(settings=scene.settings(origin, mirror))
            assert_placed(report, repo)
            return mirror.url.removeprefix("http://"), report

    name, report = asyncio.run(work())
    [refused] = [each for each in report.hosts if name in each.mirrors]
    assert refused.errors > 0
    assert "AccessDenied: Request has expired" in refused.reason
    assert "403" in refused.reason


@pytest.mark.parametrize("status", ["status-429", "status-503"])
def test_a_quota_moves_the_work_and_is_not_slept_through(scene, status):
    """A whole hour is asked for: whoever slept would not be done within this test's limit."""

    async def work():
        repo = small_repo()
        quota = fault(status, skip=2, retry_after_s=3600, **BODY)
        how = {"rate_bytes_per_s": 12 << 20}
        async with MirrorServer([repo], **how) as origin, MirrorServer([repo], faults=[quota], **how) as mirror:
            report = await scene.fetch(settings=scene.settings(origin, mirror))
            assert_placed(report, repo)
            return report, [each.status for each in mirror.log if each.subject == MODEL], mirror.url

    report, answered, url = asyncio.run(work())
    host = next(each for each in report.hosts if url.endswith(each.host))
    refusals = [each for each in answered if each >= 400]
    assert host.bytes > 0
    assert 1 <= len(refusals) <= 16  # what was under way together when the first one came back
    assert host.state == "cooling"
    assert refusals[0] == int(status.removeprefix("status-"))


def test_two_names_of_one_data_host_share_its_cap_and_its_blame(scene):
    async def work():
        repo = small_repo()
        refusing = [fault("status-503", **BODY)]
        async with (
            MirrorServer([repo], signed_urls=True, per_connection_bytes_per_s=2 << 20) as first,
            MirrorServer([repo], signed_urls=True, cdn=first) as second,
            MirrorServer([repo], faults=refusing) as origin,
        ):
            settings = scene.settings(origin, first, second)
            capped = tuple(replace(each, max_connections=3) for each in settings.mirrors)
            fetching = asyncio.ensure_future(scene.fetch(settings=replace(settings, mirrors=capped)))
            # Before their first answers nobody knows that they lead to one place; from then on it is one.
            await turns_until(lambda: first.bytes_served > SIZE // 4)
            crowd = first.bodies
            report = await fetching
            assert_placed(report, repo)
            cdn = first.cdn_url.removeprefix("http://")
            return crowd, next(each for each in report.hosts if each.host == cdn)

    crowd, cdn = asyncio.run(work())
    assert len(cdn.mirrors) == 2
    assert cdn.bytes >= SIZE
    assert crowd <= 3
