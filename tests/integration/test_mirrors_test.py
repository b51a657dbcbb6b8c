"""``chunkdl mirrors test`` against servers of which the truth is known: rates, lag, silence, lies."""

import io
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.nginx import nginx_mirrors
from support.programs import killed_after
from support.scene import Scene, assert_placed, small_repo

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.mirrors.memory import load_memory
from chunkdl.model import Mirror
from chunkdl.observe import Notice
from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

MIB = 1 << 20
TLS_FILES = Path(__file__).parents[2] / "fixtures" / "tls"
WEIGHTS = SeededContent(5, 64 * MIB)
NEW = HubRepo(
    "org/name",
    {"config.json": "{}", "model.safetensors": WEIGHTS, "README.md": "new"},
    last_modified="2024-03-01T00:00:00.000Z",
)
OLD = HubRepo(
    "org/name",
    {"config.json": "{}", "model.safetensors": SeededContent(6, 64 * MIB)},
    last_modified="2024-02-01T00:00:00.000Z",
)
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens


class Command:
    """The command in this process, with everything that it touches in one folder."""

    def __init__(self, folder, origin):
        self.folder = folder
        self.environ = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "CHUNKDL_STATE_DIR": str(folder / "state"),
            "CHUNKDL_ORIGIN": origin,
        }

    def run(self, *argv):
        self.stdout, self.stderr = io.BytesIO(), io.StringIO()
        return main(argv, Surroundings(argv, self.environ, self.stdout, self.stderr))

    @property
    def out(self):
        return self.stdout.getvalue().decode()

    @property
    def json(self):
        [line] = self.out.splitlines()
        return json.loads(line)


def against(*urls):
    return [part for url in urls for part in ("--mirror", url)]


@pytest.fixture
def serve():
    with ExitStack() as stack:
        yield lambda repo=NEW, **how: stack.enter_context(MirrorServer([repo], **how).in_thread())


def test_shaped_mirrors_are_ranked_in_their_true_order_and_the_lag_is_found(tmp_path, serve):
    # Slow enough for a busy machine to keep up with all of them.
    origin, fast = serve(rate_bytes_per_s=3 * MIB), serve(rate_bytes_per_s=12 * MIB, signed_urls=True)
    middle, lagging = serve(rate_bytes_per_s=6 * MIB), serve(OLD, rate_bytes_per_s=24 * MIB)
    streams = serve(rate_bytes_per_s=20 * MIB, faults=["ignore-range"])
    command = Command(tmp_path, origin.url)
    urls = [DEAD, lagging.url, middle.url, streams.url, fast.url]
    assert command.run("mirrors", "test", "org/name", *against(*urls), "--json", "--max-bytes", "48M") == 0
    shown = command.json
    order = [each["url"] for each in shown["mirrors"]]
    assert order == [fast.url, middle.url, origin.url, streams.url, lagging.url, DEAD]
    assert [each["rank"] for each in shown["mirrors"]] == [1, 2, 3, 4, 5, 6]
    found = {each["url"]: each for each in shown["mirrors"]}
    for server in (fast, middle, origin):
        assert found[server.url]["goodput_n"] == pytest.approx(server.rate_bytes_per_s, rel=0.4)
    assert found[fast.url]["final_host"] == fast.cdn_url.removeprefix("http://")
    assert found[fast.url]["reason"].startswith("fastest: ")
    assert found[lagging.url]["lag"].startswith("29 days behind, its revision is ")
    assert found[lagging.url]["repos"][0]["files"] == {"identical": 1, "different": 1, "absent": 1}
    assert found[lagging.url]["commit"] == OLD.commit
    assert found[middle.url]["lag"] is None
    assert [found[each]["ranges"] for each in (fast.url, streams.url, DEAD)] == [True, False, None]
    assert (found[DEAD]["reachable"], found[DEAD]["failure_rate"]) == (False, 1.0)
    assert shown["spent"]["bytes"] <= 48 * MIB


def test_nginx_is_measured_connection_by_connection(tmp_path):
    repo = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(5, 16 * MIB)})
    variants = [
        {},
        {"per_connection_bytes_per_s": 1 * MIB},
        {"per_connection_bytes_per_s": 2 * MIB, "max_connections": 1},
        {"options": ("return 503;",)},
    ]
    with nginx_mirrors([repo], tmp_path, variants) as (origin, shared, single, broken):
        command = Command(tmp_path, origin.url)
        urls = against(single.url, shared.url, broken.url)
        assert command.run("mirrors", "test", "org/name", *urls, "--json", "--max-bytes", "24M", "--rounds", "2") == 0
    found = {each["url"]: each for each in command.json["mirrors"]}
    assert [each["url"] for each in command.json["mirrors"]][:2] == [origin.url, shared.url]
    # nginx lets a second's worth of a limit out at once: short samples are coarse, the order is not.
    assert found[shared.url]["goodput_1"] == pytest.approx(1 * MIB, rel=0.5)
    assert found[shared.url]["goodput_n"] == pytest.approx(4 * MIB, rel=0.5)
    # A server that answers 503 to every second connection: the failures are counted and named.
    assert found[single.url]["failure_rate"] > 0.3
    assert "503" in found[single.url]["reason"]
    assert found[broken.url]["reachable"] is True
    assert "503" in found[broken.url]["reason"]


def test_the_table_says_the_bounds_first_and_the_reasons_below_each_row(tmp_path, serve):
    origin, lagging = serve(), serve(OLD)
    command = Command(tmp_path, origin.url)
    assert command.run("mirrors", "test", "org/name", *against(lagging.url, DEAD), "--max-bytes", "8M") == 0
    first, *_ = command.stderr.getvalue().splitlines()
    assert first == "start: testing 3 sources with org/name: 3 rounds, at most 8.00 MiB, at most 2 min 00 s in all"
    lines = command.out.splitlines()
    assert lines[0].split()[:2] == ["RANK", "MIRROR"]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == ["1", "2", "3"]
    assert "    unreachable: " in command.out
    assert "29 days behind" in command.out


def test_bytes_and_seconds_are_bounded(tmp_path, serve):
    origin, slow, silent = serve(), serve(rate_bytes_per_s=50_000), serve(faults=["accept-and-silent"])
    command = Command(tmp_path, origin.url)
    began = time.monotonic()
    urls = against(slow.url, silent.url)
    argv = ("mirrors", "test", "org/name", *urls, "--max-bytes", "4M", "--max-time", "6", "--json")
    assert command.run(*argv) == 0
    assert (
        time.monotonic() - began < 30
    )  # six are allowed; at its rate the slow one alone would need more than a minute
    shown = command.json
    assert shown["spent"]["bytes"] <= 4 * MIB
    # What the servers handed to the kernel is more: buffers of connections that were cut. Bounded all the same.
    assert origin.bytes_served <= 4 * MIB
    found = {each["url"]: each for each in shown["mirrors"]}
    assert found[slow.url]["goodput_n"] == pytest.approx(50_000, rel=0.5)
    assert found[slow.url]["failure_rate"] == 0.0
    assert found[silent.url]["rank"] == 3


def test_one_that_gives_other_bytes_is_found_out_and_remembered(tmp_path, serve):
    origin, liar = serve(), serve(faults=[fault("flip-bits", every=1)])
    command = Command(tmp_path, origin.url)
    assert command.run("mirrors", "test", "org/name", *against(liar.url), "--max-bytes", "6M", "--json") == 0
    found = {each["url"]: each for each in command.json["mirrors"]}
    assert found[liar.url]["wrong_ranges"] > 0
    assert "gave wrong bytes" in found[liar.url]["reason"]
    known = load_memory(tmp_path / "state").book
    assert {way.mirror: each.lies > 0 for way, each in known.items()} == {origin.url: False, liar.url: True}


def test_a_plain_folder_is_measured_though_it_tells_no_commits(tmp_path, serve):
    origin, folder = serve(), serve()
    command = Command(tmp_path, origin.url)
    template = f"static+{folder.url}/{{repo}}/resolve/{{revision}}/{{path}}"
    assert command.run("mirrors", "test", "org/name", *against(template), "--max-bytes", "4M", "--json") == 0
    shown = next(each for each in command.json["mirrors"] if each["kind"] == "static")
    assert (shown["reachable"], shown["commit"], shown["failure_rate"], shown["ranges"]) == (True, None, 0.0, True)
    assert shown["repos"][0]["note"] == "a plain folder tells no commits"


def test_an_interruption_ends_it_at_once_and_with_one_object(tmp_path, serve):
    command = Command(tmp_path, serve(rate_bytes_per_s=100_000).url)
    argv = [sys.executable, "-m", "chunkdl", "mirrors", "test", "org/name", "--no-mirrors", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(argv, env={**os.environ, **command.environ}, cwd=tmp_path, text=True, **pipes)
    with killed_after(process):
        assert any("round 1" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5  # a second is promised; the machine may be busy
    assert process.returncode == 130, err
    shown = json.loads(out)
    assert (shown["ok"], shown["exit_code"], shown["mirrors"], shown["error"]["code"]) == (
        False,
        130,
        [],
        "interrupted",
    )
    assert "Traceback" not in err


def test_without_anybody_who_delivers_the_exit_code_says_so(tmp_path):
    command = Command(tmp_path, DEAD)
    assert command.run("mirrors", "test", "org/name", *against("http://127.0.0.1:7"), "--json") == 4
    assert [each["reachable"] for each in command.json["mirrors"]] == [False, False]
    assert command.json["ok"] is False


def test_a_repository_that_does_not_exist_is_an_error_with_one_object(tmp_path, serve):
    command = Command(tmp_path, serve().url)
    command.environ["HF_TOKEN"] = "hf_x"
    assert command.run("mirrors", "test", "org/other", "--no-mirrors", "--json") == 3
    assert command.json["error"]["code"] == "not-found"


def test_private_names_are_told_to_nobody(tmp_path, serve):
    private = HubRepo("org/name", dict(NEW.files), private=True)
    origin, mirror = serve(private, token="hf_x"), serve(private)
    command = Command(tmp_path, origin.url)
    command.environ["HF_TOKEN"] = "hf_x"
    assert command.run("mirrors", "test", "org/name", *against(mirror.url), "--max-bytes", "1M", "--json") == 0
    assert mirror.requests == 0
    [note] = [each["repos"][0]["note"] for each in command.json["mirrors"] if each["url"] == mirror.url]
    assert note.startswith("not asked")


def test_coverage_is_a_matrix_of_who_has_what(tmp_path, serve):
    both = HubRepo("org/both", {"a": "1"})
    with MirrorServer([NEW, both]).in_thread() as origin, MirrorServer([OLD]).in_thread() as mirror:
        (tmp_path / "repos.txt").write_text("org/name  # ours\n\norg/both\n")
        command = Command(tmp_path, origin.url)
        listed = ("--coverage", str(tmp_path / "repos.txt"))
        assert command.run("mirrors", "test", *against(mirror.url), *listed) == 0
        heading, name, other, total = command.out.splitlines()
        assert heading.split()[0] == "REPOSITORY"
        assert name.split() == ["org/name", "there", "other,", "2024-02-01"]
        assert other.split() == ["org/both", "there", "absent"]
        assert total.split() == ["same", "or", "there", "2", "of", "2", "0", "of", "2"]
        assert origin.bytes_served == mirror.bytes_served == 0
        assert command.run("mirrors", "test", *against(mirror.url), *listed, "--json") == 0
        cells = command.json["coverage"][0]["mirrors"]
        assert [cell["state"] for cell in cells.values()] == ["there", "other"]
        assert command.json["mirrors"] == []


@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_is_drawn(tmp_path, serve, suffix, magic):
    path = tmp_path / f"out.{suffix}"
    command = Command(tmp_path, serve().url)
    argv = ("org/name", *against(serve().url, DEAD), "--max-bytes", "4M", "--rounds", "2", "--plot", str(path))
    assert command.run("mirrors", "test", *argv) == 0
    assert path.read_bytes().startswith(magic)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, "state"]
    assert f"picture: {path}" in command.stderr.getvalue()


def test_the_next_list_shows_what_was_learnt(tmp_path, serve):
    origin = serve(rate_bytes_per_s=8 * MIB)
    command = Command(tmp_path, origin.url)
    assert command.run("mirrors", "test", "org/name", "--no-mirrors", "--max-bytes", "4M", "-q") == 0
    assert command.stderr.getvalue() == ""
    assert command.run("mirrors", "list", "--json") == 0
    [learnt] = command.json["mirrors"][0]["learnt"]
    assert learnt["host"] == origin.url.removeprefix("http://")
    assert learnt["rate_bytes_per_s"] > 0


class TestFetch:
    """What a fetch does with mirror settings and with its memory."""

    async def test_teaches_the_memory_and_goes_well_with_one(self, tmp_path):
        scene, repo = Scene(tmp_path), small_repo(4 * MIB)
        async with MirrorServer([repo], signed_urls=True) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
            assert_placed(report, repo)
            hosts = {way.host: known for way, known in load_memory(tmp_path / "state").book.items()}
            cdn = origin.cdn_url.removeprefix("http://")
            assert hosts[cdn].rate_bytes_per_s > 0
            assert hosts[cdn].failures == 0
            report = await scene.fetch(settings=scene.settings(origin), force=True)
            assert_placed(report, repo)

    async def test_goes_on_with_a_memory_that_is_spoilt(self, tmp_path):
        scene, repo = Scene(tmp_path), small_repo(1 * MIB)
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "mirrors.json").write_text("{")
        async with MirrorServer([repo]) as origin:
            report = await scene.fetch(settings=scene.settings(origin))
        assert_placed(report, repo)
        assert "mirror-memory" in [each.code for each in scene.told(Notice)]
        assert load_memory(tmp_path / "state").book

    async def test_keeps_each_mirrors_own_rate_cap(self, tmp_path):
        scene, repo = Scene(tmp_path), small_repo(6 * MIB)
        async with MirrorServer([repo]) as origin:
            settings = scene.settings(origin)
            capped = Mirror(origin.url, "capped", is_origin=True, rate_cap_bytes_per_s=4 * MIB)
            settings = replace(settings, origin=capped)
            began = time.monotonic()
            report = await scene.fetch(settings=settings)
        assert_placed(report, repo)
        assert time.monotonic() - began > 1.0, "6 MiB at 4 MiB/s, half a second of burst"

    async def test_trusts_a_mirrors_own_authority_for_it_alone(self, tmp_path):
        scene, repo = Scene(tmp_path), small_repo(1 * MIB)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS_FILES / "loopback-test-cert.pem", TLS_FILES / "loopback-test-key.pem")
        async with MirrorServer([repo], tls=context) as origin:
            own = Mirror(origin.url, "own", is_origin=True, ca_file=str(TLS_FILES / "loopback-test-cert.pem"))
            settings = replace(scene.settings(origin), origin=own)
            assert_placed(await scene.fetch(settings=settings), repo)
            other = Scene(tmp_path / "other")
            report = await other.fetch(settings=other.settings(origin))
            assert not report.results[0].ok
            assert "signed itself" in report.results[0].error.message

    async def test_a_checkouts_mirror_does_not_vouch(self, tmp_path):
        scene, repo = Scene(tmp_path), small_repo(1 * MIB)
        async with MirrorServer([repo]) as mirror:
            settings = scene.settings(mirror)
            dead = Mirror(DEAD, "dead", is_origin=True)
            for vouches, ok in ((False, False), (True, True)):
                only = Mirror(mirror.url, "m", vouches=vouches)
                told = replace(settings, origin=dead, mirrors=(only,))
                report = await scene.fetch(settings=told)
                assert report.results[0].ok is ok


def test_a_project_completes_what_was_typed(tmp_path, serve, monkeypatch):
    """Through the whole command: the project's selection and destination, unless the user says otherwise."""
    origin = serve(small_repo(1 * MIB))
    project = tmp_path / "checkout"
    project.mkdir()
    (project / "chunkdl.toml").write_text('include = ["*.json"]\ncache_dir = "hub"\n')
    command = Command(tmp_path, origin.url)

    def fetch(*argv):
        command.stdout, command.stderr = io.BytesIO(), io.StringIO()
        argv = ("fetch", "org/name", "--no-mirrors", *argv)
        return main(argv, Surroundings(argv, command.environ, command.stdout, command.stderr, folder=project))

    assert fetch() == 0, command.stderr.getvalue()
    [folder] = [Path(line) for line in command.out.splitlines()]
    assert folder.is_relative_to(project / "hub")
    assert [each.name for each in folder.iterdir()] == ["config.json"]
    assert "chunkdl.toml is obeyed: include, cache_dir" in command.stderr.getvalue()
    assert fetch("--include", "*.safetensors") == 0
    assert "model.safetensors" in [each.name for each in folder.iterdir()]
