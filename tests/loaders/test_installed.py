"""``installed()``: huggingface_hub's own calls in this process, answered by the engine, and everything put back."""

import subprocess
import sys
import textwrap

import pytest
from conftest import LIMIT_S, NAME, agents, contents

# huggingface_hub reads its environment once: each case is a program of its own, as users have them.
HEAD = """
import huggingface_hub, transformers, torch
from pathlib import Path
import chunkdl
from chunkdl.integrations.huggingface_hub import installed
from huggingface_hub.utils import get_session
before = type(get_session()._transport).__name__
"""


def python(hub, code, **environment):
    named = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.server.url, "CHUNKDL_MIRRORS": "none"} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", HEAD + textwrap.dedent(code)],
        env=hub.environment(**named),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_from_pretrained_of_what_was_named(hub, expected):
    said = python(
        hub,
        f"""
        with installed("{NAME}"):
            model = transformers.AutoModel.from_pretrained("{NAME}").eval()
            print(transformers.AutoTokenizer.from_pretrained("{NAME}")("hello world")["input_ids"])
        print(float(model(torch.tensor([[2, 5, 6, 3]])).last_hidden_state.sum()))
        print(type(get_session()._transport).__name__ == before)
        """,
    )
    assert said[0] == "[2, 5, 6, 3]"
    assert abs(float(said[1]) - float(expected.sum())) < 1e-4
    assert said[2] == "True"
    assert agents(hub.server) == {"chunkdl"}
    assert hub.server.bytes_served == sum(
        len(data) for path, data in hub.repo.files.items() if path not in {"pytorch_model.bin", "tf_model.h5"}
    )


def test_whatever_else_is_asked_for_comes_when_it_is(hub):
    said = python(
        hub,
        f"""
        with installed():
            path = Path(huggingface_hub.hf_hub_download("{NAME}", "config.json"))
            print(path.read_text().startswith("{{"), path.is_symlink())
            whole = Path(huggingface_hub.snapshot_download("{NAME}"))
            print(len([each for each in whole.rglob("*") if each.is_file()]))
            print(huggingface_hub.model_info("{NAME}").sha)
            try:
                huggingface_hub.hf_hub_download("{NAME}", "nothing.txt")
            except huggingface_hub.errors.RemoteEntryNotFoundError:
                print("no such file")
            try:
                huggingface_hub.snapshot_download("org/nothing")
            except huggingface_hub.errors.RepositoryNotFoundError:
                print("no such repository")
        """,
    )
    assert said == ["True True", str(len(hub.repo.files)), hub.repo.commit, "no such file", "no such repository"]
    assert agents(hub.server) == {"chunkdl"}
    assert hub.server.bytes_served == sum(map(len, hub.repo.files.values()))


def test_a_cache_of_the_callers_own_gets_the_right_bytes(hub, tmp_path):
    own = tmp_path / "own"
    python(hub, f"with installed():\n    huggingface_hub.snapshot_download({NAME!r}, cache_dir={str(own)!r})")
    (snapshot,) = (own / f"models--{NAME}" / "snapshots").iterdir()
    assert contents(snapshot) == dict(hub.repo.files)


def test_what_is_not_the_hubs_is_passed_on(hub):
    said = python(
        hub,
        """
        with installed():
            try:
                get_session().get("http://127.0.0.1:9/elsewhere")
            except Exception as error:
                print(type(error).__name__)
        """,
    )
    assert said == ["ConnectError"]


def test_a_failed_fetch_leaves_the_client_as_it_was(hub):
    said = python(
        hub,
        """
        try:
            with installed("org/nothing"):
                print("not reached")
        except chunkdl.FetchFailed as error:
            print(error.exit_code, type(get_session()._transport).__name__ == before)
        """,
    )
    assert said == ["3 True"]


@pytest.mark.parametrize(("there", "told"), [(True, "BertModel"), (False, "offline")])
def test_offline_it_asks_nobody(hub, there, told):
    if there:
        hub.fetch()
    asked = hub.server.requests
    code = f"""
        try:
            with installed("{NAME}"):
                print(type(transformers.AutoModel.from_pretrained("{NAME}")).__name__)
        except chunkdl.FetchFailed as error:
            print(error.code)
        """
    assert python(hub, code, HF_HUB_OFFLINE="1") == [told]
    assert hub.server.requests == asked
