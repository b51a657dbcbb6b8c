"""A lock file on another machine: the stock libraries find what it fixed, and leave it alone."""

import json
import subprocess
import sys

import huggingface_hub
import pytest
from conftest import LIMIT_S, NAME

DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens
LOAD = f"""
import json, torch, transformers
model = transformers.AutoModel.from_pretrained("{NAME}").eval()
print(json.dumps(model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state.tolist()))
"""


def chunkdl(hub, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "chunkdl", *arguments],
        env=hub.environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ref", [NAME, f"{NAME}@main"])
def test_hf_cache_prune_leaves_what_a_lock_placed_and_it_loads(hub, expected, tmp_path, ref):
    chunkdl(hub, "lock", ref, "--origin", hub.server.url, "--no-mirrors", cwd=tmp_path)
    assert not hub.cache.exists()
    fetched = ("fetch", "--locked", "chunkdl.lock", "--origin", DEAD, "--mirror", hub.server.url)
    folder = chunkdl(hub, *fetched, cwd=tmp_path).strip()
    pruned = hub.online("hf", "cache", "prune", "-y")
    assert pruned.returncode == 0, pruned.stderr
    found = huggingface_hub.scan_cache_dir(hub.cache)
    assert found.warnings == []
    assert [str(each.snapshot_path) for repo in found.repos for each in repo.revisions] == [folder]
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=hub.environment(HF_HUB_OFFLINE="1", HF_ENDPOINT=DEAD),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert json.loads(loaded.stdout) == expected.tolist()
