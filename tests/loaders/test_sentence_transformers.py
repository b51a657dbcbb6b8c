"""Sentence-transformers: a module whose only weights are a pickle, beside a root that has safetensors."""

import pytest
import torch
from conftest import NAME, contents, tiny_bert
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

SENTENCES = ["hello world", "world"]
DECOYS = ("onnx/model.onnx", "onnx/model_O3.onnx", "openvino/openvino_model.bin", "tf_model.h5", "rust_model.ot")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    bert, folder = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("sentences")
    tiny_bert(bert)
    torch.manual_seed(1)
    modules = [Transformer(str(bert)), Pooling(32), Dense(32, 16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    (dense,) = folder.glob("2_*")
    torch.save(modules[2].state_dict(), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()
    torch.save(modules[0].state_dict(), folder / "pytorch_model.bin")
    for each in DECOYS:
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_bytes(bytes(5000))
    return folder


def test_the_default_fetch_encodes_the_same(serve, folder):
    hub = serve(contents(folder))
    report = hub.fetch()
    names = {each["path"] for each in report["results"][0]["files"]}
    assert {each for each in names if each.endswith(("safetensors", "bin", "h5", "ot", "onnx"))} == {
        "model.safetensors",
        "2_Dense/pytorch_model.bin",
    }
    assert report["results"][0]["left_out"]["files"] == len(DECOYS) + 1
    original = SentenceTransformer(str(folder), device="cpu").encode(SENTENCES)
    placed = SentenceTransformer(NAME, cache_folder=str(hub.cache), device="cpu")
    assert placed.encode(SENTENCES).shape == (2, 16)
    assert (placed.encode(SENTENCES) == original).all()
