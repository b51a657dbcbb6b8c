"""``chunkdl run``: unmodified programs of the ecosystem through the loopback hub; nothing copied, nothing leaked."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
from conftest import CANONICAL, LIMIT_S, NAME, agents, contents

from chunkdl.model import RepoType

LOAD = (
    "import torch, transformers;"
    "model = transformers.AutoModel.from_pretrained('bert-base-uncased').eval();"
    "tokenizer = transformers.AutoTokenizer.from_pretrained('bert-base-uncased');"
    "print(tokenizer('hello world')['input_ids'], float(model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state.sum()))"
)
HF = str(Path(sys.executable).parent / "hf")


def run(hub, *command, before=(), flags=("--no-mirrors",), code=0, **environment):
    chunkdl = [sys.executable, "-m", "chunkdl", "run", "--origin", hub.server.url, *flags, "--"]
    done = subprocess.run(
        [*before, *chunkdl, *command],
        env=hub.environment(HF_HUB_OFFLINE="0", **environment),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def tokens(server):
    return {each.request.headers.get("authorization") for each in server.log}


def bytes_of(hub, *names):
    return sum(len(hub.repo.files[each]) for each in names or hub.repo.files)


def inodes(cache):
    return {each.name: each.stat().st_ino for each in cache.rglob("blobs/*")}


def test_from_pretrained_loads_and_nothing_goes_around_the_engine(hub, expected):
    """With a network that ends at loopback there is no way past us, and the hub was asked by nobody else."""
    said = run(hub, sys.executable, "-c", LOAD).stdout
    assert said.startswith("[2, 5, 6, 3]")
    assert abs(float(said.split()[-1]) - float(expected.sum())) < 1e-4
    assert agents(hub.server) == {"chunkdl"}
    assert hub.server.bytes_served < bytes_of(hub, "model.safetensors") + 100_000  # neither .bin nor .h5
    assert huggingface_hub.scan_cache_dir(hub.cache).warnings == []


def test_pickled_weights_alone_load_too(serve, model_folder, expected):
    """Their loader also looks for a pull request with safetensors, which is no download: it is told so, and goes on."""
    hub = serve({path: data for path, data in contents(model_folder).items() if path != "model.safetensors"})
    said = run(hub, sys.executable, "-c", LOAD)
    assert abs(float(said.stdout.split()[-1]) - float(expected.sum())) < 1e-4
    assert "Traceback" not in said.stderr


def test_hf_download_finds_every_byte_placed_and_copies_none(hub):
    done = run(hub, HF, "download", NAME, "--quiet")
    path = Path(done.stdout.strip().splitlines()[-1])
    assert contents(path) == dict(hub.repo.files)
    assert hub.server.bytes_served == bytes_of(hub)
    assert agents(hub.server) == {"chunkdl"}
    assert list(hub.cache.rglob("*.incomplete")) == []
    assert {each.is_symlink() for each in path.iterdir() if each.is_file()} == {True}
    placed = inodes(hub.cache)
    assert len(placed) == len(hub.repo.files)
    run(hub, HF, "download", NAME, "--quiet")
    assert inodes(hub.cache) == placed
    assert hub.server.bytes_served == bytes_of(hub)
    verified = hub.online("hf", "cache", "verify", NAME, "--fail-on-missing-files")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_folder_of_the_programs_own_gets_the_right_bytes(hub, tmp_path):
    run(hub, HF, "download", NAME, "--local-dir", tmp_path / "out", "--quiet")
    found = {path: data for path, data in contents(tmp_path / "out").items() if not path.startswith(".cache/")}
    assert found == dict(hub.repo.files)
    assert agents(hub.server) == {"chunkdl"}


def test_the_token_goes_to_the_origin_and_not_to_mirrors(hub, serve, model_folder):
    mirror = serve(contents(model_folder))
    hub.server.faults = ["status-503"]  # of files: the mirror serves them
    run(hub, HF, "download", NAME, "--quiet", flags=("--mirror", mirror.server.url), HF_TOKEN="hf_mine")
    assert tokens(hub.server) <= {"Bearer hf_mine", None}
    assert "Bearer hf_mine" in tokens(hub.server)
    assert tokens(mirror.server) == {None}
    assert mirror.server.bytes_served > 0


def test_what_is_fetched_first_is_there_before_the_program_begins(hub):
    look = "import os, pathlib; print(len(list(pathlib.Path(os.environ['HF_HUB_CACHE']).rglob('model.safetensors'))))"
    assert run(hub, sys.executable, "-c", look, flags=("--no-mirrors", "--fetch", NAME)).stdout == "1\n"
    failed = run(hub, sys.executable, "-c", look, flags=("--no-mirrors", "--fetch", "org/nothing"), code=3)
    assert failed.stdout == ""
    assert "knows no model org/nothing" in failed.stderr


def test_offline_the_program_finds_the_cache_and_asks_nobody(hub):
    hub.fetch()
    asked = hub.server.requests
    said = run(hub, sys.executable, "-c", LOAD, flags=("--offline",)).stdout
    assert said.startswith("[2, 5, 6, 3]")
    assert hub.server.requests == asked


def test_a_data_set_is_loaded_and_its_files_are_asked_about(serve):
    rows = "".join(json.dumps({"text": f"line {number}"}) + "\n" for number in range(20))
    files = {"README.md": b"# corpus\n", "data/train.jsonl": rows.encode(), "data/test.jsonl": b'{"text": "one"}\n'}
    hub = serve(files, repo_type=RepoType.DATASET)
    code = (
        "import datasets, huggingface_hub as hub\n"
        "asked = ['data/train.jsonl', 'data', 'nothing']\n"
        f"found = hub.HfApi().get_paths_info({CANONICAL!r}, asked, repo_type='dataset')\n"
        "print([(each.path, getattr(each, 'size', None)) for each in found])\n"
        f"print(hub.HfFileSystem().info('datasets/{CANONICAL}/data/train.jsonl')['size'])\n"
        f"loaded = datasets.load_dataset({CANONICAL!r})\n"
        "print({name: len(rows) for name, rows in loaded.items()}, loaded['train'][3]['text'])"
    )
    said = run(hub, sys.executable, "-c", code, HF_DATASETS_CACHE=str(hub.root / "datasets")).stdout.splitlines()
    assert said == [
        str([("data/train.jsonl", len(rows)), ("data", None)]),
        str(len(rows)),
        "{'train': 20, 'test': 1} line 3",
    ]
    assert agents(hub.server) == {"chunkdl"}


def test_the_hubs_failures_are_told_in_its_own_exceptions(hub):
    code = (
        "import huggingface_hub as hub\n"
        "for call in (lambda: hub.hf_hub_download('org/nothing', 'a'),\n"
        "             lambda: hub.snapshot_download('bert-base-uncased', revision='v9'),\n"
        "             lambda: hub.hf_hub_download('bert-base-uncased', 'nothing.txt')):\n"
        "    try:\n        call()\n"
        "    except Exception as error:\n        print(type(error).__name__)\n"
        "print(hub.try_to_load_from_cache('bert-base-uncased', 'nothing.txt') is hub._CACHED_NO_EXIST)"
    )
    said = run(hub, sys.executable, "-c", code).stdout.split()
    assert said == ["RepositoryNotFoundError", "RevisionNotFoundError", "RemoteEntryNotFoundError", "True"]
