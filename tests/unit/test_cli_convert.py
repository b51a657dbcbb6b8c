import json
import sys

import jsonschema
import numpy as np
import pytest
from cli_stage import REPO_ROOT, Stage

from chunkdl.convert import run as convert_run
from tests.support.safetensors_files import numbers, sharded_model, write_tensors


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def validate(told):
    schema = json.loads((REPO_ROOT / "fixtures" / "convert.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    assert set(told) <= set(schema["properties"])


@pytest.fixture
def model(tmp_path):
    return sharded_model(tmp_path / "model")


def test_the_path_of_the_new_folder_is_all_that_stdout_says(stage, model):
    assert stage.run("convert", str(model), "--dtype", "bf16") == 0
    assert stage.out == f"{model}-bf16\n"
    assert "done: " in stage.err
    assert "2 tensors now BF16, 2 kept as they are" in stage.err
    assert f"load: python -c 'from transformers import AutoModel; AutoModel.from_pretrained(\"{model}-bf16\")'" in (
        stage.err
    )


def test_json_is_one_object(stage, model):
    assert stage.run("convert", str(model), "--dtype", "fp16", "-o", f"{model}-half", "--json") == 0
    told = stage.json
    assert (told["ok"], told["exit_code"], told["error"]) == (True, 0, None)
    assert (told["path"], told["source"], told["dtype"]) == (f"{model}-half", str(model), "F16")
    assert told["tensors"] == {"converted": 2, "kept": 2}
    assert told["left_out"] == ["pytorch_model.bin"]
    assert sum(each["size"] for each in told["files"]) == told["bytes"]
    assert (told["overflowed"], told["notices"]) == ({}, [])
    validate(told)


def test_a_dry_run_writes_nothing(stage, model):
    assert stage.run("convert", str(model), "--dtype", "fp16", "--dry-run") == 0
    assert [each.name for each in model.parent.iterdir() if each.name.startswith("model")] == ["model"]
    lines = stage.out.splitlines()
    assert lines[0] == f"# {model} as F16 to {model}-fp16"
    assert any(line.split()[:2] == ["config.json", "rewrite"] for line in lines)
    assert lines[-1].startswith("# 5 files, ")
    assert lines[-1].endswith(", 1 file left out")


def test_a_dry_run_as_json_has_no_outcome(stage, model):
    assert stage.run("convert", str(model), "--dtype", "fp16", "--dry-run", "--json") == 0
    assert "tensors" not in stage.json
    validate(stage.json)


def test_a_notice_is_an_object_with_a_code(stage, model):
    (model / "speaker.pth").write_bytes(b"pickle")
    assert stage.run("convert", str(model), "--dtype", "fp16", "--json") == 0
    validate(stage.json)
    assert [each["code"] for each in stage.json["notices"]] == ["pickle"]


def test_json_of_a_failure(stage, tmp_path):
    assert stage.run("convert", str(tmp_path / "nothing"), "--dtype", "fp16", "--json") == 3
    validate(stage.json)
    assert stage.json["error"]["code"] == "not-found"


def test_a_missing_extra_is_one_line_with_the_remedy(stage, model, monkeypatch):
    monkeypatch.setattr("chunkdl.convert.extra.find_spec", lambda name: None if name == "ml_dtypes" else name)
    assert stage.run("convert", str(model), "--dtype", "fp16") == 2
    assert stage.err == (
        "error: convert needs ml_dtypes, which this installation lacks\nhint: "
        f"{sys.executable} -m pip install numpy ml_dtypes safetensors\n"
    )


def test_help_needs_no_extra(stage, monkeypatch, capsys):
    for name in ("numpy", "ml_dtypes", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)
    assert stage.run("convert", "--help") == 0
    assert "--allow-overflow" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere", "--dtype", "fp16"), 3, "convert takes a folder"),
        (("{model}", "--dtype", "fp16", "-o", "{model}"), 7, "exists already"),
        (("{model}",), 2, "--dtype"),
        (("{model}", "--dtype", "int8"), 2, "fp16"),
    ],
)
def test_failures_have_their_codes(stage, model, arguments, code, words):
    typed = [each.format(model=model) for each in arguments]
    assert stage.run("convert", *typed) == code
    assert words in stage.err
    assert stage.err.count("error: ") == 1


def test_a_failure_is_one_object_too(stage):
    assert stage.run("convert", "nowhere", "--dtype", "fp16", "--json") == 3
    assert stage.json["error"]["code"] == "not-found"
    assert stage.json["exit_code"] == 3


def test_overflow_is_refused_and_then_allowed_by_name(stage, tmp_path):
    write_tensors(tmp_path / "m" / "model.safetensors", {"big": np.array([1e9], "<f4"), "w": numbers(3)})
    assert stage.run("convert", str(tmp_path / "m"), "--dtype", "fp16") == 7
    assert "--allow-overflow" in stage.err
    assert stage.run("convert", str(tmp_path / "m"), "--dtype", "fp16", "--allow-overflow") == 0
    assert "note: numbers that were too large are infinite now, in big (1)\n" in stage.err


def test_a_bug_is_told_with_its_traceback(stage, model, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("broken")

    monkeypatch.setattr(convert_run, "convert", broken)
    assert stage.run("convert", str(model), "--dtype", "fp16", "--json") == 1
    assert json.loads(stage.out)["error"]["code"] == "internal"
    assert "Traceback" in stage.err
