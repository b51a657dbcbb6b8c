"""An index of weights decides which shards are the whole, and does so while they are still on their way."""

import asyncio
import json

import pytest

from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.scene import Scene, assert_placed

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 64 << 20
RATE = 8 << 20  # the shards would take eight seconds each


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def repo_of(named, held, *, size=1 << 20, **more):
    index = {"metadata": {"total_size": 1}, "weight_map": {f"w{n}": each for n, each in enumerate(named)}}
    shards = {each: SeededContent(n, size) for n, each in enumerate(held)}
    return HubRepo("org/name", {"config.json": b"{}", INDEX: json.dumps(index).encode(), **shards, **more})


def fetch(scene, repo, *, rate=None, **options):
    async def work():
        async with MirrorServer([repo], rate_bytes_per_s=rate) as origin:
            report = await scene.fetch(settings=scene.settings(origin), **options)
            return report, origin.bytes_served

    return asyncio.run(work())


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def test_a_whole_set_is_placed(scene):
    repo = repo_of(SHARDS, SHARDS)
    report, _ = fetch(scene, repo)
    assert_placed(report, repo)


@pytest.mark.parametrize(
    ("named", "exit_code", "words"),
    [
        ([*SHARDS, "mtp.safetensors"], 3, "names 3 shards, and the repository lacks mtp.safetensors"),
        ([*SHARDS, "../../x.safetensors"], 7, "no plain file beside it"),
    ],
)
def test_what_an_index_refuses_costs_a_moments_bytes(scene, named, exit_code, words):
    report, served = fetch(scene, repo_of(named, SHARDS, size=SHARD_BYTES), rate=RATE)
    error = report.results[0].error
    assert (report.exit_code, error.file) == (exit_code, INDEX)
    assert words in error.message
    assert served < SHARD_BYTES, "refused long before the shards were here"
    assert not (scene.cache / "models--org--name" / "refs").exists()


def test_a_refused_set_is_taken_as_it_is_by_those_who_ask(scene):
    repo = repo_of([*SHARDS, "mtp.safetensors"], SHARDS)
    assert fetch(scene, repo)[0].exit_code == 3
    report, _ = fetch(scene, repo, format="all")
    assert_placed(report, repo)


def test_a_shard_that_the_rules_left_out_is_no_loss_unnoticed(scene):
    held = [*SHARDS, "original/extra.safetensors"]
    error = fetch(scene, repo_of(held, held))[0].results[0].error
    assert error.message == f"{INDEX} names original/extra.safetensors, which this selection leaves out"
    assert "--format all" in error.hint


def test_shards_excluded_by_the_user_are_the_users_choice(scene):
    report, _ = fetch(scene, repo_of(SHARDS, SHARDS), exclude=("*-00002-*",))
    assert report.exit_code == 0


def test_shards_of_any_name_are_found_by_the_index(scene):
    named = ["layers.safetensors", "head.safetensors"]
    repo = repo_of(named, named)
    assert_placed(fetch(scene, repo)[0], repo)


def test_an_index_that_nobody_has_is_its_own_failure_and_stops_no_shard(scene):
    repo = repo_of(SHARDS, SHARDS)

    async def work():
        async with MirrorServer([repo], faults=[fault("status-404", path=INDEX, where="resolve")]) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
            return report, origin.bytes_served

    report, served = asyncio.run(work())
    assert report.results[0].error.file == INDEX
    assert served >= 2 << 20
