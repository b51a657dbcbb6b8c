"""Weights that people really publish, as packages ship them: through a hub, a fetch, and their own runtimes."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import NAME
from safetensors.torch import load_file

SILERO = "silero_vad.onnx"  # speech detection, 2.3 MB
SILERO_HALF = "silero_vad_half.onnx"
SILERO_SAFE = "silero_vad_16k.safetensors"


def shipped(package, path):
    """A file of an installed package, which need not be importable: installed without what it depends on."""
    (root,) = find_spec(package).submodule_search_locations
    return Path(root, path).read_bytes()


def silero(name):
    return shipped("silero_vad", f"data/{name}")


def placed(report, path):
    return Path(report["results"][0]["path"], path)


def weights(report):
    names = {each["path"] for each in report["results"][0]["files"]}
    return names - {"config.json", "README.md"}


def speech(model):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    sound = np.sin(np.arange(576, dtype=np.float32) / 7)[None]
    state = np.zeros((2, 1, 128), np.float32)
    feeds = {"input": sound, "state": state, "sr": np.array(16000, np.int64)}
    return session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()})


@pytest.mark.parametrize(
    ("flags", "original", "path"),
    [((), SILERO, "onnx/model.onnx"), (("--quant", "fp16"), SILERO_HALF, "onnx/model_fp16.onnx")],
)
def test_an_onnx_model_of_the_precision_asked_for_runs(serve, flags, original, path):
    files = {"config.json": b"{}", "onnx/model.onnx": silero(SILERO), "onnx/model_fp16.onnx": silero(SILERO_HALF)}
    report = serve(files).fetch(NAME, *flags)
    assert weights(report) == {path}
    ours, theirs = speech(str(placed(report, path))), speech(silero(original))
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_safetensors_before_the_same_in_other_families(serve):
    files = {"config.json": b"{}", "model.safetensors": silero(SILERO_SAFE), "onnx/model.onnx": silero(SILERO)}
    report = serve(files | {"pytorch_model.bin": bytes(9000)}).fetch()
    assert weights(report) == {"model.safetensors"}
    found = load_file(placed(report, "model.safetensors"))
    assert len(found) > 5
    assert sum(each.numel() for each in found.values()) > 200_000


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_pickled_weights_where_there_are_no_others(serve, net):
    data = shipped("lpips", f"weights/v0.1/{net}.pth")
    report = serve({"README.md": b"# lpips\n", f"{net}.pth": data}).fetch()
    found = torch.load(placed(report, f"{net}.pth"), weights_only=True, map_location="cpu")
    assert all(name.startswith("lin") for name in found)
    assert {each.shape[0] for each in found.values()} == {1}
