"""``--local-dir`` against the real huggingface_hub: each finds nothing left to do after the other."""

from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from conftest import NAME, hidden_state
from huggingface_hub._local_folder import read_download_metadata
from huggingface_hub._tree_cache import read_tree_cache


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "my model"


def fetched(hub, folder, *flags):
    return hub.fetch(NAME, "--local-dir", str(folder), *flags)


def downloaded(hub, folder, *flags):
    """What the stock client does, and how many bytes of content it asked for."""
    served = hub.server.bytes_served
    stock = hub.online("hf", "download", NAME, "--local-dir", str(folder), "--quiet", *flags)
    assert stock.returncode == 0, stock.stderr
    assert stock.stdout.strip() == str(folder)
    return hub.server.bytes_served - served


def inodes(folder):
    return {each: each.stat().st_ino for each in folder.rglob("*") if each.is_file() and ".cache" not in each.parts}


def test_the_stock_client_finds_nothing_left_to_download(hub, folder):
    report = fetched(hub, folder, "--format", "all")
    assert report["results"][0]["path"] == str(folder)
    before = inodes(folder)
    assert downloaded(hub, folder) == 0
    assert inodes(folder) == before


def test_what_the_stock_client_downloaded_is_not_fetched_again(hub, folder):
    assert downloaded(hub, folder) > 0
    served, before = hub.server.bytes_served, inodes(folder)
    report = fetched(hub, folder)
    assert report["totals"]["bytes_fetched"] == 0
    assert hub.server.bytes_served == served
    assert inodes(folder) == before


def test_the_stock_client_believes_our_records_and_our_tree(hub, folder):
    report = fetched(hub, folder, "--format", "all")
    for each in report["results"][0]["files"]:
        record = read_download_metadata(folder, each["path"])
        assert record is not None
        assert (record.commit_hash, record.etag) == (hub.repo.commit, each["digest"].split(":")[1])
    tree = read_tree_cache(str(folder / ".cache" / "huggingface"), hub.repo.commit)
    assert set(tree) == set(hub.repo.files)


def test_a_smaller_set_is_completed_by_the_stock_client(hub, folder):
    fetched(hub, folder)
    missing = sum(len(hub.repo.files[name]) for name in ("pytorch_model.bin", "tf_model.h5"))
    assert downloaded(hub, folder) == missing


def test_files_without_records_are_adopted_by_us(hub, folder):
    downloaded(hub, folder)
    for each in folder.rglob("*.metadata"):
        each.unlink()
    report = fetched(hub, folder)
    assert report["totals"]["bytes_fetched"] == 0
    assert downloaded(hub, folder) == 0


def test_the_folder_is_found_offline(hub, folder):
    fetched(hub, folder)
    found = huggingface_hub.snapshot_download(NAME, local_dir=folder, cache_dir=hub.cache, local_files_only=True)
    assert found == str(folder)


def test_a_file_is_found_offline(hub, folder):
    fetched(hub, folder)
    found = huggingface_hub.hf_hub_download(
        NAME, "config.json", local_dir=folder, cache_dir=hub.cache, revision=hub.repo.commit, local_files_only=True
    )
    assert Path(found) == folder / "config.json"


def test_the_model_loads_from_the_folder(hub, folder, expected):
    fetched(hub, folder)
    assert torch.equal(hidden_state(transformers.AutoModel.from_pretrained(folder).eval()), expected)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    message = [{"role": "user", "content": "hello"}]
    assert tokenizer.apply_chat_template(message, tokenize=False, chat_template="tool_use") == "tools hello"


def test_the_folder_verifies(hub, folder):
    fetched(hub, folder, "--format", "all")
    verified = hub.online("hf", "cache", "verify", NAME, "--local-dir", str(folder), "--fail-on-missing-files")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_copy_from_the_cache_leaves_the_cache_as_it_was(hub, folder):
    hub.fetch()
    served = hub.server.bytes_served
    assert fetched(hub, folder)["totals"]["bytes_fetched"] == 0
    assert hub.server.bytes_served == served
    assert huggingface_hub.scan_cache_dir(hub.cache).warnings == []
