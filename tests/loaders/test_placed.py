from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from conftest import NAME, contents, hidden_state, tiny_bert

from chunkdl.model import RepoType


def load(hub, **how):
    return transformers.AutoModel.from_pretrained(NAME, cache_dir=hub.cache, **how).eval()


def placed(hub, **how):
    return huggingface_hub.snapshot_download(NAME, cache_dir=hub.cache, local_files_only=True, **how)


def test_the_default_fetch_loads_and_computes_the_same(hub, expected):
    report = hub.fetch()
    assert torch.equal(hidden_state(load(hub)), expected)
    assert report["results"][0]["left_out"]["files"] == 2
    names = {each["path"] for each in report["results"][0]["files"]}
    assert "model.safetensors" in names
    assert names.isdisjoint({"pytorch_model.bin", "tf_model.h5"})


def test_the_tokenizer_finds_its_named_templates(hub):
    hub.fetch()
    tokenizer = transformers.AutoTokenizer.from_pretrained(NAME, cache_dir=hub.cache)
    message = [{"role": "user", "content": "hello"}]
    assert tokenizer.apply_chat_template(message, tokenize=False, chat_template="tool_use") == "tools hello"
    assert tokenizer("hello world")["input_ids"] == [2, 5, 6, 3]


def test_a_snapshot_without_patterns_is_found_offline(hub):
    report = hub.fetch()
    assert placed(hub) == report["results"][0]["path"]


def test_every_file_is_found_one_by_one(hub):
    report = hub.fetch()
    for each in report["results"][0]["files"]:
        path = huggingface_hub.hf_hub_download(NAME, each["path"], cache_dir=hub.cache, local_files_only=True)
        assert path == huggingface_hub.try_to_load_from_cache(NAME, each["path"], cache_dir=hub.cache)
        assert Path(path).read_bytes() == hub.repo.files[each["path"]]


def test_the_scanner_is_content(hub):
    hub.fetch()
    info = huggingface_hub.scan_cache_dir(hub.cache)
    assert info.warnings == []
    (repo,) = info.repos
    assert (repo.repo_id, repo.repo_type, set(repo.refs)) == (NAME, "model", {"main"})
    (revision,) = repo.revisions
    assert revision.commit_hash == hub.repo.commit


def test_all_files_verify_and_leave_the_tree(hub):
    hub.fetch(NAME, "--format", "all")
    assert (hub.cache / f"models--{NAME}" / "trees" / f"{hub.repo.commit}.json").exists()
    verified = hub.online("hf", "cache", "verify", NAME, "--fail-on-missing-files", "--fail-on-extra-files")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert placed(hub)
    assert torch.equal(hidden_state(load(hub, use_safetensors=False)), hidden_state(load(hub)))


def test_a_smaller_set_verifies_and_leaves_no_tree(hub):
    hub.fetch()
    assert not (hub.cache / f"models--{NAME}" / "trees").exists()
    verified = hub.online("hf", "cache", "verify", NAME)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_pinned_commit_is_loaded_by_its_revision(hub, expected):
    hub.fetch(f"{NAME}@{hub.repo.commit}")
    assert not (hub.cache / f"models--{NAME}" / "refs" / hub.repo.commit).exists()
    assert torch.equal(hidden_state(load(hub, revision=hub.repo.commit)), expected)
    with pytest.raises(OSError, match=r"offline|cached"):
        load(hub)


def test_shards_load(serve, tmp_path, expected):
    tiny_bert(tmp_path, max_shard_size="40KB")
    hub = serve(contents(tmp_path))
    report = hub.fetch()
    assert sum(each["path"].startswith("model-0") for each in report["results"][0]["files"]) > 1
    assert torch.equal(hidden_state(load(hub)), expected)


def test_a_variant_loads(serve, tmp_path, model_folder, expected):
    tiny_bert(tmp_path, variant="fp16")
    hub = serve(contents(model_folder) | contents(tmp_path))
    report = hub.fetch(NAME, "--variant", "fp16")
    names = {each["path"] for each in report["results"][0]["files"]}
    assert {each for each in names if each.endswith(".safetensors")} == {"model.fp16.safetensors"}
    assert torch.equal(hidden_state(load(hub, variant="fp16")), expected)


def test_without_symlinks_it_loads_as_well(hub, expected):
    report = hub.fetch(NAME, HF_HUB_DISABLE_SYMLINKS="1")
    snapshot = Path(report["results"][0]["path"])
    assert [each for each in snapshot.rglob("*") if each.is_symlink()] == []
    assert torch.equal(hidden_state(load(hub)), expected)
    assert huggingface_hub.scan_cache_dir(hub.cache).warnings == []
    assert hub.fetch(NAME, HF_HUB_DISABLE_SYMLINKS="1")["totals"]["bytes_fetched"] == 0


def test_a_dataset_is_whole_and_found(serve):
    files = {"README.md": b"# data", "data/train.bin": bytes(9000), "data/train.safetensors": bytes(7000)}
    hub = serve(files, repo_type=RepoType.DATASET)
    report = hub.fetch(f"datasets/{NAME}")
    assert report["results"][0]["left_out"]["files"] == 0
    assert placed(hub, repo_type="dataset") == report["results"][0]["path"]
    verified = hub.online("hf", "cache", "verify", NAME, "--type", "dataset", "--fail-on-missing-files")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_stock_client_finds_nothing_left_to_download(hub):
    hub.fetch(NAME, "--format", "all")
    served = hub.server.bytes_served
    stock = hub.online("hf", "download", NAME, "--quiet")
    assert stock.returncode == 0, stock.stderr
    assert stock.stdout.strip() == placed(hub)
    assert hub.server.bytes_served == served


def test_what_the_stock_client_downloaded_is_not_fetched_again(hub):
    stock = hub.online("hf", "download", NAME, "--quiet")
    assert stock.returncode == 0, stock.stderr
    served = hub.server.bytes_served
    report = hub.fetch()
    assert report["totals"]["bytes_fetched"] == 0
    assert report["results"][0]["path"] == stock.stdout.strip()
    assert hub.server.bytes_served == served
    assert huggingface_hub.scan_cache_dir(hub.cache).warnings == []
