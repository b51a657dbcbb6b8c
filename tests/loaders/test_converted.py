"""What ``chunkdl convert`` writes is what torch would have made of the same weights."""

import subprocess
import sys

import pytest
import torch
import transformers
from conftest import LIMIT_S, NAME, contents, hidden_state, tiny_bert
from diffusers import DiffusionPipeline
from test_diffusers import folder as pipeline_folder  # noqa: F401  a fixture

TYPES = {"fp16": (torch.float16, 2e-2), "bf16": (torch.bfloat16, 1e-1)}


def convert(hub, path, word, target):
    done = subprocess.run(
        [sys.executable, "-m", "chunkdl", "convert", path, "--dtype", word, "-o", target, "--progress", "none"],
        env=hub.environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("word", TYPES)
@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "40KB"}], ids=["one file", "shards"])
def test_a_fetched_model_loads_converted_and_computes_within_the_types_tolerance(
    serve, tmp_path, expected, word, shards
):
    tiny_bert(tmp_path / "model", **shards)
    hub = serve(contents(tmp_path / "model"))
    snapshot = hub.fetch()["results"][0]["path"]
    target = convert(hub, snapshot, word, tmp_path / "half")
    dtype, tolerance = TYPES[word]
    model = transformers.AutoModel.from_pretrained(target).eval()
    assert model.dtype == dtype, "the configuration says so"
    original = transformers.AutoModel.from_pretrained(NAME, cache_dir=hub.cache).to(dtype).state_dict()
    found = model.state_dict()
    assert found.keys() == original.keys()
    assert all(torch.equal(found[name], original[name]) for name in found)
    assert torch.allclose(hidden_state(model).float(), expected, atol=tolerance)
    assert not torch.equal(hidden_state(model).float(), expected)
    tokenizer = transformers.AutoTokenizer.from_pretrained(target)
    assert tokenizer("hello world")["input_ids"] == [2, 5, 6, 3]


def test_tied_weights_stay_tied(serve, tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=8)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    hub = serve(contents(tmp_path / "model"))
    target = convert(hub, hub.fetch()["results"][0]["path"], "bf16", tmp_path / "half")
    model = transformers.AutoModelForCausalLM.from_pretrained(target)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()


def test_a_pipeline_draws_converted(serve, pipeline_folder, tmp_path):  # noqa: F811
    hub = serve(contents(pipeline_folder))
    target = convert(hub, hub.fetch()["results"][0]["path"], "fp16", tmp_path / "half")
    placed = DiffusionPipeline.from_pretrained(target, dtype=torch.float16)
    original = DiffusionPipeline.from_pretrained(pipeline_folder, dtype=torch.float16)
    for part in ("unet", "vqvae"):
        ours, theirs = getattr(placed, part).state_dict(), getattr(original, part).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
