"""ModelScope as one more source of a hub's files: by content, said as it is, and never round a licence."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from chunkdl.observe import Notice
from chunkdl.settings import mirror_at
from chunkdl.testing import HubRepo, MirrorServer, ModelScopeServer, fault
from tests.support.modelscope_scene import COPY, COPY_ID, EXACT, FILES, OLDER, REPO, SECOND, WEIGHTS, by_content
from tests.support.scene import Scene, assert_placed

NAME = "bert-base-uncased"
NOWHERE = mirror_at("http://127.0.0.1:9", is_origin=True)  # the discard port: nobody listens


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def run(work):
    return asyncio.run(asyncio.wait_for(work(), 120))


def settings_of(scene, origin, *mirrors, **more):
    base = replace(scene.settings(origin), **more) if origin else replace(scene.settings(Dead()), **more)
    return replace(base, mirrors=mirrors)


class Dead:
    url = NOWHERE.url


def lag_of(report, server):
    name = mirror_at(server.url).name
    return next(each.lag for each in report.hosts if name in each.mirrors)


def test_without_an_origin_everything_comes_proven_and_the_run_says_from_where(scene):
    """One mirror of the hub, one that lags, one ModelScope; each gives what it can prove."""

    async def work():
        async with (
            MirrorServer([REPO], rate_bytes_per_s=20_000_000) as true,
            MirrorServer([OLDER], rate_bytes_per_s=20_000_000) as lagging,
            ModelScopeServer([COPY], signed_urls=True, rate_bytes_per_s=20_000_000) as scope,
        ):
            settings = settings_of(scene, None, mirror_at(true.url), mirror_at(lagging.url), by_content(scope))
            report = await scene.fetch(NAME, settings=settings)
            assert_placed(report, REPO)
            names = {each: mirror_at(each.url).name for each in (true, lagging, scope)}
            assert scope.bytes_by_file.keys() == {"one.safetensors"}
            assert lagging.bytes_by_file.keys() <= {"one.safetensors", "config.json", "model.safetensors.index.json"}
            assert scope.bytes_by_file["one.safetensors"] > 1 << 20
            assert true.bytes_by_file["two.safetensors"] >= SECOND.size
            served = true.bytes_served + lagging.bytes_served + scope.bytes_served
            assert served >= report.totals.bytes_fetched >= WEIGHTS.size + SECOND.size
            return report.as_json(), names[true], names[lagging], names[scope], lag_of(report, scope)

    said, true, lagging, scope, lag = run(work)
    [result] = said["results"]
    assert (said["ok"], result["commit"]) == (True, REPO.commit)
    assert (result["authority"], result["authenticated"]) == ("mirrors", False)
    assert {each["verified"] for each in result["files"]} == {"digest"}
    assert f"has {COPY_ID}@master of 2024-02-19: 1 of 2 files identical by sha256, 1 different, 0 absent" in lag
    assert "2 not comparable" in lag
    told = {each["code"]: each["message"] for each in said["notices"]}
    assert f"the word of one mirror, unconfirmed ({true})" in told["one-mirror-unconfirmed"]
    assert f"{lagging} has commit {OLDER.commit[:12]} of 2023-01-01" in told["mirrors-differ"]
    assert f"{scope} has {COPY_ID}@master" in told["copy-differs"]
    assert {name for each in said["hosts"] if each["bytes"] for name in each["mirrors"]} >= {true, scope}
    assert [each.code for each in scene.told(Notice)].count("copy-differs") == 1


def test_a_copy_that_agrees_is_a_second_voice(scene):
    async def work():
        async with MirrorServer([REPO]) as true, ModelScopeServer([EXACT]) as scope:
            settings = settings_of(scene, None, mirror_at(true.url), by_content(scope))
            report = await scene.fetch(NAME, settings=settings)
            assert_placed(report, REPO)
            return report, mirror_at(scope.url).name

    report, scope = run(work)
    told = {each.code: each.message for each in report.notices}
    assert "2 independent mirrors vouch for commit" in told["mirrors-vouch"]
    assert f"{scope} for the files that have a sha256" in told["mirrors-vouch"]
    assert report.results[0].authenticated is False


def test_a_story_that_modelscope_supports_beats_one_that_it_does_not(scene):
    async def work():
        newer = replace(OLDER, last_modified="2026-01-01T00:00:00.000Z")
        async with MirrorServer([newer]) as other, MirrorServer([REPO]) as true, ModelScopeServer([EXACT]) as scope:
            settings = settings_of(scene, None, mirror_at(other.url), mirror_at(true.url), by_content(scope))
            return await scene.fetch(NAME, settings=settings)

    assert run(work).results[0].commit == REPO.commit


def test_beside_an_origin_it_shares_the_work(scene):
    async def work():
        async with MirrorServer([REPO], rate_bytes_per_s=12_000_000) as origin, ModelScopeServer([EXACT]) as scope:
            report = await scene.fetch(NAME, settings=settings_of(scene, origin, by_content(scope)))
            assert_placed(report, REPO)
            assert scope.bytes_by_file.keys() == {"one.safetensors", "two.safetensors"}
            assert "2 of 2 files identical by sha256, 0 different, 0 absent" in lag_of(report, scope)
            assert report.notices == ()
            return scope.bytes_served

    assert run(work) > WEIGHTS.size // 4


@pytest.mark.parametrize(
    "bad",
    [
        "empty-body",
        fault("flip-bits"),
        fault("ignore-range"),
        fault("html-200"),
        fault("status-403"),
        fault("envelope-error"),
        fault("envelope-error", code=429),
        fault("status-500", where="tree"),
        fault("empty-body", where="tree"),
        fault("wrong-sha256"),
        fault("hostile-path"),
    ],
    ids=lambda each: each if isinstance(each, str) else f"{each.name}-{each.where}",
)
def test_whatever_is_wrong_with_it_the_fetch_is_right(scene, bad):
    async def work():
        slow = MirrorServer([REPO], rate_bytes_per_s=30_000_000)
        async with slow as origin, ModelScopeServer([EXACT], faults=[bad]) as scope:
            report = await scene.fetch(NAME, settings=settings_of(scene, origin, by_content(scope)))
            assert_placed(report, REPO)

    run(work)


def test_where_the_web_route_is_closed_the_api_serves(scene):
    async def work():
        slow = MirrorServer([REPO], rate_bytes_per_s=12_000_000)
        async with slow as origin, ModelScopeServer([EXACT], web_route=False, signed_urls=True) as scope:
            report = await scene.fetch(NAME, settings=settings_of(scene, origin, by_content(scope)))
            assert_placed(report, REPO)
            asked = {each.request.target for each in scope.log if "FilePath=" in each.request.target}
            return scope.bytes_served, asked

    served, asked = run(work)
    assert served > 1 << 20
    assert any("Revision=master&FilePath=one.safetensors" in each for each in asked)


def test_a_gated_repository_is_not_looked_for(scene):
    async def work():
        gated = HubRepo("bert-base-uncased", FILES, canonical_id=REPO.id, gated="auto")
        async with MirrorServer([gated], token="hf_t") as origin, ModelScopeServer([EXACT]) as scope:
            mirror = by_content(scope, token="ms_t")
            for token in (None, "hf_t"):
                settings = settings_of(scene, origin, mirror)
                settings = replace(settings, origin=replace(settings.origin, token=token))
                report = await scene.fetch(NAME, settings=settings)
                assert report.exit_code == (0 if token else 3)
            assert scope.requests == 0

    run(work)


def test_a_gated_repository_is_not_looked_for_on_the_word_of_a_mirror_either(scene):
    async def work():
        gated = HubRepo("bert-base-uncased", FILES, canonical_id=REPO.id, gated="auto")
        async with MirrorServer([gated], token="lab_t") as lab, ModelScopeServer([EXACT]) as scope:
            opened = replace(mirror_at(lab.url), token="lab_t")
            report = await scene.fetch(NAME, settings=settings_of(scene, None, opened, by_content(scope, token="ms_t")))
            assert_placed(report, gated)
            assert scope.requests == 0

    run(work)


def test_private_names_are_not_told(scene):
    async def work():
        async with MirrorServer([REPO]) as origin, ModelScopeServer([EXACT]) as scope:
            settings = settings_of(scene, origin, by_content(scope), private=("bert-*",))
            report = await scene.fetch(NAME, settings=settings)
            assert_placed(report, REPO)
            assert scope.requests == 0

    run(work)


def test_nobody_is_asked_where_nothing_could_be_matched(scene):
    async def work():
        small = HubRepo("org/name", {"config.json": b"{}", "vocab.txt": b"a\n" * 900})
        async with MirrorServer([small]) as origin, ModelScopeServer([small]) as scope:
            report = await scene.fetch("org/name", settings=settings_of(scene, origin, by_content(scope)))
            assert_placed(report, small)
            assert scope.requests == 0

    run(work)


def test_its_token_stays_with_it_and_the_hubs_does_not_come(scene):
    async def work():
        slow = MirrorServer([REPO], rate_bytes_per_s=12_000_000, token="hf_t")
        async with slow as origin, ModelScopeServer([EXACT], signed_urls=True) as scope:
            settings = settings_of(scene, origin, by_content(scope, token="ms_t"))
            settings = replace(settings, origin=replace(settings.origin, token="hf_t"))
            assert_placed(await scene.fetch(NAME, settings=settings), REPO)
            seen = {(each.request.on_cdn, each.request.headers.get("authorization")) for each in scope.log}
            there = {each.request.headers.get("authorization") for each in origin.log}
            return seen, there

    seen, there = run(work)
    assert seen == {(False, "Bearer ms_t"), (True, None)}
    assert there == {"Bearer hf_t"}


def test_the_cache_holds_nothing_of_its_names(scene):
    async def work():
        async with MirrorServer([REPO]) as origin, ModelScopeServer([EXACT]) as scope:
            report = await scene.fetch(NAME, settings=settings_of(scene, origin, by_content(scope)))
            return Path(report.results[0].path)

    placed = run(work)
    assert placed.parts[-3:] == ("models--bert-base-uncased", "snapshots", REPO.commit)
    assert not any("ModelScope" in each.name for each in scene.cache.rglob("*"))
