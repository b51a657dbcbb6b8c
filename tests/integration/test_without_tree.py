"""Origins and mirrors that have model info but no tree API: older caches, a lab's own server."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.scene import Scene, assert_placed

NO_LISTING = ("no-tree", "no-blobs")
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "model.safetensors": SeededContent(11, 6 << 20),
    "nested/odd #1%+名.txt": b"odd",
}
COUNT = len(FILES)
REPO = HubRepo("org/name", FILES)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def fetch(scene, *, mirrors=(), reference="org/name", repo=REPO, **server):
    """Fetch from an origin that is made of ``server``; return the report and the origin with its log."""
    origin = MirrorServer([repo], **server)

    async def work():
        async with AsyncExitStack() as stack:
            for each in (origin, *mirrors):
                await stack.enter_async_context(each)
            # strict: mirrors are asked once, after the origin; under auto a race may ask them once before it, too
            settings = scene.settings(origin, *mirrors, trust="strict")
            return await scene.fetch(reference, settings=settings, format="all")

    return asyncio.run(work()), origin


def metadata(origin):
    """Requests for headers alone, by method: HEAD, and GET of the first byte."""
    asked = (each.request for each in origin.log)
    return Counter(
        each.method for each in asked if each.method == "HEAD" or each.headers.get("range", "") == "bytes=0-0"
    )


def listings(origin):
    return [each.request.target for each in origin.log if each.subject.startswith("api/models/")]


def assert_right(report, repo=REPO):
    assert_placed(report, repo)
    assert report.exit_code == 0
    result = report.results[0]
    assert {each.path: each.digest.partition(":")[2] for each in result.files} == {
        path: each.digest for path, each in repo.entries.items()
    }
    assert (result.authority, result.authenticated) == ("origin", True)


def test_where_there_is_a_tree_no_file_is_asked_for_by_itself(scene):
    report, origin = fetch(scene)
    assert_right(report)
    assert metadata(origin) == {}
    assert len(listings(origin)) == 2


def test_model_info_with_blobs_spares_every_head(scene):
    report, origin = fetch(scene, faults=["no-tree"])
    assert_right(report)
    assert metadata(origin) == {}
    assert listings(origin) == [
        "/api/models/org/name/revision/main",
        f"/api/models/org/name/tree/{REPO.commit}?recursive=true&expand=false",
        f"/api/models/org/name/revision/{REPO.commit}?blobs=true",
    ]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_one_head_a_file_describes_the_rest(scene, status):
    faults = [fault("no-tree", status=status), "no-blobs"]
    report, origin = fetch(scene, faults=faults, redirects_small=False)
    assert_right(report)
    assert metadata(origin) == {"HEAD": COUNT}
    assert len(listings(origin)) == 3


def test_signed_urls_are_not_followed_for_it_and_small_redirects_are(scene):
    report, origin = fetch(scene, faults=NO_LISTING, signed_urls=True)
    assert_right(report)
    # large: one answer says all; small: twice the redirect, since the first was not followed, and its target
    assert metadata(origin) == {"HEAD": 1 + 3 * (COUNT - 1)}
    assert not [each for each in origin.log if each.request.on_cdn and each.request.method == "HEAD"]


def test_where_head_is_refused_the_first_byte_of_each_is_asked_for(scene):
    report, origin = fetch(scene, faults=[*NO_LISTING, "refuse-head", "no-linked-size"], redirects_small=False)
    assert_right(report)
    # HEAD is tried once; the empty file is beyond any range (416)
    assert metadata(origin) == {"HEAD": 1, "GET": COUNT}


def test_where_head_tells_no_size_too(scene):
    unsized = fault("no-content-length", path="*.json")
    report, origin = fetch(scene, faults=[*NO_LISTING, unsized, "no-linked-size"], redirects_small=False)
    assert_right(report)
    assert metadata(origin) == {"HEAD": COUNT, "GET": 1}


def test_a_server_that_ignores_ranges_tells_its_size_all_the_same(scene):
    faults = [*NO_LISTING, "refuse-head", "no-linked-size", "ignore-range"]
    report, origin = fetch(scene, faults=faults, redirects_small=False)
    assert_right(report)
    assert metadata(origin)["HEAD"] == 1


@pytest.mark.parametrize("etag", ['"0123456789abcdef0123456789abcdef-10"', f'W/"{"a" * 64}"', '"66f0c0de-600000"'])
def test_without_digests_nothing_is_fetched(scene, etag):
    report, origin = fetch(scene, faults=[*NO_LISTING, fault("foreign-etag", etag=etag)], redirects_small=False)
    error = report.results[0].error
    assert (report.exit_code, error.code) == (7, "policy")
    assert "names no digest of 'config.json'" in error.message
    assert error.hint
    assert metadata(origin) == {"HEAD": 1, "GET": 1}
    assert scene.litter() == []


def test_a_wrong_digest_is_found_out_by_the_bytes(scene):
    lie = fault("wrong-etag", path="config.json")
    report, _ = fetch(scene, faults=[*NO_LISTING, lie], redirects_small=False)
    assert report.exit_code == 5
    assert "config.json" in report.results[0].error.message


def test_the_listing_is_as_good_as_a_tree_to_a_mirror(scene):
    mirror = MirrorServer([REPO])
    report, origin = fetch(
        scene, mirrors=[mirror], faults=NO_LISTING, redirects_small=False, rate_bytes_per_s=1_000_000
    )
    assert_right(report)
    assert mirror.bytes_served > 0
    assert metadata(mirror) == {}
    assert metadata(origin) == {"HEAD": COUNT}


def test_a_mirror_without_a_tree_proves_what_it_holds(scene):
    mirror = MirrorServer([REPO], faults=NO_LISTING, redirects_small=False)
    report, _ = fetch(scene, mirrors=[mirror], rate_bytes_per_s=2_000_000)
    assert_right(report)
    assert metadata(mirror) == {"HEAD": COUNT}
    assert mirror.bytes_served > 0


def test_a_legacy_name_and_another_kind_of_repository(scene):
    legacy = HubRepo("bert", FILES, canonical_id="google-bert/bert")
    report, origin = fetch(scene, repo=legacy, reference="bert", faults=NO_LISTING, redirects_small=False)
    assert_right(report, legacy)
    assert metadata(origin) == {"HEAD": COUNT}
    dataset = HubRepo("org/data", FILES, repo_type="dataset")
    report, origin = fetch(scene, repo=dataset, reference="datasets/org/data", faults=NO_LISTING, redirects_small=False)
    assert_right(report, dataset)


def test_a_gated_repository_says_so(scene):
    gated = HubRepo("org/name", FILES, gated="auto")
    report, _ = fetch(scene, repo=gated, faults=NO_LISTING)
    assert report.exit_code == 3
    assert "gated" in report.results[0].error.message
