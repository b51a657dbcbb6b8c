"""GGUF: one quantisation of several, written by llama.cpp's own library and read by transformers."""

import gguf
import numpy as np
import pytest
import torch
import transformers
from conftest import NAME, contents

WIDTH, HEADS, LAYERS, WORDS = 64, 2, 1, 40
KINDS = {"F16": gguf.GGMLQuantizationType.F16, "Q8_0": gguf.GGMLQuantizationType.Q8_0}


def write_llama(path, kind):
    """A llama of some thousand numbers; norms stay in 32 bits, as llama.cpp's converter leaves them."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(16)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(WORDS)
    shapes = {"token_embd": (WORDS, WIDTH), "output": (WORDS, WIDTH)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.attn_{each}": (WIDTH, WIDTH) for each in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{each}": (2 * WIDTH, WIDTH) for each in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down"] = (WIDTH, 2 * WIDTH)
    for name, shape in shapes.items():
        numbers = rng.standard_normal(shape).astype(np.float32) / 8
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(numbers, kind), raw_dtype=kind)
    for name in ("output_norm", *(f"blk.{layer}.{each}_norm" for layer in range(LAYERS) for each in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    for name, kind in KINDS.items():
        write_llama(folder / f"tiny-{name}.gguf", kind)
    (folder / "imatrix.dat").write_bytes(bytes(5000))
    (folder / "README.md").write_text("# tiny\n")
    return folder


def scores(name, **where):
    model = transformers.AutoModelForCausalLM.from_pretrained(name, **where).eval()
    with torch.no_grad():
        return model(torch.tensor([[1, 5, 9, 3]])).logits


@pytest.mark.parametrize("quant", ["q8_0", "fp16"])
def test_the_quantisation_asked_for_loads_and_computes_the_same(serve, folder, quant):
    hub = serve(contents(folder))
    report = hub.fetch(NAME, "--quant", quant)
    (name,) = (each["path"] for each in report["results"][0]["files"] if each["path"] != "README.md")
    assert name == {"q8_0": "tiny-Q8_0.gguf", "fp16": "tiny-F16.gguf"}[quant]
    ours = scores(NAME, gguf_file=name, cache_dir=hub.cache)
    assert torch.equal(ours, scores(str(folder), gguf_file=name))
    assert ours.std() > 0
