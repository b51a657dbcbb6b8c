"""Lock files of what is no repository of the hub: torch's names, addresses, ModelScope; as commands, on loopback."""

import io
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.identify.lockfile import Lock
from chunkdl.identify.torchhub import table
from chunkdl.pipeline.locking import read_lock, write_lock
from chunkdl.testing import HubRepo, ModelScopeServer, SeededContent, fault
from tests.support.checkpoints import CONTENT, NAME, PREFIX, SIZE, folder_of, server, url_of

SCHEMA = json.loads((Path(__file__).parents[2] / "fixtures" / "lock.schema.json").read_text())
OTHER = SeededContent(8, SIZE)
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens
BARE = "model.pth"


class Desk:
    """A person with a home of their own and one lock file."""

    def __init__(self, home):
        self.home = home
        home.mkdir(exist_ok=True)
        self.config = home / "chunkdl.toml"

    def run(self, *argv, code=0, **environ):
        stdout, stderr = io.BytesIO(), io.StringIO()
        places = {"HOME": self.home, "XDG_CONFIG_HOME": self.home / "config", "HF_HOME": self.home / "hf"}
        places |= {"TORCH_HOME": self.home / "torch", "CHUNKDL_STATE_DIR": self.home / "state"}
        places |= {"CHUNKDL_CONFIG": self.config} if self.config.exists() else {"CHUNKDL_MIRRORS": "none"}
        environ = {name: str(value) for name, value in (places | environ).items()}
        around = Surroundings(argv, environ, stdout, stderr, folder=self.home)
        ended = main(argv, around)
        self.out, self.err = stdout.getvalue().decode(), stderr.getvalue()
        assert ended == code, self.err + self.out
        return self.out

    def json(self, *argv, code=0):
        return json.loads(self.run(*argv, "--json", code=code))

    def lock(self, *refs, code=0):
        made = self.json("lock", *refs, "-o", str(self.path), code=code)
        jsonschema.validate(made, SCHEMA)
        return made

    @property
    def path(self):
        return self.home.parent / "chunkdl.lock"

    @property
    def entries(self):
        return tomllib.loads(self.path.read_text())["artifact"]

    @property
    def checkpoint(self):
        return self.home / "torch" / "hub" / "checkpoints" / NAME


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "one")


@pytest.fixture
def elsewhere(tmp_path):
    """Another machine, with the same lock file."""
    return Desk(tmp_path / "two")


@pytest.fixture
def host():
    with server().in_thread() as host:
        yield host


@pytest.fixture
def tiny(host, monkeypatch):
    """``torch:tiny``, which torchvision publishes on ``host``."""
    monkeypatch.setitem(table().models, "tiny", {"DEFAULT": "V1", "V1": url_of(host)})
    return "torch:tiny"


def test_a_name_of_torchs_is_fixed_by_its_digits_and_wholly_once_they_are_learnt(desk, tiny, host):
    (made,) = desk.lock(tiny)["artifacts"]
    assert made["files"] == [{"path": NAME, "size": SIZE, "digest": f"sha256-prefix:{PREFIX}"}]
    assert made["commit"] is None
    (entry,) = desk.entries
    assert (entry["hub"], entry["repo"], entry["url"]) == ("torch", "tiny", url_of(host))
    assert "the first 8 digits" in desk.err
    assert not desk.checkpoint.exists()
    desk.run("fetch", tiny)
    (made,) = desk.lock(tiny)["artifacts"]
    assert made["files"][0]["digest"] == f"sha256:{CONTENT.sha256}"
    before = desk.path.read_bytes()
    assert desk.lock(tiny)["written"] is False
    assert desk.path.read_bytes() == before


def test_who_knows_less_neither_drifts_nor_takes_digits_away(desk, elsewhere, tiny):
    desk.run("fetch", tiny)
    desk.lock(tiny)
    before = desk.path.read_bytes()
    assert elsewhere.run("lock", "--check", "-o", str(desk.path)) == f"{tiny}: as locked\n"
    assert elsewhere.lock(tiny)["written"] is False
    assert desk.path.read_bytes() == before


def test_the_address_may_be_silent_if_a_mirror_stands_in_for_it(desk, elsewhere, monkeypatch):
    published = f"{DEAD}/models/"
    monkeypatch.setitem(table().models, "tiny", {"DEFAULT": "V1", "V1": published + NAME})
    with server().in_thread() as mirror:
        replacing = f'[[mirror]]\nkind = "static"\nurl = "{folder_of(mirror)}"\nreplaces = "{published}"\n'
        desk.config.write_text(replacing)
        elsewhere.config.write_text(replacing)
        desk.lock("torch:tiny")
        monkeypatch.delitem(table().models, "tiny")  # a later torchvision need not know it any more
        report = elsewhere.json("fetch", "--locked", str(desk.path))
    (result,) = report["results"]
    assert (result["authority"], result["path"]) == ("lock", str(elsewhere.checkpoint))
    assert result["files"][0]["digest"] == f"sha256:{CONTENT.sha256}"
    assert CONTENT.first_difference(elsewhere.checkpoint.read_bytes()) is None
    offline = ("fetch", "--locked", str(desk.path), "--offline")
    assert elsewhere.run(*offline) == f"{elsewhere.checkpoint}\n"
    shown = elsewhere.run(*offline, "--dry-run")
    assert "0 B to fetch, 24.0 MiB here already" in shown
    assert elsewhere.json(*offline, "--dry-run")["results"][0]["path"] is None


def test_bytes_that_are_not_the_locked_ones_end_with_5_and_nothing_is_placed(desk, elsewhere, tiny):
    desk.run("fetch", tiny)
    desk.lock(tiny)
    (entry,) = read_lock(desk.path).artifacts
    with server(faults=[fault("flip-bits")]).in_thread() as liar:
        moved = replace(entry, reference=replace(entry.reference, url=url_of(liar)))
        write_lock(desk.path, Lock((moved,)))
        error = elsewhere.json("fetch", "--locked", str(desk.path), code=5)["results"][0]["error"]
    assert error["file"] == NAME
    assert not elsewhere.checkpoint.exists()


def test_check_tells_that_a_name_means_another_file(desk, tiny, monkeypatch):
    desk.run("fetch", tiny)
    desk.lock(tiny)
    newer = f"tiny-{OTHER.sha256[:8]}.pth"
    with server({newer: OTHER}).in_thread() as later:
        monkeypatch.setitem(table().models, "tiny", {"DEFAULT": "V2", "V2": url_of(later, newer)})
        lines = desk.run("lock", "--check", "-o", str(desk.path), code=7).splitlines()
        shown = desk.json("lock", "--check", "-o", str(desk.path), code=7)
    jsonschema.validate(shown, SCHEMA)
    assert lines == [f"{tiny}: drifted", f"  added {newer}", f"  removed {NAME}"]


def test_an_address_is_fixed_if_something_says_what_it_holds(desk, elsewhere):
    with server({BARE: CONTENT}).in_thread() as host:
        url = url_of(host, BARE)
        error = desk.lock(url, code=7)["error"]
        assert "fetch it once with --allow-unverified, and lock what came" in error["hint"]
        assert not desk.path.exists()
        desk.run("fetch", url, "--allow-unverified")
        (made,) = desk.lock(url)["artifacts"]
        assert (made["files"][0]["digest"], made["authenticated"]) == (f"sha256:{CONTENT.sha256}", False)
        (result,) = elsewhere.json("fetch", "--locked", str(desk.path))["results"]
    assert (result["ok"], result["files"][0]["verified"]) == (True, "digest")


def test_a_file_for_no_loader_is_locked_and_asks_for_a_folder_when_it_is_fetched(desk, elsewhere):
    with server({"corpus.tar.gz": CONTENT}).in_thread() as host:
        desk.lock(f"{url_of(host, 'corpus.tar.gz')}#sha256={CONTENT.sha256}&name=data.tgz")
        assert (
            "--local-dir" in elsewhere.json("fetch", "--locked", str(desk.path), code=2)["results"][0]["error"]["hint"]
        )
        folder = elsewhere.home / "data"
        elsewhere.run("fetch", "--locked", str(desk.path), "--local-dir", str(folder))
    assert [each.name for each in folder.iterdir()] == ["data.tgz"]


def test_an_address_with_a_query_is_locked_with_a_warning(desk):
    with server({BARE: CONTENT}).in_thread() as host:
        made = desk.lock(f"{url_of(host, BARE)}?key=abc#sha256={CONTENT.sha256}")
    assert [each["code"] for each in made["notices"]] == ["query"]


def test_neither_another_address_nor_another_hub_is_taken_for_a_locked_name(desk, tiny):
    desk.lock(tiny)
    for other in (f"https://other.example/{NAME}", "tiny", "datasets/org/tiny", "ms:org/tiny"):
        assert (
            "is not in"
            in desk.json("fetch", other, "--locked", str(desk.path), code=2)["results"][0]["error"]["message"]
        )


def test_sums_leave_out_what_is_no_sha256(desk, tiny):
    desk.lock(tiny)
    assert desk.run("lock", "--export", "sha256sum", "-o", str(desk.path)) == ""
    assert "1 file left out" in desk.err
    desk.run("fetch", tiny)
    desk.lock(tiny)
    assert desk.run("lock", "--export", "sha256sum", "-o", str(desk.path)) == f"{CONTENT.sha256}  {NAME}\n"


SCOPED = {"config.json": b"{}", "model.safetensors": SeededContent(5, 5 << 20)}


def test_prune_keeps_what_the_lock_names_until_the_lock_is_gone(desk, tiny):
    desk.run("fetch", tiny)
    desk.lock(tiny)
    prune = ("cache", "prune", "--max-size", "1K", "--yes")
    desk.run(*prune)
    assert desk.checkpoint.exists()
    desk.path.unlink()
    desk.run(*prune)
    assert not desk.checkpoint.exists()


class TestModelScope:
    def at(self, scope):
        return {"MODELSCOPE_ENDPOINT": scope.url}

    def test_a_repository_is_locked_and_fetched_while_the_server_still_lists_it(self, desk, elsewhere):
        with ModelScopeServer([HubRepo("org/name", SCOPED)]).in_thread() as scope:
            desk.run("lock", "ms:org/name", "-o", str(desk.path), **self.at(scope))
            folder = elsewhere.home / "model"
            argv = ("fetch", "--locked", str(desk.path), "--local-dir", str(folder))
            assert elsewhere.run(*argv, **self.at(scope)) == f"{folder}\n"
        assert SCOPED["model.safetensors"].first_difference((folder / "model.safetensors").read_bytes()) is None

    def test_one_that_moved_on_is_7_with_what_changed(self, desk, elsewhere):
        with ModelScopeServer([HubRepo("org/name", SCOPED)]).in_thread() as scope:
            desk.run("lock", "ms:org/name", "-o", str(desk.path), **self.at(scope))
        later = HubRepo("org/name", {**SCOPED, "config.json": b'{"a": 1}', "new.json": b"{}"})
        with ModelScopeServer([later]).in_thread() as scope:
            folder = str(elsewhere.home / "model")
            argv = ("fetch", "--locked", str(desk.path), "--local-dir", folder)
            elsewhere.run(*argv, code=7, **self.at(scope))
            assert "has no longer what" in elsewhere.err
            assert "changed config.json" in elsewhere.err
            lines = elsewhere.run("lock", "--check", "-o", str(desk.path), code=7, **self.at(scope)).splitlines()
        assert lines[1:] == ["  changed config.json", "  added new.json"]
        assert not Path(folder).exists()
