import re

import pytest

from chunkdl.errors import ArtifactNotFound
from chunkdl.identify.checkpoints import checkpoint_of
from chunkdl.identify.references import parse_reference
from chunkdl.identify.torchhub import find_weights, table, true_prefix
from chunkdl.model import Digest, DigestAlgorithm

MODELS = "https://download.pytorch.org/models"


@pytest.mark.parametrize(
    ("name", "weights", "file"),
    [
        ("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
        ("resnet50.DEFAULT", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
        ("resnet50.IMAGENET1K_V1", "IMAGENET1K_V1", "resnet50-0676ba61.pth"),
        ("ResNet50.imagenet1k_v1", "IMAGENET1K_V1", "resnet50-0676ba61.pth"),
        ("quantized_resnet50", "IMAGENET1K_FBGEMM_V2", "quantized/resnet50_fbgemm-23753f79.pth"),
    ],
)
def test_names_mean_what_torchvisions_enums_say(name, weights, file):
    found = find_weights(name)
    assert (found.weights, found.url) == (weights, f"{MODELS}/{file}")


def test_near_names_are_offered():
    with pytest.raises(ArtifactNotFound) as missing:
        find_weights("resnet_50")
    assert "torch:resnet50" in missing.value.hint
    with pytest.raises(ArtifactNotFound) as missing:
        find_weights("resnet50.V3")
    assert missing.value.hint == "it has IMAGENET1K_V1, IMAGENET1K_V2"
    with pytest.raises(ArtifactNotFound) as missing:
        find_weights("zzzz")
    assert "list_models" in missing.value.hint


def test_the_table_is_whole():
    known = table()
    assert len(known.models) > 100
    for name, weights in known.models.items():
        assert weights["DEFAULT"] in weights, name
        assert all(url.startswith(f"{MODELS}/") for each, url in weights.items() if each != "DEFAULT"), name


def test_almost_every_name_carries_digits_that_prove_it():
    found = [checkpoint_of(parse_reference(f"torch:{name}")) for name in table().models]
    assert [each.name for each in found if each.digest is None and not re.search(r"nnpack|fbgemm", each.name)] == []


def test_names_that_lie_are_mapped_to_the_truth():
    assert true_prefix("efficientnet_b0_rwightman-3dd342df.pth") == "7f5810bc"
    assert true_prefix("efficientnet_b1_rwightman-533bc792.pth") is None
    found = checkpoint_of(parse_reference(f"{MODELS}/efficientnet_b0_rwightman-3dd342df.pth"))
    assert (found.digest, found.mislabelled) == (Digest(DigestAlgorithm.SHA256_PREFIX, "7f5810bc"), True)


def test_the_truth_is_what_newer_names_say():
    newer = {url.rpartition("/")[2] for weights in table().models.values() for url in weights.values()}
    for name, digits in table().mislabelled.items():
        assert f"{name.rpartition('-')[0]}-{digits}.pth" in newer
