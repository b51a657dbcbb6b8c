import json

import pytest
from support.cache_world import World, draw, files_named, git

from chunkdl.core import weight_index
from chunkdl.errors import PlacementRefused


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def placed(world, data, path="model.safetensors.index.json"):
    index = git(path, data)
    content = {path: data, "config.json": b'{"model_type": "bert"}\n'}
    files = [*files_named("config.json"), index]
    world.store(files, content)
    before = draw(world.cache.root)
    try:
        world.place(files)
    except PlacementRefused:
        assert draw(world.cache.root) == before, "a refusal leaves nothing"
        raise
    return world.shown(path)


def index_of(*shards):
    return json.dumps({"metadata": {}, "weight_map": {f"w{n}": each for n, each in enumerate(shards)}}).encode()


@pytest.mark.parametrize(
    "shard", ["../../x.safetensors", "/etc/passwd", "..\\x.bin", "C:\\x", "\\\\evil\\x", "a\0b", ""]
)
@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors.index.json",
        "model.safetensors.index.fp16.json",
        "unet/diffusion_pytorch_model.bin.index.json",
    ],
)
def test_an_index_that_leads_elsewhere_is_refused_by_name(world, shard, path):
    with pytest.raises(PlacementRefused, match="names a shard that is no plain file") as caught:
        placed(world, index_of("model-00001-of-00002.safetensors", shard), path)
    assert caught.value.file == path
    assert "--exclude" in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        index_of("model-00001-of-00002.safetensors", "sub/model-00002-of-00002.safetensors"),
        b"no JSON",
        b"[" * 100_000,
        b"[]",
        b'{"weight_map": []}',
        b'{"weight_map": {"w": 1}}',
        b"{}",
    ],
)
def test_what_names_nothing_elsewhere_is_placed_whatever_loaders_say(world, data):
    assert placed(world, data) == data


def test_other_files_may_say_what_they_like(world):
    data = index_of("../../x")
    assert placed(world, data, "notes.json") == data


def test_an_index_too_large_to_be_one_is_refused_unread(world, monkeypatch):
    monkeypatch.setattr(weight_index, "INDEX_LIMIT_BYTES", 20)
    with pytest.raises(PlacementRefused, match="larger than 20 bytes"):
        placed(world, index_of("model-00001-of-00002.safetensors"))


def test_placing_again_after_the_blob_has_moved_into_the_snapshot_is_no_mistake(world):
    data = index_of("model.safetensors")
    index = git("model.safetensors.index.json", data)
    world.store([index], {index.path: data})
    world.place([index], use_symlinks=False)
    world.place([index], use_symlinks=False)
    assert world.shown(index.path) == data
