"""Damage on disk, found by ``verify`` and mended by ``--repair`` from real mirrors that count their bytes."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from tests.support import checkpoints
from tests.support.caches import Caches
from tests.support.journals import claimed_bytes
from tests.support.programs import killed_after, looks

SIZE = 24 << 20
SEGMENT = 4 << 20
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": SeededContent(11, SIZE),
    "weird [1]*.txt": b"patterns are not patterns here",
    "deep/er/other.bin": SeededContent(12, 3 << 20),
}


class Desk:
    """A person with a cache, a hub in reach, and the command."""

    def __init__(self, folder, server):
        self.folder = folder
        self.server = server
        self.caches = Caches(folder)

    @property
    def environ(self):
        return {
            "HOME": str(self.folder),
            "HF_HOME": str(self.folder / "hf"),
            "TORCH_HOME": str(self.folder / "torch"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "CHUNKDL_STATE_DIR": str(self.folder / "state"),
            "CHUNKDL_ORIGIN": self.server.url,
            "CHUNKDL_MIRRORS": "none",
        }

    def run(self, *argv, code=0, ask=None, **environ):
        stdout, stderr = io.BytesIO(), io.StringIO()
        environ = {**self.environ, **environ}
        around = Surroundings(argv, environ, stdout, stderr, folder=self.folder, ask=ask)
        assert main(argv, around) == code, stderr.getvalue() + stdout.getvalue().decode()
        self.err = stderr.getvalue()
        return stdout.getvalue().decode()

    def json(self, *argv, code=0, **environ):
        return json.loads(self.run(*argv, "--json", code=code, **environ))

    @property
    def snapshot(self):
        return self.caches.repo("org/name").snapshots / self.server.repos[0].commit


@pytest.fixture
def desk(tmp_path):
    with MirrorServer([HubRepo("org/name", FILES), HubRepo("org/twin", FILES)]).in_thread() as server:
        desk = Desk(tmp_path, server)
        desk.run("fetch", "org/name")
        yield desk


def flip(path, at):
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 16]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def right(folder):
    for path, content in FILES.items():
        data = (folder / path).read_bytes()
        if isinstance(content, SeededContent):
            assert content.first_difference(data) is None, path
        else:
            assert data == content


def test_one_flipped_bit_costs_one_segment(desk):
    flip(desk.snapshot / "model.safetensors", 9_000_000)
    found = desk.json("verify", code=5)
    assert [(each["state"], each["paths"]) for each in found["findings"]] == [("damaged", ["model.safetensors"])]
    before = desk.server.bytes_served
    mended = desk.json("verify", "--repair")
    assert mended["repair"]["bytes_fetched"] <= SEGMENT
    assert 0 < desk.server.bytes_served - before <= SEGMENT
    assert [each["paths"] for each in mended["mended"]] == [["model.safetensors"]]
    assert mended["findings"] == []
    right(desk.snapshot)
    assert desk.caches.seen().partials == ()


def test_damage_in_several_files_is_mended_in_one_go(desk):
    for path, at in (("model.safetensors", 0), ("deep/er/other.bin", 5), ("weird [1]*.txt", 1), ("config.json", 1)):
        flip(desk.snapshot / path, at)
    assert len(desk.json("verify", "org/name", code=5)["findings"]) == 4
    assert len(desk.json("cache", "verify", "org/name", "--repair")["mended"]) == 4
    right(desk.snapshot)


def test_a_link_that_leads_to_another_content_is_set_right_without_a_byte(desk):
    entry = desk.snapshot / "config.json"
    entry.unlink()
    entry.symlink_to((desk.snapshot / "weird [1]*.txt").readlink())
    assert [each["state"] for each in desk.json("verify", code=5)["findings"]] == ["mislinked"]
    assert desk.json("verify", "--repair")["repair"]["bytes_fetched"] == 0
    right(desk.snapshot)


def test_a_truncated_file_is_mended_with_what_is_missing(desk):
    blob = (desk.snapshot / "model.safetensors").resolve()
    os.truncate(blob, SIZE - SEGMENT)
    before = desk.server.bytes_served
    assert desk.json("verify", "--repair")["repair"]["bytes_fetched"] <= 2 * SEGMENT
    assert desk.server.bytes_served - before <= 2 * SEGMENT
    right(desk.snapshot)


def test_a_missing_blob_comes_again(desk):
    (desk.snapshot / "deep/er/other.bin").resolve().unlink()
    assert [each["state"] for each in desk.json("verify", code=5)["findings"]] == ["missing"]
    desk.run("verify", "--repair")
    right(desk.snapshot)


def test_without_a_receipt_the_whole_file_comes_and_nothing_else(desk):
    shutil.rmtree(desk.folder / "state" / "receipts")
    flip(desk.snapshot / "model.safetensors", 9_000_000)
    before = desk.server.bytes_served
    assert desk.json("verify", "--repair")["repair"]["bytes_fetched"] == SIZE
    assert desk.server.bytes_served - before < SIZE + SEGMENT
    right(desk.snapshot)


def test_a_verify_before_the_damage_makes_the_receipt(desk):
    shutil.rmtree(desk.folder / "state" / "receipts")
    desk.run("verify")
    flip(desk.snapshot / "model.safetensors", 9_000_000)
    assert desk.json("verify", "--repair")["repair"]["bytes_fetched"] <= SEGMENT


def test_another_repositorys_right_copy_mends_without_a_byte_from_the_network(desk):
    desk.run("fetch", "org/twin")
    blob = (desk.snapshot / "model.safetensors").resolve()
    data = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(data)  # no longer one file with its twin
    flip(blob, 7)
    assert desk.json("verify", "--repair")["repair"]["bytes_fetched"] == 0
    right(desk.snapshot)


def test_a_damage_that_two_repositories_share_is_mended_in_both(desk):
    desk.run("fetch", "org/twin")
    flip(desk.snapshot / "model.safetensors", 9_000_000)
    assert len(desk.json("verify", code=5)["findings"]) == 2
    mended = desk.json("verify", "--repair")
    assert len(mended["mended"]) == 2
    assert mended["repair"]["bytes_fetched"] <= SEGMENT
    right(desk.snapshot)


def test_offline_says_what_would_be_fetched_and_changes_nothing(desk):
    flip(desk.snapshot / "model.safetensors", 9)
    before = desk.server.requests
    answer = desk.json("verify", "--repair", code=5, HF_HUB_OFFLINE="1")
    assert "model.safetensors" in answer["repair"]["would_fetch"][0]
    assert desk.server.requests == before
    assert desk.caches.seen().partials == ()


def test_a_repair_that_fails_leaves_the_damaged_file_where_it_is(desk):
    flip(desk.snapshot / "model.safetensors", 9)
    held = (desk.snapshot / "model.safetensors").read_bytes()
    lost = {"CHUNKDL_ORIGIN": "http://127.0.0.1:9", "CHUNKDL_STATE_DIR": str(desk.folder / "fresh")}
    answer = desk.json("verify", "--repair", code=5, **lost)
    assert answer["repair"]["errors"]
    assert (desk.snapshot / "model.safetensors").read_bytes() == held
    desk.run("verify", "--repair")
    right(desk.snapshot)


def test_real_files_are_proven_by_what_the_origin_once_said_and_mended(desk):
    shutil.rmtree(desk.caches.hub)
    real = {"HF_HUB_DISABLE_SYMLINKS": "1"}
    desk.run("fetch", "org/name", "--include", "*", "--exclude", "config.json", **real)
    flip(desk.snapshot / "model.safetensors", 9_000_000)
    assert [each["state"] for each in desk.json("verify", code=5, **real)["findings"]] == ["damaged"]
    assert desk.json("verify", "--repair", **real)["repair"]["bytes_fetched"] <= SEGMENT
    assert not (desk.snapshot / "model.safetensors").is_symlink()
    assert SeededContent(11, SIZE).first_difference((desk.snapshot / "model.safetensors").read_bytes()) is None


def test_a_local_folder_is_mended_once_it_is_said_what_it_holds(desk):
    folder = desk.folder / "model"
    desk.run("fetch", "org/name", "--local-dir", str(folder))
    flip(folder / "model.safetensors", 9_000_000)
    (folder / "weird [1]*.txt").unlink()
    assert {each["state"] for each in desk.json("verify", str(folder), code=5)["findings"]} == {"damaged", "missing"}
    assert "--as REF" in desk.json("verify", str(folder), "--repair", code=2)["error"]["hint"]
    desk.run("verify", str(folder), "--repair", "--as", "org/name")
    right(folder)


def test_a_repair_of_a_folder_that_fails_is_no_success(desk):
    folder = desk.folder / "model"
    desk.run("fetch", "org/name", "--local-dir", str(folder))
    shutil.rmtree(desk.caches.hub)
    flip(folder / "model.safetensors", 9_000_000)
    held = (folder / "model.safetensors").read_bytes()
    lost = {"CHUNKDL_ORIGIN": "http://127.0.0.1:9", "CHUNKDL_STATE_DIR": str(desk.folder / "fresh")}
    answer = desk.json("verify", str(folder), "--repair", "--as", "org/name", code=5, **lost)
    assert answer["repair"]["errors"]
    assert [each["state"] for each in answer["findings"]] == ["damaged"]
    assert (folder / "model.safetensors").read_bytes() == held
    assert [each["state"] for each in desk.json("verify", str(folder), code=5)["findings"]] == ["damaged"]
    desk.run("verify", str(folder), "--repair", "--as", "org/name")
    right(folder)


class TestCheckpoints:
    """Files among torch's checkpoints, from a server of their own."""

    @pytest.fixture
    def host(self):
        with checkpoints.server(
            {checkpoints.NAME: checkpoints.CONTENT, "bare.pth": checkpoints.CONTENT}
        ).in_thread() as host:
            yield host

    @pytest.mark.parametrize(
        ("name", "fragment", "placed"),
        [
            (checkpoints.NAME, "", checkpoints.NAME),
            ("bare.pth", "", "bare.pth"),
            ("bare.pth", "#name=other.pth", "other.pth"),
        ],
    )
    def test_one_comes_again_from_where_it_came(self, desk, host, name, fragment, placed):
        desk.run("fetch", checkpoints.url_of(host, name) + fragment, "--allow-unverified")
        path = desk.folder / "torch" / "hub" / "checkpoints" / placed
        flip(path, 20_000_000)
        held = path.read_bytes()
        (finding,) = desk.json("verify", code=5)["findings"]
        assert finding["state"] == "damaged"
        offline = desk.json("verify", "--repair", code=5, HF_HUB_OFFLINE="1")
        assert checkpoints.url_of(host, name) in offline["repair"]["would_fetch"][0]
        assert path.read_bytes() == held
        mended = desk.json("verify", f"torch:{placed}", "--repair")
        assert (len(mended["mended"]), mended["findings"]) == (1, [])
        assert mended["repair"]["bytes_fetched"] <= SEGMENT
        assert checkpoints.CONTENT.first_difference(path.read_bytes()) is None
        assert [each.name for each in path.parent.iterdir()] == [placed]
        receipt = desk.folder / "state" / "receipts" / f"{checkpoints.CONTENT.sha256}.journal"
        assert receipt.exists()
        desk.run("cache", "rm", f"torch:{placed}", "--yes")
        assert not receipt.exists()

    def test_one_that_was_replaced_upstream_is_left_as_it_is(self, desk, host):
        url = checkpoints.url_of(host, "bare.pth")
        desk.run("fetch", url, "--allow-unverified")
        path = desk.folder / "torch" / "hub" / "checkpoints" / "bare.pth"
        flip(path, 7)
        held = path.read_bytes()
        other = HubRepo("pub/files", {"bare.pth": SeededContent(8, checkpoints.SIZE)})
        host.repos = [other]
        answer = desk.json("verify", "--repair", code=5)
        assert answer["repair"]["errors"]
        assert [each["state"] for each in answer["findings"]] == ["damaged"]
        assert path.read_bytes() == held

    def test_torchvisions_own_may_come_from_a_mirror_of_its_host(self, desk, host):
        published = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
        path = desk.folder / "torch" / "hub" / "checkpoints" / "resnet50-11ad3fa6.pth"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"torch was killed while it copied this")
        config = desk.folder / "chunkdl.toml"
        config.write_text(
            f'[[mirror]]\nkind = "static"\nurl = "{checkpoints.folder_of(host)}"\nreplaces = "{published}"\n'
        )
        said = desk.json("verify", "--repair", code=5, CHUNKDL_CONFIG=str(config), HF_HUB_OFFLINE="1")
        assert published in said["repair"]["would_fetch"][0]


def test_removing_and_pruning_through_the_command(desk):
    asked = []

    def ask(question):
        asked.append(question)
        return "n"

    desk.run("cache", "rm", "org/name", code=2, ask=ask)
    assert len(asked) == 1
    right(desk.snapshot)
    desk.run("cache", "rm", "org/name", ask=lambda _: "y")
    assert desk.json("cache", "ls")["repos"] == []
    assert list((desk.folder / "state" / "receipts").iterdir()) == []


def test_an_interrupted_verify_says_so(desk):
    """Six sparse gibibytes take seconds to hash; the signal comes when that has begun."""
    blob = desk.caches.repo("org/name").blobs / ("a" * 64)
    blob.touch()
    os.truncate(blob, 6 << 30)
    command = [sys.executable, "-m", "chunkdl", "verify", "--json"]
    process = subprocess.Popen(
        command, env=os.environ | desk.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with killed_after(process):
        assert process.stderr.readline().startswith("start: proving")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out)["error"]["code"] == "interrupted"


def test_a_repair_that_is_killed_leaves_the_cache_as_it_was_and_is_resumed(desk):
    shutil.rmtree(desk.folder / "state" / "receipts")
    path = desk.snapshot / "model.safetensors"
    flip(path, SIZE - 1)
    held = path.read_bytes()
    command = [sys.executable, "-m", "chunkdl", "verify", "--repair", "--progress", "none"]
    with MirrorServer([HubRepo("org/name", FILES)], rate_bytes_per_s=SIZE // 8).in_thread() as slow:
        environ = os.environ | desk.environ | {"CHUNKDL_ORIGIN": slow.url}
        process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert any(looks(lambda: claimed_bytes(desk.folder), 60.0))
        process.kill()
        process.wait(60)
    assert path.read_bytes() == held
    assert desk.json("cache", "ls", "type=partial")["partials"][0]["owner"] == "dead"
    before = desk.server.bytes_served
    desk.run("verify", "--repair")
    assert desk.server.bytes_served - before < SIZE
    right(desk.snapshot)
