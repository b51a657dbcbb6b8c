import pytest

from chunkdl.assemble.hub_destination import HubDestination
from chunkdl.core.planner import Action, PlannedContent
from chunkdl.pipeline.distrusting import distrusting
from tests.support.cache_world import COMMIT, CONTENT, World, files_named

(WEIGHTS,) = files_named("model.safetensors")
(CONFIG,) = files_named("config.json")
PLANNED = PlannedContent(WEIGHTS.digest, WEIGHTS.size, (WEIGHTS.path,), Action.FETCH)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.store([WEIGHTS, CONFIG])
    world.place([WEIGHTS, CONFIG])
    return world


def destination(world, *wrong):
    return distrusting(HubDestination(world.cache, world.repo, use_symlinks=True), {each.digest for each in wrong})


def test_who_distrusts_nothing_gets_the_destination_itself(world):
    assert isinstance(destination(world), HubDestination)


def test_what_is_wrong_is_not_here_and_the_rest_is(world):
    found = destination(world, WEIGHTS).inventory(COMMIT, [WEIGHTS, CONFIG])
    assert found.blobs == {CONFIG.digest}
    assert found.placed == {CONFIG.path}
    assert found.elsewhere == {}


def test_another_repositorys_file_of_the_same_digest_may_serve(world, tmp_path):
    other = World(tmp_path, "org/other")
    other.store([WEIGHTS])
    found = destination(world, WEIGHTS).inventory(COMMIT, [WEIGHTS, CONFIG])
    assert found.elsewhere == {WEIGHTS.digest: (str(other.repo.blob(WEIGHTS.digest)),)}


def test_once_another_file_stands_there_it_is_here(world):
    doubting = destination(world, WEIGHTS)
    blob = doubting.paths_of(PLANNED).blob
    assert not doubting.holds(PLANNED)
    blob.unlink()
    assert not doubting.holds(PLANNED)
    blob.with_name("new").write_bytes(CONTENT[WEIGHTS.path])
    blob.with_name("new").rename(blob)
    assert doubting.holds(PLANNED)
