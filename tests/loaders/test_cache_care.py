"""The cache commands beside the real huggingface_hub: what one leaves the other must find sound."""

import json
import os
import subprocess
import sys

import huggingface_hub
import pytest
import transformers
from conftest import LIMIT_S, NAME, contents, hidden_state


def chunkdl(hub, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "chunkdl", *arguments],
        env=hub.environment(CHUNKDL_ORIGIN=hub.server.url, CHUNKDL_MIRRORS="none", TORCH_HOME=str(hub.root / "torch")),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def scan(hub):
    found = huggingface_hub.scan_cache_dir(hub.cache)
    assert found.warnings == []
    return found


def flip(path, at):
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_both_count_the_same(hub):
    hub.fetch(NAME, "--format", "all")
    (ours,) = json.loads(chunkdl(hub, "cache", "ls", "--json"))["repos"]
    (theirs,) = scan(hub).repos
    assert ours["bytes"] == theirs.size_on_disk
    assert [each["files"] for each in ours["revisions"]] == [len(each.files) for each in theirs.revisions]
    assert set(ours["refs"]) == set(theirs.refs)


def test_both_call_the_same_file_damaged_and_the_mended_one_right(hub, expected):
    hub.fetch(NAME, "--format", "all")
    path = hub.cache / f"models--{NAME}" / "snapshots" / hub.repo.commit / "model.safetensors"
    flip(path, path.stat().st_size - 1000)
    assert hub.online("hf", "cache", "verify", NAME).returncode == 1
    (finding,) = json.loads(chunkdl(hub, "verify", "--json", code=5))["findings"]
    assert finding["paths"] == ["model.safetensors"]
    chunkdl(hub, "verify", "--repair")
    verified = hub.online("hf", "cache", "verify", NAME)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    scan(hub)
    model = transformers.AutoModel.from_pretrained(path.parent)
    assert hidden_state(model.eval()).equal(expected)


def test_a_prune_leaves_what_the_hub_links_and_no_warning(hub, expected):
    hub.fetch()
    pinned = hub.fetch(f"{NAME}@{hub.repo.commit}")["results"][0]["path"]
    # A revision that nothing names, made by the stock client's own rules: a snapshot without a ref.
    folder = hub.cache / f"models--{NAME}"
    old = folder / "snapshots" / ("1" * 40)
    old.mkdir()
    for entry in sorted((folder / "snapshots" / hub.repo.commit).iterdir())[:3]:
        if entry.is_symlink():
            (old / entry.name).symlink_to(entry.readlink())
    before = {each.commit_hash for each in next(iter(scan(hub).repos)).revisions}
    assert before == {hub.repo.commit, "1" * 40}
    chunkdl(hub, "cache", "prune", "--yes")
    (repo,) = scan(hub).repos
    assert {each.commit_hash for each in repo.revisions} == {hub.repo.commit}
    assert hidden_state(transformers.AutoModel.from_pretrained(pinned).eval()).equal(expected)
    nothing = hub.online("hf", "cache", "prune", "--dry-run")
    assert "Nothing to prune" in nothing.stdout + nothing.stderr


@pytest.mark.parametrize("target", [NAME, f"{NAME}@main"])
def test_a_removal_leaves_no_warning_and_the_stock_client_fetches_anew(hub, target):
    hub.fetch()
    chunkdl(hub, "cache", "rm", target, "--yes")
    assert [each.revisions for each in scan(hub).repos] in ([], [frozenset()])
    again = hub.online("hf", "download", NAME)
    assert again.returncode == 0, again.stderr
    assert json.loads(chunkdl(hub, "verify", "--json"))["findings"] == []
    scan(hub)


def test_what_the_stock_client_placed_is_proven_and_mended(hub, model_folder):
    assert hub.online("hf", "download", NAME).returncode == 0
    counts = json.loads(chunkdl(hub, "verify", "--json"))["counts"]
    assert counts == {"ok": len(set(contents(model_folder).values()))}
    path = hub.cache / f"models--{NAME}" / "snapshots" / hub.repo.commit / "vocab.txt"
    flip(path, 3)
    chunkdl(hub, "verify", "--repair")
    assert hub.online("hf", "cache", "verify", NAME).returncode == 0
    scan(hub)
