import json

import pytest

from chunkdl.core.weight_index import INDEX_LIMIT_BYTES, check_shards, check_size, is_index, shards_named
from chunkdl.errors import ArtifactNotFound, PlacementRefused

INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"


def index_of(*shards):
    return json.dumps({"weight_map": {f"w{n}": each for n, each in enumerate(shards)}}).encode()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.safetensors.index.json", True),
        ("model.safetensors.index.fp16.json", True),
        ("unet/pytorch_model.bin.index.json", True),
        ("tf_model.h5.index.json", True),
        ("index.json", False),
        ("a.index.d/config.json", False),
        ("model.index.txt", False),
    ],
)
def test_names_under_which_loaders_look(path, expected):
    assert is_index(path, 1000) is expected


def test_what_a_dataset_calls_an_index_is_none_where_no_index_of_weights_is_so_large():
    large = INDEX_LIMIT_BYTES + 1
    assert is_index("data/wiki.index.json", INDEX_LIMIT_BYTES), "accelerate would follow it"
    assert not is_index("data/wiki.index.json", large)
    assert not is_index("faiss.index.v2.json", large)
    assert is_index("model.safetensors.index.fp16.json", large)
    with pytest.raises(PlacementRefused, match="larger than"):
        check_size("model.safetensors.index.fp16.json", large)


def test_shards_lie_beside_their_index():
    assert shards_named(INDEX, index_of("b", "a", "b", "sub/c")) == ("unet/a", "unet/b", "unet/sub/c")
    assert shards_named("x.index.json", index_of("a")) == ("a",)


@pytest.mark.parametrize("shard", ["../a", "/a", "", "a\0"])
def test_a_shard_elsewhere_is_refused(shard):
    with pytest.raises(PlacementRefused, match="no plain file beside it"):
        shards_named(INDEX, index_of("a", shard))


def test_a_shard_that_the_repository_lacks_is_named_with_how_many_more():
    with pytest.raises(ArtifactNotFound, match=r"names 3 shards, and the repository lacks b and 1 more") as caught:
        check_shards(INDEX, ("a", "b", "c"), listed={"a"}, chosen={"a"})
    assert caught.value.exit_code == 3


def test_a_shard_that_was_left_out_is_named():
    with pytest.raises(ArtifactNotFound, match="names b, which this selection leaves out"):
        check_shards(INDEX, ("a", "b"), listed={"a", "b"}, chosen={"a"})
    check_shards(INDEX, ("a", "b"), listed={"a", "b"}, chosen={"a", "b"})
