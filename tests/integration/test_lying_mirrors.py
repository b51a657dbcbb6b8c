"""Mirrors that send wrong bytes under right headers, at the size of a model: who lied is found, and cheaply."""

import asyncio
import os

import pytest

from chunkdl.observe import CorruptionFound
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault
from tests.support.journals import claimed_bytes
from tests.support.scene import Scene, assert_placed

MIB = 1 << 20
# The long form of scripts/torture takes a whole GiB.
SIZE = 1024 * MIB if int(os.environ.get("CHUNKDL_TORTURE", "1")) > 1 else 256 * MIB
LONE_SIZE = 64 * MIB
MODEL = "model.safetensors"
EVERY_FIFTH = fault("flip-bits", path=MODEL, every=5)


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def repo_of(size, seed=23):
    return HubRepo("org/name", {"config.json": b"{}", MODEL: SeededContent(seed, size)})


def host_of(server):
    return server.url.removeprefix("http://")


def caught(scene):
    return [event for event in scene.told(CorruptionFound) if event.repaired]


def test_one_of_three_mirrors_lies_in_every_fifth_range(scene):
    async def work():
        repo = repo_of(SIZE)
        pace = {"rate_bytes_per_s": 40 * MIB}  # so that all three deliver
        async with (
            MirrorServer([repo], **pace) as origin,
            MirrorServer([repo], **pace) as honest,
            MirrorServer([repo], faults=[EVERY_FIFTH], **pace) as liar,
        ):
            report = await scene.fetch(settings=scene.settings(origin, honest, liar))
            assert_placed(report, repo)
            served = sum(each.bytes_by_file[MODEL] for each in (origin, honest, liar))
            return host_of(liar), liar.bytes_by_file[MODEL], served - SIZE, report

    liar, contributed, extra, report = asyncio.run(work())
    [verdict] = caught(scene)
    assert verdict.host == liar
    assert verdict.ranges == len(verdict.where) > 0
    assert all(0 <= each.start < each.stop <= SIZE for each in verdict.where)
    assert sum(map(len, verdict.where)) < contributed / 2, "what was right is no lie"
    assert {each.host for each in report.hosts if each.state == "excluded"} == {liar}
    assert report.totals.bytes_wasted < contributed
    assert extra < contributed, "the servers' own count, with what stayed in sockets that lost their lease"
    assert extra < contributed * 0.7, "a slice of each piece, and the pieces that were wrong: measured 0.30 to 0.37"


def test_a_lone_liar_leaves_a_part_that_an_honest_mirror_mends_with_a_fraction_of_it(scene):
    async def work():
        repo = repo_of(LONE_SIZE)
        pace = {"rate_bytes_per_s": 60 * MIB}
        async with (
            MirrorServer([repo], faults=[EVERY_FIFTH], **pace) as liar,
            MirrorServer([repo], **pace) as honest,
        ):
            alone = await scene.fetch(settings=scene.settings(liar))
            error = alone.results[0].error
            assert alone.exit_code == 5
            assert f"copies differed: {host_of(liar)} [" in error.message
            assert list(scene.cache.rglob("*.chunkdl-part"))
            kept, before = claimed_bytes(scene.cache), liar.bytes_by_file[MODEL]
            together = await scene.fetch(settings=scene.settings(liar, honest))
            assert_placed(together, repo)
            [verdict] = caught(scene)
            assert verdict.host == host_of(liar)
            return kept, liar.bytes_by_file[MODEL] - before, honest.bytes_by_file[MODEL]

    kept, again, needed = asyncio.run(work())
    assert kept >= LONE_SIZE * 0.9, "what was stored stays claimed"
    assert needed < LONE_SIZE / 2, "what was right is not fetched again"
    assert again < LONE_SIZE / 10, "the liar is hardly asked"
