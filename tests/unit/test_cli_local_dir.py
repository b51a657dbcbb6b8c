from pathlib import Path

import pytest
from cli_stage import CONFIG, Stage, file_report, good_report, places

from chunkdl.errors import UsageError
from chunkdl.model import RemoteFile
from chunkdl.report import ReferenceReport
from chunkdl.settings import Flags, load_settings


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path, places(("org/a", "/x")))


def test_the_folder_reaches_the_settings_without_links(stage, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert stage.run("fetch", "org/a", "--local-dir", str(tmp_path / "link" / "model")) == 0
    settings = stage.asked[2]
    assert settings.local_dir == tmp_path / "real" / "model"
    assert settings.provenance["local_dir"] == "flag --local-dir"


def test_without_the_option_there_is_no_folder(stage):
    stage.run("fetch", "org/a")
    assert stage.asked[2].local_dir is None


def test_a_cache_as_well_is_a_usage_error_in_json_too(stage, tmp_path):
    code = stage.run("fetch", "org/a", "--json", "--local-dir", str(tmp_path), "--cache-dir", str(tmp_path))
    assert code == 2
    assert stage.json["results"][0]["error"]["code"] == "usage"
    assert "--local-dir and --cache-dir exclude each other" in stage.err
    assert stage.asked is None


def test_a_cache_from_the_environment_may_stand_beside_it(tmp_path):
    stage = Stage(tmp_path, places(("org/a", "/x")), environ={"HF_HUB_CACHE": str(tmp_path / "hub")})
    assert stage.run("fetch", "org/a", "--local-dir", str(tmp_path / "model")) == 0
    assert stage.asked[2].cache_dir == tmp_path / "hub"


def test_a_file_is_no_folder(stage, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert stage.run("fetch", "org/a", "--local-dir", str(tmp_path / "file")) == 2


@pytest.mark.parametrize("name", ["a\0b", "~nobody-of-this-name/model"])
def test_a_name_that_no_system_can_mean_is_a_usage_error(name):
    with pytest.raises(UsageError, match="--local-dir"):
        load_settings({"HOME": "/nowhere"}, None, Flags(local_dir=Path(name)))
    with pytest.raises(UsageError, match="--cache-dir"):
        load_settings({"HOME": "/nowhere"}, None, Flags(cache_dir=Path(name)))


def test_a_tilde_means_home_in_a_library_call(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({}, None, Flags(local_dir=Path("~/model"))).local_dir == tmp_path / "model"
    assert load_settings({}, None, Flags(cache_dir=Path("~/hub"))).cache_dir == tmp_path / "hub"


def test_a_tilde_that_no_shell_expanded_means_home(stage, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stage.run("fetch", "org/a", "--cache-dir=~/hub") == 0
    assert stage.asked[2].cache_dir == tmp_path / "hub"


def loading_line(tmp_path, *argv, files, ref="org/a"):
    reports = tuple(file_report(RemoteFile(each, 1, CONFIG.digest)) for each in files)
    result = ReferenceReport(ref, ok=True, exit_code=0, path="/my model", files=reports)
    stage = Stage(tmp_path, places((ref, "/my model"), report=good_report(result)))
    stage.run("fetch", ref, "--local-dir", str(tmp_path / "model"), *argv)
    return [each.removeprefix("load: ") for each in stage.err.splitlines() if each.startswith("load: ")]


def test_the_loading_line_names_the_folder_and_neither_revision_nor_cache(tmp_path):
    [line] = loading_line(
        tmp_path, "--variant", "fp16", files=("config.json", "model.fp16.safetensors"), ref="org/a@v1"
    )
    call = 'AutoModel.from_pretrained("/my model", variant="fp16")'
    assert line == f"HF_HUB_OFFLINE=1 python -c 'from transformers import AutoModel; {call}'"


@pytest.mark.parametrize(("ref", "file"), [("org/a", "weights.gguf"), ("datasets/org/a", "data.parquet")])
def test_files_that_nothing_loads_by_name_need_no_line(tmp_path, ref, file):
    assert loading_line(tmp_path, files=(file,), ref=ref) == []
