import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.selection import FORMATS, select
from chunkdl.core.selection_rules import rules
from chunkdl.errors import ArtifactNotFound
from chunkdl.model import Digest, DigestAlgorithm, RemoteFile


def listing(names):
    return [
        RemoteFile(name, 10, Digest(DigestAlgorithm.SHA256, f"{number:064x}"))
        for number, name in enumerate(names.split() if isinstance(names, str) else names)
    ]


def paths(files):
    return {each.path for each in files}


def left_out(names, **wish):
    return paths(select(listing(names), **wish).left_out)


BERT = """.gitattributes LICENSE README.md config.json coreml/fill-mask/float32_model.mlpackage/Data/model.mlmodel
    coreml/fill-mask/float32_model.mlpackage/Manifest.json flax_model.msgpack model.onnx model.safetensors
    pytorch_model.bin rust_model.ot tf_model.h5 tokenizer.json tokenizer_config.json vocab.txt"""

SHARDED = "model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors"

DIFFUSERS = """README.md model_index.json v1-5-pruned.ckpt v1-5-pruned.safetensors scheduler/scheduler_config.json
    text_encoder/config.json text_encoder/model.safetensors text_encoder/model.fp16.safetensors
    text_encoder/pytorch_model.bin text_encoder/pytorch_model.fp16.bin
    unet/config.json unet/diffusion_pytorch_model.safetensors unet/diffusion_pytorch_model.fp16.safetensors
    unet/diffusion_pytorch_model.bin unet/diffusion_pytorch_model.non_ema.safetensors
    vae/config.json vae/diffusion_pytorch_model.safetensors vae/diffusion_flax_model.msgpack"""

GGUF = "README.md m.Q2_K.gguf m.Q4_K_M.gguf m.Q8_0.gguf mmproj-F16.gguf"


def test_bert_keeps_one_family_and_everything_that_is_no_weight():
    chosen = select(listing(BERT)).chosen
    assert [each.path for each in chosen] == [
        ".gitattributes",
        "LICENSE",
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


@pytest.mark.parametrize(
    ("names", "dropped"),
    [
        pytest.param("model.safetensors pytorch_model.bin", "pytorch_model.bin", id="single"),
        pytest.param(f"{SHARDED} pytorch_model.bin", "pytorch_model.bin", id="sharded before single"),
        pytest.param(
            f"{SHARDED} pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin",
            "pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin",
            id="both sharded",
        ),
        pytest.param(
            "model.safetensors.index.json model-00001-of-00002.safetensors pytorch_model.bin",
            "model.safetensors.index.json model-00001-of-00002.safetensors",
            id="a set that lacks a shard stands in for nothing and would mislead the loader",
        ),
        pytest.param(
            "model-00001-of-00001.safetensors pytorch_model.bin",
            "model-00001-of-00001.safetensors",
            id="shards without an index",
        ),
        pytest.param("model.safetensors 2_Dense/pytorch_model.bin", "", id="per folder, not per repository"),
        pytest.param(
            "model.safetensors 2_Dense/pytorch_model.bin 2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
            id="in the folder as well",
        ),
        pytest.param("adapter_model.safetensors adapter_model.bin", "adapter_model.bin", id="adapters"),
        pytest.param("model.safetensors adapter_model.bin", "", id="an adapter is other weights"),
        pytest.param(
            "open_clip_model.safetensors open_clip_pytorch_model.bin", "open_clip_pytorch_model.bin", id="clip"
        ),
        pytest.param("v1-5.safetensors v1-5.ckpt other.ckpt", "v1-5.ckpt", id="twins differ in the suffix alone"),
        pytest.param("ggml-base.bin model.safetensors", "", id="a bin of another name may be anything"),
        pytest.param(
            "pytorch_model.bin tf_model.h5 flax_model.msgpack", "tf_model.h5 flax_model.msgpack", id="bin wins"
        ),
        pytest.param("tf_model.h5 flax_model.msgpack rust_model.ot", "flax_model.msgpack rust_model.ot", id="no torch"),
        pytest.param("onnx/model.onnx voices/af.bin", "", id="a voice is no torch model"),
        pytest.param(
            "model.safetensors openvino/openvino_model.bin openvino/a.xml onnx/model.onnx onnx/config.json",
            "openvino/openvino_model.bin openvino/a.xml onnx/model.onnx onnx/config.json",
            id="other runtimes",
        ),
        pytest.param("model.safetensors model.gguf", "model.gguf", id="gguf beside safetensors"),
        pytest.param("model.tflite model.onnx", "model.tflite", id="onnx before tflite"),
    ],
)
def test_the_better_family(names, dropped):
    assert left_out(names) == set(dropped.split())


OTHER_FAMILY = {
    "gguf": "x.gguf",
    "tf": "tf_model.h5",
    "flax": "flax_model-00001-of-00002.msgpack",
    "ot": "rust_model.ot",
    "onnx": "onnx/decoder_model.onnx_data",
    "coreml": "coreml/a.mlpackage/Manifest.json",
    "tflite": "model.tflite",
    "openvino": "openvino/openvino_model.xml",
}


@pytest.mark.parametrize("family", rules().other_families)
def test_every_other_family_gives_way_to_torch(family):
    assert left_out(["model.safetensors", OTHER_FAMILY[family]]) == {OTHER_FAMILY[family]}
    assert left_out([OTHER_FAMILY[family]]) == set()


LEFTOVER = {
    "original": (f"{SHARDED} original/consolidated.00.pth original/params.json", "original/params.json"),
    "metal": (f"{SHARDED} metal/model.bin", "metal/model.bin"),
    "training checkpoints": ("model.safetensors checkpoint-500/model.safetensors", "checkpoint-500/model.safetensors"),
    "consolidated": (f"{SHARDED} consolidated.safetensors", "consolidated.safetensors"),
    "single-file checkpoints": ("model_index.json unet/diffusion_pytorch_model.bin sd.safetensors", "sd.safetensors"),
    "training state": ("model.safetensors optimizer.pt sub/rng_state_0.pth training_args.bin", "optimizer.pt"),
    "training logs": (
        "model.safetensors runs/a/events.out.tfevents.1 b/events.out.tfevents.2",
        "runs/a/events.out.tfevents.1",
    ),
}


@pytest.mark.parametrize("leftover", rules().leftovers, ids=lambda each: each.name)
def test_every_leftover_rule_drops_what_it_names(leftover):
    names, dropped = LEFTOVER[leftover.name]
    assert dropped in left_out(names)
    assert left_out(names).isdisjoint(SHARDED.split())


@pytest.mark.parametrize(
    "names",
    [
        "original/consolidated.00.pth original/params.json",
        "checkpoint-500/model.safetensors checkpoint-900/model.safetensors",
        "consolidated.safetensors params.json",
        "consolidated.safetensors model.safetensors",
        "model_index.json sd.safetensors",
        "sd.safetensors unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_leftover_stays_where_nothing_stands_in_for_it(names):
    assert left_out(names) == set()


def test_a_pipeline_without_variant():
    assert left_out(DIFFUSERS) == {
        "v1-5-pruned.ckpt",
        "v1-5-pruned.safetensors",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/pytorch_model.bin",
        "text_encoder/pytorch_model.fp16.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_flax_model.msgpack",
    }


def test_a_pipeline_with_a_variant_falls_back_per_folder_and_says_so():
    selection = select(listing(DIFFUSERS), variant="fp16")
    weights = {each for each in paths(selection.chosen) if each.endswith(("safetensors", "bin", "ckpt"))}
    assert weights == {
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    }
    assert selection.notices == ("vae has no variant fp16: the plain weights are taken",)


@pytest.mark.parametrize(
    "fp16",
    [
        "model.safetensors.index.fp16.json model.fp16-00001-of-00002.safetensors model.fp16-00002-of-00002.safetensors",
        "model.safetensors.index.fp16.json model-00001-of-00002.fp16.safetensors model-00002-of-00002.fp16.safetensors",
        "pytorch_model.fp16.bin",
    ],
)
def test_spellings_of_a_variant(fp16):
    assert left_out(f"model.safetensors {fp16}", variant="fp16") == {"model.safetensors"}
    assert left_out(f"model.safetensors {fp16}") == set(fp16.split())


def test_only_variants_are_all_kept_in_their_best_family():
    selection = select(listing("model.fp16.safetensors pytorch_model.fp16.bin model.bf16.safetensors"))
    assert paths(selection.left_out) == {"pytorch_model.fp16.bin"}
    assert selection.notices == ("the root has only variants (bf16, fp16), all are taken; --variant chooses one",)


@pytest.mark.parametrize("names", [BERT, GGUF, "config.json"])
def test_a_variant_that_is_nowhere(names):
    with pytest.raises(ArtifactNotFound, match="variant 'fp16'"):
        select(listing(names), variant="fp16")


@pytest.mark.parametrize(
    ("wish", "kept"),
    [
        ("safetensors", "model.safetensors"),
        ("bin", "pytorch_model.bin"),
        ("tf", "tf_model.h5"),
        ("flax", "flax_model.msgpack"),
        ("onnx", "model.onnx"),
    ],
)
def test_a_format_keeps_its_family_alone(wish, kept):
    selection = select(listing(BERT), format=wish)
    weights = {
        "model.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "model.onnx",
        "rust_model.ot",
    }
    assert paths(selection.chosen) & weights == {kept}
    assert "vocab.txt" in paths(selection.chosen)


@pytest.mark.parametrize("wish", ["safetensors", "bin", "tf", "flax", "gguf", "onnx"])
def test_a_format_that_is_nowhere(wish):
    with pytest.raises(ArtifactNotFound, match=f"no {wish} weights"):
        select(listing("config.json README.md"), format=wish)


def test_a_format_that_lacks_a_shard():
    with pytest.raises(ArtifactNotFound, match="no safetensors weights"):
        select(listing("model-00001-of-00002.safetensors pytorch_model.bin"), format="safetensors")


def test_a_format_that_only_a_variant_has():
    with pytest.raises(ArtifactNotFound, match="no safetensors weights") as caught:
        select(listing("model.fp16.safetensors pytorch_model.bin"), format="safetensors")
    assert caught.value.hint == "there is: bin, safetensors of variant fp16"


def test_a_format_counts_weights_of_any_name():
    assert left_out("flux1.safetensors flux1.ckpt", format="safetensors") == {"flux1.ckpt"}
    assert left_out("flux1.safetensors flux1.ckpt", format="bin") == {"flux1.safetensors"}


def test_a_format_that_a_folder_lacks():
    selection = select(listing("model.safetensors pytorch_model.bin 2_Dense/pytorch_model.bin"), format="safetensors")
    assert paths(selection.chosen) == {"model.safetensors", "2_Dense/pytorch_model.bin"}
    assert selection.notices == ("2_Dense has no safetensors weights: bin is taken",)


def test_all_is_the_hubs_meaning():
    assert left_out(BERT, format="all") == set()
    assert left_out(BERT, format="all", exclude=["*.h5"]) == {"tf_model.h5"}
    assert select(listing(BERT), format="all", variant="fp16").notices == (
        "--variant changes nothing: --format all takes every file",
    )


def test_an_unknown_format_is_misuse():
    with pytest.raises(ValueError, match="none of auto"):
        select([], format="zip")


def test_gguf_takes_the_default_quantisation_with_companions():
    selection = select(listing(GGUF))
    assert paths(selection.chosen) == {"README.md", "m.Q4_K_M.gguf", "mmproj-F16.gguf"}
    assert selection.notices == ("Q4_K_M is taken of 3 quantisations; --quant chooses another",)


def test_gguf_without_the_default_lists_the_choices():
    with pytest.raises(ArtifactNotFound, match="--quant") as caught:
        select(listing("m.Q2_K.gguf m.Q8_0.gguf"))
    assert caught.value.hint == "there is: Q2_K, Q8_0"


def test_gguf_of_one_quantisation_needs_no_choice():
    assert left_out("m.Q8_0.gguf config.json") == set()


def test_a_quantisation_turns_to_gguf_beside_safetensors():
    assert left_out(f"{SHARDED} m-Q8_0.gguf m-F16.gguf", quant="q8_0") == {*SHARDED.split(), "m-F16.gguf"}


@pytest.mark.parametrize("names", ["m.Q2_K.gguf", "m.gguf", "model.safetensors", "onnx/model.onnx"])
def test_a_quantisation_that_is_nowhere(names):
    with pytest.raises(ArtifactNotFound, match="Q3_K_S"):
        select(listing(names), quant="Q3_K_S")


def test_a_quantisation_with_a_missing_shard():
    with pytest.raises(ArtifactNotFound, match="shards of Q8_0/m-Q8_0"):
        select(listing("Q8_0/m-Q8_0-00001-of-00003.gguf Q8_0/m-Q8_0-00003-of-00003.gguf m-Q4_0.gguf"), quant="Q8_0")


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("llama-2-7b.Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2-0_5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("UD-Q8_K_XL/m-00001-of-00001.gguf", "UD-Q8_K_XL"),
        ("UD-Q8_K_XL/m-00001-of-00001.gguf", "q8_k_xl"),
        ("m-IQ2_XXS.gguf", "IQ2_XXS"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("m.bf16.gguf", "BF16"),
        ("F16-distill-Q6_K.gguf", "Q6_K"),
        ("m-MXFP4_MOE.gguf", "MXFP4_MOE"),
    ],
)
def test_spellings_of_a_quantisation(name, asked):
    assert left_out([name, "m-Q3_K_S.gguf"], quant=asked) == {"m-Q3_K_S.gguf"}


ONNX = (
    "config.json onnx/model.onnx onnx/model.onnx_data onnx/model_fp16.onnx onnx/model_fp16.onnx_data onnx/model_q4.onnx"
)


def test_onnx_keeps_the_plain_precision_with_its_data():
    kept = {"config.json", "onnx/model.onnx", "onnx/model.onnx_data"}
    assert paths(select(listing(ONNX)).chosen) == kept


@pytest.mark.parametrize("wish", [{"variant": "fp16"}, {"quant": "fp16"}, {"format": "onnx", "variant": "fp16"}])
def test_onnx_of_another_precision(wish):
    kept = {"config.json", "onnx/model_fp16.onnx", "onnx/model_fp16.onnx_data"}
    assert paths(select(listing(ONNX), **wish).chosen) == kept


def test_onnx_merged_decoder_replaces_its_halves():
    names = "onnx/encoder_model.onnx onnx/decoder_model.onnx onnx/decoder_with_past_model.onnx"
    assert left_out(names) == set()
    assert left_out(f"{names} onnx/decoder_model_merged.onnx") == {
        "onnx/decoder_model.onnx",
        "onnx/decoder_with_past_model.onnx",
    }


def test_include_takes_exactly_what_matches_across_folders():
    selection = select(listing(BERT), include=["*.h5", "coreml/"])
    assert len(selection.chosen) == 3
    assert "tf_model.h5" in paths(selection.chosen)


@pytest.mark.parametrize("include", [["*.zip"], ["*.json", "*.zip"], ["Config.json", "*.zip"]])
def test_an_include_without_match_is_named(include):
    with pytest.raises(ArtifactNotFound, match=r"--include '(\*\.zip|Config\.json)'"):
        select(listing(BERT), include=include)


def test_include_with_a_format_filters_what_matches():
    selection = select(listing(BERT), include=["*model*"], format="safetensors")
    assert paths(selection.chosen) == {"model.safetensors"}


def test_exclude_subtracts_and_brings_no_other_family_back():
    assert "pytorch_model.bin" in left_out(BERT, exclude=["*.safetensors"])
    assert "model.safetensors" in left_out(BERT, exclude=["*.safetensors"])


def test_a_backslash_is_a_slash():
    assert left_out("a/b.txt c.txt", exclude=["a\\b.txt"]) == {"a/b.txt"}


def test_excluding_everything_is_no_success():
    with pytest.raises(ArtifactNotFound, match="every file was excluded"):
        select(listing(BERT), exclude=["*"])


def test_a_path_names_a_file_or_a_folder():
    assert paths(select(listing(BERT), path="tf_model.h5").chosen) == {"tf_model.h5"}
    assert len(select(listing(BERT), path="coreml/").chosen) == 2
    with pytest.raises(ArtifactNotFound, match="no file or folder 'tf_model'"):
        select(listing(BERT), path="tf_model")


def test_an_empty_repository_selects_nothing():
    assert select([]).chosen == ()


NAMES = sorted(
    {name for text in (BERT, SHARDED, DIFFUSERS, ONNX, "m.Q4_K_M.gguf mmproj-F16.gguf") for name in text.split()}
)


@given(st.sets(st.sampled_from(NAMES)).map(sorted), st.sampled_from(FORMATS))
def test_a_selection_splits_the_listing_and_is_stable(names, wish):
    files = listing(names)
    try:
        selection = select(files, format=wish)
    except ArtifactNotFound:
        assert wish not in {"auto", "all"}
        return
    assert sorted(paths(selection.chosen) | paths(selection.left_out)) == names
    assert paths(selection.chosen).isdisjoint(paths(selection.left_out))
    assert [each for each in files if each in selection.chosen] == list(selection.chosen)
    assert select(selection.chosen, format=wish).chosen == selection.chosen
