import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from chunkdl.convert import run as convert_run
from chunkdl.convert import write as convert_write
from chunkdl.convert.plan import Act
from chunkdl.convert.run import convert, leftovers, prepare
from chunkdl.errors import (
    ArtifactNotFound,
    DiskFull,
    IntegrityError,
    PlacementRefused,
    PolicyRefused,
    StoreError,
)
from tests.support.safetensors_files import numbers, read_tensors, sharded_model, write_tensors

INDEX = "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path):
    return sharded_model(tmp_path / "work" / "model")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "hub"


def planned(source, cache, word="fp16", target=None):
    return prepare(source, target, word, here=cache.parent, cache_dir=cache)


def drawn(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("word", "kind"), [("fp16", "<f2"), ("bf16", ml_dtypes.bfloat16)])
def test_a_sharded_model_becomes_half_as_large_and_stays_sharded(model, cache, word, kind):
    before = drawn(model)
    plan = planned(model, cache, word)
    told = []
    outcome = convert(plan, told.append)
    assert plan.target == model.with_name(f"model-{word}")
    assert (outcome.converted, outcome.kept, outcome.overflowed) == (2, 2, {})
    assert drawn(model) == before
    result = drawn(plan.target)
    assert set(result) == {name for name in before if not name.startswith((".cache", "pytorch"))}
    assert plan.left_out == ("pytorch_model.bin",)
    assert result["tokenizer.json"] == before["tokenizer.json"]
    tensors, metadata = {}, None
    for shard in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        found, metadata = read_tensors(plan.target / shard)
        tensors |= found
    assert metadata == {"format": "pt"}
    assert np.array_equal(tensors["embed"], numbers(50, 8, seed=1).astype(kind))
    assert np.array_equal(tensors["steps"], np.arange(7))
    assert np.array_equal(tensors["mask"], [True, False, True])
    assert sum(map(len, result.values())) == plan.size
    assert told[-1].done_bytes == told[-1].total_bytes == plan.read_bytes


def test_index_and_configurations_are_brought_up_to_date(model, cache):
    plan = planned(model, cache, "bf16")
    convert(plan, lambda _: None)
    index = json.loads((plan.target / INDEX).read_text())
    assert index["metadata"] == {"total_size": 50 * 8 * 2 + 7 * 8 + 15 * 2 + 3, "total_parameters": 425}
    assert index["weight_map"] == json.loads((model / INDEX).read_text())["weight_map"]
    config = json.loads((plan.target / "config.json").read_text())
    assert (config["dtype"], config["text_config"]) == ("bfloat16", {"torch_dtype": "bfloat16", "dtype": "int8"})
    assert list(config) == ["model_type", "dtype", "text_config", "vocab_size"]


@pytest.mark.parametrize(
    ("told", "act"),
    [({"quantization_config": None, "dtype": "float32"}, Act.REWRITE), ({"dtype": ["float32", {}]}, Act.COPY)],
)
def test_what_a_configuration_states_in_other_words_is_left_as_it_is(model, cache, told, act):
    (model / "config.json").write_text(json.dumps(told))
    plan = planned(model, cache)
    assert {each.name: each.act for each in plan.works}["config.json"] is act


def test_a_link_to_a_folder_is_refused_by_name(model, cache, tmp_path):
    """What it leads to would otherwise be lacking in the result, without a word."""
    (tmp_path / "shared").mkdir()
    (model / "vae").symlink_to(tmp_path / "shared")
    with pytest.raises(PlacementRefused, match="vae is a link to a folder"):
        planned(model, cache)


def test_a_configuration_without_types_is_copied(model, cache):
    (model / "config.json").write_text('{"_class_name":"UNet"}')
    acts = {each.name: each.act for each in planned(model, cache).works}
    assert acts["config.json"] is Act.COPY
    assert acts[INDEX] is Act.REWRITE


def test_a_pipeline_of_several_components(tmp_path, cache):
    folder = tmp_path / "pipe"
    for part in ("unet", "vae"):
        write_tensors(folder / part / "diffusion_pytorch_model.safetensors", {"w": numbers(4, 4)})
        (folder / part / "config.json").write_text("{}")
    write_tensors(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors", {"w": numbers(4, 4, kind="<f2")})
    (folder / "model_index.json").write_text("{}")
    plan = planned(folder, cache)
    convert(plan, lambda _: None)
    assert plan.left_out == ("unet/diffusion_pytorch_model.fp16.safetensors",)
    for part in ("unet", "vae"):
        tensors, _ = read_tensors(plan.target / part / "diffusion_pytorch_model.safetensors")
        assert tensors["w"].dtype == np.float16


def test_a_snapshot_of_links_becomes_a_folder_of_files_named_after_the_model(model, cache):
    snapshot = cache / "models--org--name" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for each in model.iterdir():
        if each.is_file():
            (snapshot / each.name).symlink_to(each)
    plan = planned(snapshot, cache)
    convert(plan, lambda _: None)
    assert plan.target == cache.parent / "name-fp16"
    assert [path for path in plan.target.rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize("where", ["x", "models--org--name/x", "models--org--name/snapshots/x"])
def test_nothing_is_written_into_the_cache(model, cache, where):
    (cache / "models--org--name" / "snapshots").mkdir(parents=True)
    with pytest.raises(PlacementRefused, match="inside the cache"):
        planned(model, cache, target=cache / where)
    with pytest.raises(PlacementRefused, match="inside the cache"):
        planned(model, cache.with_name("another"), target=cache / "models--org--name" / where)


def test_places_that_are_taken_or_inside_the_source(model, cache):
    with pytest.raises(PlacementRefused, match="exists already"):
        planned(model, cache, target=model)
    with pytest.raises(PlacementRefused, match="inside what is converted"):
        planned(model, cache, target=model / "half")


@pytest.mark.parametrize("name", ["nowhere", "org/name", "config.json"])
def test_what_is_no_folder_is_told_how_to_get_one(model, cache, name):
    with pytest.raises(ArtifactNotFound, match="convert takes a folder") as caught:
        planned(model / name, cache)
    assert "chunkdl fetch REF" in caught.value.hint


def test_only_pickles_are_refused_unopened(tmp_path, cache):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(PolicyRefused, match="does not open") as caught:
        planned(tmp_path / "m", cache)
    assert "--format safetensors" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["m.Q2_K.gguf", "m.Q8_0.gguf"], PolicyRefused, "llama-quantize"),
        (["README.md"], ArtifactNotFound, "no safetensors weights"),
        ([], ArtifactNotFound, "no safetensors weights"),
    ],
)
def test_folders_without_weights_of_ours(tmp_path, cache, names, error, words):
    (tmp_path / "m").mkdir()
    for each in names:
        (tmp_path / "m" / each).write_bytes(b"x")
    with pytest.raises(error, match=words):
        planned(tmp_path / "m", cache)


def test_a_pickle_that_is_the_only_weights_of_its_folder_is_copied_and_said(model, cache):
    (model / "2_Dense").mkdir()
    (model / "2_Dense" / "pytorch_model.bin").write_bytes(b"a pickle")
    plan = planned(model, cache)
    assert plan.notices == ("2_Dense/pytorch_model.bin is copied as it is: a pickle is never opened",)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda m: (m / "config.json").write_text('{"quantization_config": {}}'), PolicyRefused, "quantised already"),
        (lambda m: (m / "config.json").write_text("no JSON"), IntegrityError, "config.json is no JSON"),
        (lambda m: (m / INDEX).write_text("[]"), IntegrityError, "no index of weights"),
        (
            lambda m: (m / INDEX).write_text('{"weight_map": {"w": "other.safetensors"}}'),
            IntegrityError,
            "names other.safetensors, which is not there",
        ),
        (
            lambda m: (m / INDEX).write_text('{"weight_map": {"w": "../../x.safetensors"}}'),
            PlacementRefused,
            "no plain file beside it",
        ),
        (lambda m: (m / "model-00002-of-00002.safetensors").write_bytes(b"x"), IntegrityError, "no whole safetensors"),
        (lambda m: (m / "model-00002-of-00002.safetensors").unlink(), ArtifactNotFound, "1 of 2 shards"),
    ],
)
def test_what_is_damaged_or_quantised_is_refused_before_a_byte_is_written(model, cache, change, error, words):
    if words.startswith("1 of 2"):
        (model / "pytorch_model.bin").unlink()
    change(model)
    with pytest.raises(error, match=words):
        planned(model, cache)
    assert [each.name for each in model.parent.iterdir()] == ["model"]


def folder_of(tmp_path, name="model.safetensors", **tensors):
    write_tensors(tmp_path / "m" / name, tensors)
    return tmp_path / "m"


def test_scaled_types_are_refused(tmp_path, cache):
    folder = folder_of(tmp_path, a=numbers(2))
    raw = (folder / "model.safetensors").read_bytes().replace(b'"F32", "shape": [2]', b'"F8_E4M3", "shape": [8]')
    raw = (len(raw) - 16).to_bytes(8, "little") + raw[8:]
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(PolicyRefused, match="holds F8_E4M3"):
        planned(folder, cache)


def test_weights_named_after_a_precision_are_refused(tmp_path, cache):
    with pytest.raises(PolicyRefused, match="named after its precision, fp16"):
        planned(folder_of(tmp_path, "model.fp16.safetensors", a=numbers(2)), cache, "bf16")


def test_nothing_to_do_is_said(tmp_path, cache):
    folder = folder_of(tmp_path, a=numbers(2, kind="<f2"), b=np.arange(2))
    with pytest.raises(PolicyRefused, match="nothing to do"):
        planned(folder, cache, "fp16")
    assert planned(folder, cache, "bf16").works[0].act is Act.CONVERT


def test_what_does_not_fit_is_refused_by_tensor_or_stored_as_infinity(tmp_path, cache):
    folder = folder_of(tmp_path, fine=numbers(3), big=np.array([1e5, -1e5, 1], "<f4"))
    plan = planned(folder, cache)
    with pytest.raises(PolicyRefused, match=r"2 numbers of big in model\.safetensors are too large for F16") as caught:
        convert(plan, lambda _: None)
    assert "bf16" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["m"], "nothing is left"
    assert convert(plan, lambda _: None, allow_overflow=True).overflowed == {"big": 2}
    assert read_tensors(plan.target / "model.safetensors")[0]["big"].tolist() == [np.inf, -np.inf, 1]


def test_tensors_of_all_shapes_and_more_than_one_piece(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(convert_write, "_PIECE_BYTES", 64)
    tensors = {
        "odd": numbers(33, kind="<f4"),
        "wide": np.arange(5, dtype="<i8"),
        "scalar": np.array(1.5, "<f8"),
        "none": numbers(0, 3),
        "half": numbers(7, kind="<f2"),
        "brain": numbers(9).astype(ml_dtypes.bfloat16),
    }
    folder = folder_of(tmp_path, **tensors)
    plan = planned(folder, cache, "bf16")
    convert(plan, lambda _: None)
    found, _ = read_tensors(plan.target / "model.safetensors")
    for name, each in tensors.items():
        wanted = each if name == "wide" else each.astype("<f4").astype(ml_dtypes.bfloat16)
        assert found[name].shape == each.shape
        assert np.array_equal(found[name], wanted), name


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_written(model, cache, monkeypatch):
    monkeypatch.setattr(convert_run, "free_bytes", lambda _: 100)
    plan = planned(model, cache)
    with pytest.raises(DiskFull, match=f"needs {plan.size} more bytes and has 100 free"):
        convert(plan, lambda _: None)
    assert [each.name for each in model.parent.iterdir()] == ["model"]
    convert(plan, lambda _: None, space_check=False)
    assert plan.target.is_dir()


def test_a_failing_disk_leaves_nothing_behind(model, cache, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(convert_write, "write_all", full)
    with pytest.raises(StoreError, match="cannot store") as caught:
        convert(planned(model, cache), lambda _: None)
    assert caught.value.exit_code == 6
    assert [each.name for each in model.parent.iterdir()] == ["model"]


def test_a_target_that_comes_into_being_meanwhile_is_left_alone(model, cache):
    plan = planned(model, cache)
    plan.target.mkdir()
    (plan.target / "mine").write_text("mine")
    with pytest.raises(PlacementRefused, match="meanwhile"):
        convert(plan, lambda _: None)
    assert [each.name for each in plan.target.iterdir()] == ["mine"]


def test_what_a_killed_conversion_left_is_named(model, cache):
    plan = planned(model, cache)
    left = Path(plan.target.with_name(f".{plan.target.name}.1234abcd.chunkdl-new"))
    left.mkdir()
    (told,) = leftovers(plan)
    assert told.startswith(f"{left} is left")


def test_several_variants_without_plain_weights_say_what_convert_can_take(tmp_path, cache):
    folder = tmp_path / "work" / "variants"
    for name in ("model.fp16.safetensors", "model.bf16.safetensors"):
        write_tensors(folder / name, {"a": numbers(4)})
    with pytest.raises(ArtifactNotFound) as refused:
        planned(folder, cache)
    assert "several variants and no plain weights, and convert takes one whole set" in refused.value.message
    assert "--variant" not in refused.value.message
    assert "fetch the repository without --variant" in refused.value.hint
