"""The stock client against a mirror of our own: one machine pulls, another is filled from it by `hf` and by chunkdl."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from conftest import CANONICAL, LIMIT_S, NAME, contents, hidden_state
from support.programs import line_of
from support.share import plain_nginx

from chunkdl.share.folder import MirrorFolder


@contextmanager
def served(lab, hub):
    """``chunkdl serve`` as people start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chunkdl", "serve", lab, "--listen", "127.0.0.1:0"],
        env=hub.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield line_of(process)
    finally:
        process.terminate()
        _, told = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, "Traceback" in told) == (0, False), told


@contextmanager
def by_nginx(lab, _hub):
    folder = MirrorFolder(lab)
    port = int(re.search(r"listen 127\.0\.0\.1:(\d+);", folder.config.read_text())[1])
    with plain_nginx(folder, port) as url:
        yield url


def run(hub, *argv, **environment):
    done = subprocess.run(
        argv, env=hub.environment(**environment), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=[served, by_nginx], ids=["serve", "nginx"])
def lab(request, hub, tmp_path, unused_tcp_port_factory):
    """A mirror of what was fetched; the hub that it came from is silent from now on."""
    hub.fetch(NAME, "--format", "all")
    hub.server.faults = ["accept-and-silent"]
    export = [sys.executable, "-m", "chunkdl", "mirrors", "export", NAME, tmp_path / "lab"]
    environment = {"HF_ENDPOINT": hub.server.url}
    run(hub, *export, "--listen", f"127.0.0.1:{unused_tcp_port_factory()}", **environment)
    with request.param(tmp_path / "lab", hub) as url:
        yield url


def second(tmp_path, url):
    """Another machine: nothing of the first, and the mirror as its hub."""
    return {
        "HF_HOME": str(tmp_path / "second"),
        "HF_ENDPOINT": url,
        "CHUNKDL_STATE_DIR": str(tmp_path / "second/state"),
    }


@pytest.mark.parametrize("name", [NAME, CANONICAL])
def test_stock_hf_fills_a_second_home(hub, lab, tmp_path, expected, name):
    hf = Path(sys.executable).parent / "hf"
    path = Path(run(hub, hf, "download", name, "--quiet", **second(tmp_path, lab)).strip().splitlines()[-1])
    assert contents(path) == dict(hub.repo.files)
    cache = tmp_path / "second/hub"
    assert huggingface_hub.snapshot_download(name, cache_dir=cache, local_files_only=True) == str(path)
    assert huggingface_hub.scan_cache_dir(cache).warnings == []
    model = transformers.AutoModel.from_pretrained(name, cache_dir=cache).eval()
    assert torch.equal(hidden_state(model), expected)
    checked = run(hub, hf, "cache", "verify", name, "--fail-on-missing-files", **second(tmp_path, lab))
    assert "verified" in checked.lower()


def test_a_library_call_with_a_missing_file_marks_it_absent(hub, lab, tmp_path):
    code = (
        "import transformers; m = transformers.AutoTokenizer.from_pretrained('bert-base-uncased');"
        "print(m('hello world')['input_ids'])"
    )
    assert "[2, 5, 6, 3]" in run(hub, sys.executable, "-c", code, HF_HUB_OFFLINE="0", **second(tmp_path, lab))
    marked = {each.name for each in (tmp_path / "second/hub").rglob(".no_exist/**/*.json")}
    assert "added_tokens.json" in marked


def test_chunkdl_fills_a_second_home(hub, lab, tmp_path):
    command = [sys.executable, "-m", "chunkdl", "fetch", NAME, "--format", "all", "--json", "--no-mirrors"]
    said = json.loads(run(hub, *command, **second(tmp_path, lab)))
    (result,) = said["results"]
    assert contents(Path(result["path"])) == dict(hub.repo.files)
    cache = tmp_path / "second/hub"
    assert huggingface_hub.snapshot_download(NAME, cache_dir=cache, local_files_only=True) == result["path"]
