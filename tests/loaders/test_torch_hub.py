"""The real torch as an oracle: what chunkdl placed is what torch.hub loads, without a request."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import chunkdl
from chunkdl.settings.environment import torch_hub
from tests.support.checkpoints import server, url_of

LIMIT_S = 120
# Whatever is asked of the network from here on is an error.
NO_NETWORK = """
import socket
def refuse(*args, **kwargs):
    raise OSError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "linear.pth"
    torch.save(torch.nn.Linear(300, 400).state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def named(weights):
    return f"linear-{hashlib.sha256(weights).hexdigest()[:8]}.pth"


@pytest.fixture
def host(weights, named):
    with server({named: weights, "bare.pth": weights, "linear-0123abcd.pth": weights}).in_thread() as host:
        yield host


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CHUNKDL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def same(state, weights):
    import io  # noqa: PLC0415

    wanted = torch.load(io.BytesIO(weights), weights_only=True)
    return state.keys() == wanted.keys() and all(torch.equal(state[each], wanted[each]) for each in wanted)


def test_what_was_fetched_torch_loads_without_a_request(host, home, named):
    url = url_of(host, named)
    fetched = run(sys.executable, "-m", "chunkdl", "fetch", url, "--online")
    assert fetched.returncode == 0, fetched.stderr
    assert Path(fetched.stdout.strip()) == home / named
    load = f"torch.hub.load_state_dict_from_url({url!r}, check_hash=True, progress=False, weights_only=True)"
    loaded = run(sys.executable, "-c", f"{NO_NETWORK}\nimport torch; print(sorted({load}))")
    assert loaded.stdout.strip() == "['bias', 'weight']", loaded.stderr
    told = next(line for line in fetched.stderr.splitlines() if "load_state_dict_from_url" in line)
    line = told[told.index("python -c") :].removeprefix("python")
    assert subprocess.run(f"{sys.executable} {line}", shell=True, timeout=LIMIT_S, check=False).returncode == 0


@pytest.mark.parametrize("name", ["load_state_dict_from_url", "download_url_to_file"])
def test_signatures_are_torchs_own(name):
    ours, theirs = (
        [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
        for function in (getattr(chunkdl, name), getattr(torch.hub, name))
    )
    assert ours == theirs


@pytest.mark.parametrize("set_to", ["~/t", "", None])
def test_torchs_folder_is_found_as_torch_finds_it(set_to, tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "xdg")} | (
        {"TORCH_HOME": set_to} if set_to else {}
    )
    script = "import torch.hub; print(torch.hub.get_dir())"
    path = {"PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        [sys.executable, "-c", script], env=path | environ, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    assert str(torch_hub(environ)[0]) == found.stdout.strip()


def test_the_drop_in_fetches_loads_and_then_asks_nobody(host, home, named, weights):
    url = url_of(host, named)
    assert same(chunkdl.load_state_dict_from_url(url, check_hash=True, progress=False, weights_only=True), weights)
    asked = host.requests
    assert same(chunkdl.load_state_dict_from_url(url, progress=False, weights_only=True), weights)
    assert same(torch.hub.load_state_dict_from_url(url, progress=False, weights_only=True), weights)
    assert host.requests == asked
    assert [each.name for each in home.iterdir()] == [named]


def test_folder_name_and_device_are_torchs_arguments(host, home, tmp_path, weights):
    state = chunkdl.load_state_dict_from_url(
        url_of(host, "bare.pth"), str(tmp_path / "mine"), "meta", progress=False, file_name="x.pth", weights_only=True
    )
    assert state["weight"].device.type == "meta"
    assert (tmp_path / "mine" / "x.pth").read_bytes() == weights
    assert not home.exists()


def test_a_lying_name_is_an_error_where_torch_checks_and_none_where_it_does_not(host, home, weights):
    url = url_of(host, "linear-0123abcd.pth")
    with pytest.raises(RuntimeError, match="invalid hash value"):
        chunkdl.load_state_dict_from_url(url, check_hash=True, progress=False)
    assert not (home / "linear-0123abcd.pth").exists()
    assert same(chunkdl.load_state_dict_from_url(url, progress=False, weights_only=True), weights)


def test_torch_set_dir_is_obeyed(host, tmp_path, named, weights):
    before = torch.hub._hub_dir
    torch.hub.set_dir(str(tmp_path / "chosen"))
    try:
        assert same(chunkdl.load_state_dict_from_url(url_of(host, named), progress=False, weights_only=True), weights)
    finally:
        torch.hub._hub_dir = before
    assert (tmp_path / "chosen" / "checkpoints" / named).is_file()


@pytest.mark.parametrize("digits", [None, 4, 8, 64])
def test_a_file_to_a_path_replaces_what_stands_there_once_it_is_whole(digits, host, home, tmp_path, weights):
    target = tmp_path / "weights.bin"
    target.write_bytes(b"old")
    prefix = hashlib.sha256(weights).hexdigest()[:digits] if digits else None
    chunkdl.download_url_to_file(url_of(host, "bare.pth"), str(target), prefix, progress=False)
    assert target.read_bytes() == weights
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["weights.bin"]


@pytest.mark.parametrize("prefix", ["0123", "0123abcd"])
def test_a_file_with_other_digits_is_refused_and_the_old_one_stays(prefix, host, home, tmp_path):
    target = tmp_path / "weights.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="invalid hash value"):
        chunkdl.download_url_to_file(url_of(host, "bare.pth"), str(target), prefix, progress=False)
    assert target.read_bytes() == b"old"
