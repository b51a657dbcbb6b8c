"""ModelScope's own SDK as the oracle of our server: what it downloads from there is what the server holds."""

import os
import subprocess
import sys

import pytest

from chunkdl.model import RepoType
from chunkdl.testing import HubRepo, ModelScopeServer, SeededContent, fault

LIMIT_S = 120
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "empty.txt": b"",
    "model.safetensors": SeededContent(3, 5_000_000),
    "nested/dir/odd #1%+\xe9.txt": b"odd",
}
DOWNLOAD = """
import sys
from modelscope import snapshot_download
print("at", snapshot_download(repo_id=sys.argv[1], repo_type=sys.argv[2], local_dir=sys.argv[3], revision=sys.argv[4]))
"""

LIST = """
import sys
from modelscope.hub.api import HubApi
print(*(each["Path"] for each in HubApi().get_model_files(sys.argv[1], revision="master", recursive=True)))
"""


def sdk(server, tmp_path, *, repo_id="org/name", repo_type="model", revision="master", code=DOWNLOAD):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELSCOPE_")}
    home = str(tmp_path / "home")
    environment = kept | {
        "MODELSCOPE_ENDPOINT": server.url,
        "MODELSCOPE_CACHE": home,
        "MODELSCOPE_HOME": home,
        "MODELSCOPE_INTRA_CLOUD_ACCELERATION": "false",
    }
    return subprocess.run(
        [sys.executable, "-c", code, repo_id, repo_type, str(tmp_path / "out"), revision],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def held(folder):
    found = {each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    return {path: data for path, data in found.items() if not path.startswith(".")}


def expected(repo):
    return {path: bytes(each.content.read(0, each.size)) for path, each in repo.entries.items()}


@pytest.mark.parametrize("signed_urls", [False, True])
def test_it_downloads_a_model_as_it_is(tmp_path, signed_urls):
    repo = HubRepo("org/name", FILES, tags=("v1.0.0",))
    with ModelScopeServer([repo], signed_urls=signed_urls).in_thread() as server:
        for revision in ("master", "v1.0.0"):
            done = sdk(server, tmp_path, revision=revision)
            assert done.returncode == 0, done.stderr
    assert held(tmp_path / "out") == expected(repo)


def test_it_downloads_a_data_set_by_pages(tmp_path):
    repo = HubRepo("org/name", {f"part-{at:03}.csv": f"{at}".encode() for at in range(250)}, repo_type=RepoType.DATASET)
    with ModelScopeServer([repo]).in_thread() as server:
        done = sdk(server, tmp_path, repo_type="dataset")
        assert done.returncode == 0, done.stderr
        assert {each.request.query["PageNumber"] for each in server.log if "PageNumber" in each.request.query} == {
            "1",
            "2",
        }
    assert held(tmp_path / "out") == expected(repo)


def test_it_walks_a_listing_that_is_cut_off(tmp_path):
    files = {f"{folder}/{at}.txt": f"{folder}{at}".encode() for folder in "ab" for at in range(1600)}
    repo = HubRepo("org/name", {"top.txt": b"top", **files})
    with ModelScopeServer([repo]).in_thread() as server:
        done = sdk(server, tmp_path, code=LIST)
        assert done.returncode == 0, done.stderr
        roots = [each.request.query.get("Root", "") for each in server.log]
    assert set(done.stdout.split()) == set(repo.entries) | {"a", "b"}
    assert sorted(roots) == ["", "", "a", "b"]


def test_it_finds_wrong_bytes_and_missing_names_as_we_mean_them(tmp_path):
    repo = HubRepo("org/name", FILES)
    with ModelScopeServer([repo], faults=[fault("flip-bits", path="model.safetensors")]).in_thread() as server:
        done = sdk(server, tmp_path)
        assert done.returncode != 0
        assert "model.safetensors" in done.stderr
        assert sdk(server, tmp_path, repo_id="org/other").returncode != 0


def test_chunkdl_adopts_what_it_left(tmp_path):
    repo = HubRepo("org/name", FILES)
    with ModelScopeServer([repo]).in_thread() as server:
        assert sdk(server, tmp_path).returncode == 0
        before = server.bytes_served
        done = subprocess.run(
            [sys.executable, "-m", "chunkdl", "fetch", "ms:org/name", "--online", "--local-dir", str(tmp_path / "out")],
            env=os.environ | {"MODELSCOPE_ENDPOINT": server.url, "CHUNKDL_STATE_DIR": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        asked = {each.request.headers.get("range") for each in tuple(server.log)[-1:]}
        assert server.bytes_served - before <= 1  # the first byte, by which the route is chosen
        assert asked == {"bytes=0-0"}
