import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.selection import FORMATS, Draft, Wish, apply_rules, select
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
        pytest.param(
            "config.json model.safetensors pytorch_model.bin open_clip_config.json "
            "open_clip_model.safetensors open_clip_pytorch_model.bin",
            "pytorch_model.bin open_clip_pytorch_model.bin",
            id="timm",
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
    "importance matrices": ("m.Q4_K_M.gguf imatrix.dat m-imatrix.gguf", "imatrix.dat"),
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


def test_the_only_variant_is_taken_in_its_best_family():
    selection = select(listing("model.fp16.safetensors pytorch_model.fp16.bin"))
    assert paths(selection.left_out) == {"pytorch_model.fp16.bin"}
    assert selection.notices == ("the root has the weights as variant fp16 only: load them with variant='fp16'",)


def test_several_variants_and_no_plain_weights_are_a_choice():
    names = "model.fp16.safetensors model.bf16.safetensors pytorch_model.bf16.bin"
    with pytest.raises(ArtifactNotFound, match="name one with --variant") as caught:
        select(listing(names))
    assert caught.value.hint == "there is: bf16, fp16"
    assert left_out(names, variant="bf16") == {"model.fp16.safetensors", "pytorch_model.bf16.bin"}


def test_words_that_may_name_parts_are_no_choice():
    selection = select(listing("model.encoder.safetensors model.decoder.safetensors"))
    assert selection.left_out == ()
    assert "has only variants (decoder, encoder), all are taken" in selection.notices[0]


def test_components_that_lack_the_variant_are_named_in_one_notice():
    names = """model_index.json unet/diffusion_pytorch_model.safetensors unet/diffusion_pytorch_model.fp16.safetensors
        vae/diffusion_pytorch_model.safetensors text_encoder/model.safetensors"""
    notices = select(listing(names), variant="fp16").notices
    assert notices == ("vae, text_encoder have no variant fp16: the plain weights are taken",)


TORN = "model.safetensors.index.json model-00001-of-00003.safetensors"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (f"config.json {TORN}", "1 of 3 shards of model.safetensors"),
        ("model-00001-of-00003.safetensors", "1 of 3 shards of model.safetensors"),
        (f"{TORN} pytorch_model-00002-of-00002.bin", "1 of 3 shards of model.safetensors"),
        (
            "model_index.json vae/model.safetensors unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
            "1 of 2 shards of unet/diffusion_pytorch_model.fp16.safetensors",
        ),
    ],
)
def test_half_a_sharded_set_is_refused_before_a_byte_of_it(names, message):
    with pytest.raises(ArtifactNotFound, match=message) as caught:
        select(listing(names))
    assert caught.value.exit_code == 3
    assert "--format all" in caught.value.hint
    assert left_out(names, format="all") == set()


def test_half_a_set_gives_way_to_whole_weights_of_another_family():
    selection = select(listing(f"{TORN} m-Q8_0.gguf"))
    assert paths(selection.chosen) == {"m-Q8_0.gguf"}
    assert selection.notices == ("model.safetensors: 1 of 3 shards are there, none is taken",)


def test_half_a_set_beside_whole_weights_elsewhere_is_said_and_kept():
    selection = select(listing("model.safetensors extra/model-00001-of-00002.safetensors"))
    assert selection.left_out == ()
    assert selection.notices == ("the repository has 1 of 2 shards of extra/model.safetensors: taken as they are",)


def test_shards_counted_from_zero_and_shards_of_two_widths_are_whole():
    zero = "pytorch_model.bin.index.json pytorch_model-00000-of-00002.bin pytorch_model-00001-of-00002.bin"
    assert left_out(f"{zero} tf_model.h5") == {"tf_model.h5"}
    two = f"{SHARDED} model-00001-of-00001.safetensors"
    assert left_out(f"{two} pytorch_model.bin") == {"pytorch_model.bin"}


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


@pytest.mark.parametrize(
    ("wish", "by_rule"),
    [
        ({}, True),
        ({"format": "safetensors"}, True),
        ({"variant": ""}, True),
        ({"format": "all"}, False),
        ({"include": ["*.json"]}, False),
        ({"exclude": ["*.h5"]}, False),
        ({"path": "config.json"}, False),
    ],
)
def test_a_selection_knows_whether_its_rules_alone_decided(wish, by_rule):
    assert select(listing(BERT), **wish).by_rule is by_rule


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


def test_a_quantisation_finds_the_family_that_has_it():
    names = "config.json model.safetensors m-Q4_0.gguf onnx/model.onnx onnx/model_int8.onnx"
    assert paths(select(listing(names), quant="INT8").chosen) == {"config.json", "onnx/model_int8.onnx"}
    assert paths(select(listing(names), quant="q4_0").chosen) == {"config.json", "m-Q4_0.gguf"}
    with pytest.raises(ArtifactNotFound, match="no GGUF or ONNX weights of quantisation 'q8'") as caught:
        select(listing(names), quant="q8")
    assert caught.value.hint == "there is: Q4_0, fp32, int8"


def test_a_quantisation_that_is_a_variant_of_torch_weights_points_there():
    with pytest.raises(ArtifactNotFound, match="no GGUF or ONNX") as caught:
        select(listing("model.safetensors model.fp16.safetensors"), quant="fp16")
    assert caught.value.hint == "torch weights: --variant fp16"


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
        ("qwen2-0_5b-instruct-fp16.gguf", "fp16"),
        ("qwen2-0_5b-instruct-fp16.gguf", "F16"),
        ("m-F16.gguf", "fp16"),
        ("Llama-3-8B-imatrix-Q4_K_M.gguf", "q4_k_m"),
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


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("q8", "onnx/model_quantized.onnx"),
        ("quantized", "onnx/model_quantized.onnx"),
        ("Q4F16", "onnx/model_q4f16.onnx"),
        ("uint8", "onnx/model_uint8.onnx"),
        ("fp32", "onnx/model.onnx"),
        ("O3", "onnx/model_O3.onnx"),
        ("qint8_avx512", "onnx/model_qint8_avx512.onnx"),
    ],
)
def test_spellings_of_an_onnx_precision(asked, kept):
    names = ["onnx/model", *(f"onnx/model_{each}" for each in ("quantized", "q4f16", "uint8", "O3", "qint8_avx512"))]
    files = [f"{each}.onnx" for each in names]
    assert paths(select(listing(files), quant=asked).chosen) == {kept}
    assert paths(select(listing(files)).chosen) == {"onnx/model.onnx"}


def test_onnx_data_in_several_files_goes_with_its_model():
    names = "model_q4.onnx model_q4.onnx_data model_q4.onnx_data_1 model.onnx model.onnx_data"
    assert left_out(names, quant="q4") == {"model.onnx", "model.onnx_data"}


@pytest.mark.parametrize("separator", "_.-")
def test_onnx_precisions_are_set_apart_in_several_ways(separator):
    assert left_out(f"encoder.onnx encoder{separator}int8.onnx") == {f"encoder{separator}int8.onnx"}


def test_onnx_without_a_plain_precision_is_a_choice_unless_there_is_one():
    names = "onnx/model_q4.onnx onnx/model_fp16.onnx"
    with pytest.raises(ArtifactNotFound, match="onnx/model has several ONNX precisions") as caught:
        select(listing(names))
    assert caught.value.hint == "there is: fp16, q4"
    assert left_out("onnx/model_q4.onnx config.json") == set()


def test_onnx_parts_that_lack_the_precision_take_the_plain_one_and_are_named():
    names = "onnx/encoder_model.onnx onnx/encoder_model_q4.onnx onnx/decoder_model.onnx onnx/embed_fp16.onnx"
    selection = select(listing(names), quant="q4")
    assert paths(selection.left_out) == {"onnx/encoder_model.onnx"}
    assert selection.notices == (
        "onnx/decoder_model has no precision q4: the plain one is taken",
        "onnx/embed has no precision q4: fp16 is taken",
    )


def test_one_projector_of_several_precisions_is_enough():
    selection = select(listing("m-Q8_0.gguf mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf mmproj-other-f32.gguf"))
    assert paths(selection.left_out) == {"mmproj-BF16.gguf", "mmproj-F32.gguf"}
    assert selection.notices == ("mmproj-F16.gguf is taken of 3 precisions; --include chooses another",)


def test_the_only_quantisation_with_a_missing_shard():
    with pytest.raises(ArtifactNotFound, match="lacks shards of m-Q8_0") as caught:
        select(listing("m-Q8_0-00001-of-00002.gguf"))
    assert caught.value.exit_code == 3


def test_all_shards_of_a_quantisation_are_kept():
    shards = [f"Q8_0/m-Q8_0-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
    assert left_out([*shards, "m-Q4_0.gguf"], quant="q8_0") == {"m-Q4_0.gguf"}


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
    except ArtifactNotFound as error:
        told = error.message
        selection = None
    if selection is None:
        assert wish not in {"auto", "all"} or (wish == "auto" and re.search("name one with|shards", told))
        return
    assert sorted(paths(selection.chosen) | paths(selection.left_out)) == names
    assert paths(selection.chosen).isdisjoint(paths(selection.left_out))
    assert [each for each in files if each in selection.chosen] == list(selection.chosen)
    assert select(selection.chosen, format=wish).chosen == selection.chosen


@pytest.mark.parametrize(
    "names",
    [
        ["model.safetensors.index.json", *(f"model-{n:05}-of-09999.safetensors" for n in range(1, 10_000))],
        [f"onnx/x{n}{each}.onnx" for n in range(5_000) for each in ("", "_int8")],
        [f"x{n}.{each}" for n in range(5_000) for each in ("ckpt", "safetensors")],
        [f"a/b{n}/c.json" for n in range(10_000)],
    ],
    ids=["shards", "precisions", "twins", "folders"],
)
def test_the_work_grows_with_the_listing_and_not_with_its_square(names):
    """By counting how often something is dropped, which goes through all paths: a clock would measure the machine."""
    draft = CountingDraft(list(names))
    apply_rules(draft, Wish())
    assert draft.drops < 30


@dataclass
class CountingDraft(Draft):
    drops: int = 0

    def drop(self, paths):
        gone = list(paths)
        self.drops += bool(gone)
        Draft.drop(self, gone)  # no super() in a class that slots made anew
