"""The doctor against real sockets: a dead mirror, an unknown CA, proxies, tokens, clocks, disks."""

import asyncio
import gc
import io
import json
import os
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager

import pytest
from raw_server import TLS_FILES, RawServer, fixed, head, server_tls
from support.peers import turns_until
from test_http_client import Proxy

from chunkdl.cli.main import main
from chunkdl.cli.surroundings import Surroundings
from chunkdl.doctor.examine import examine
from chunkdl.doctor.network import Probes, look_at_sources
from chunkdl.doctor.seen import FolderSeen
from chunkdl.doctor.storage import look_at_folder
from chunkdl.errors import ConnectFailed
from chunkdl.http.client import HttpClient
from chunkdl.http.resolver import Addresses
from chunkdl.identify.references import parse_reference
from chunkdl.model import Mirror
from chunkdl.process_identity import ProcessIdentity, this_process
from chunkdl.settings import Settings
from chunkdl.testing import HubRepo, MirrorServer, SeededContent
from chunkdl.transfer.owner_record import OwnerRecord, encode_owner

REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(3, 1 << 20)})
USUAL = HubRepo("bert-base-uncased", REPO.files)
SECRET = "hf_verysecret"
ASKED = parse_reference("org/name")


@contextmanager
def hub(*repos, **options):
    with MirrorServer(repos or (REPO, USUAL), **options).in_thread() as server:
        yield server


def dead_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stage:
    """One run of the command in this process, with a home of its own."""

    def __init__(self, home, **environ):
        self.home = home
        folders = {"HOME": home, "XDG_CONFIG_HOME": home / "config", "HF_HOME": home / "hf"}
        state = {"CHUNKDL_STATE_DIR": home / "state"}
        self.environ = {**{name: str(path) for name, path in (folders | state).items()}, **environ}
        self.stdout, self.stderr = io.BytesIO(), io.StringIO()

    def run(self, *argv):
        return main(argv, Surroundings(argv, self.environ, self.stdout, self.stderr))

    def examine(self, *argv, code=0):
        ended = self.run("doctor", *argv, "--json")
        assert ended == code, self.out
        return self.json

    @property
    def out(self):
        return self.stdout.getvalue().decode()

    @property
    def err(self):
        return self.stderr.getvalue()

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def steps_of(found, index=0):
    return {each["name"]: each for each in found["sources"][index]["steps"]}


def codes(found):
    return [each["code"] for each in found["findings"]]


def test_a_healthy_scene(stage):
    with hub(signed_urls=True) as origin, hub() as mirror:
        found = stage.examine("org/name", "--origin", origin.url, "--mirror", mirror.url)
        assert found["sources"][0]["final_host"] == origin.cdn_url.removeprefix("http://")  # the whole way was gone
    assert (found["ok"], found["findings"], found["reference"]) == (True, [], "org/name")
    for index in (0, 1):
        steps = steps_of(found, index)
        assert list(steps) == ["tcp", "metadata", "range"]
        assert all(each["ok"] and each["seconds"] >= 0 for each in steps.values())
        assert found["sources"][index]["ranged"]
    assert {each["role"]: each["symlinks"] for each in found["folders"]} == {"cache": True, "state": True}
    assert {"name": "trust", "value": "auto", "where": "default"} in found["settings"]


def test_it_costs_a_listing_and_a_byte(stage):
    with hub() as origin:
        stage.examine("org/name", "--origin", origin.url, "--no-mirrors")
        assert origin.bytes_served <= 1
        assert origin.requests <= 4


def test_people_read_what_to_do(stage):
    with hub() as origin:
        dead = f"http://127.0.0.1:{dead_port()}"
        assert stage.run("doctor", "--origin", origin.url, "--add-mirror", dead) == 0
    assert "checking 2 sources with bert-base-uncased" in stage.err
    assert "tcp" in stage.out
    assert "FAILED: " in stage.out
    assert "do: nothing listens there" in stage.out
    assert stage.out.rstrip().endswith("Verdict: a fetch would work")


def test_a_dead_origin_and_a_living_mirror(stage):
    dead = f"http://127.0.0.1:{dead_port()}"
    with hub() as mirror:
        found = stage.examine("org/name", "--origin", dead, "--mirror", mirror.url)
        assert codes(found) == ["origin-silent", "refused"]
        strict = fresh(stage).examine("--origin", dead, "--mirror", mirror.url, "--trust", "strict", code=4)
        assert codes(strict)[0] == "authority"
    nobody = fresh(stage).examine("--origin", dead, "--no-mirrors", code=4)
    assert codes(nobody) == ["nobody", "refused"]


def fresh(stage, **environ):
    """Another run on the same stage."""
    return Stage(stage.home, **environ)


def test_a_certificate_that_nobody_vouches_for(stage, monkeypatch):
    with hub(tls=server_tls()) as mirror, hub() as origin:
        flags = ("org/name", "--origin", origin.url, "--mirror", mirror.url)
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        found = stage.examine(*flags)
        tls = steps_of(found, 1)["tls"]
        assert (tls["ok"], tls["code"]) == (False, "tls-unknown-ca")
        (finding,) = found["findings"]
        assert "SSL_CERT_FILE" in finding["advice"]
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS_FILES / "loopback-test-cert.pem"))
        trusted = fresh(stage).examine(*flags)
        assert steps_of(trusted, 1)["tls"]["ok"]
        assert steps_of(trusted, 1)["tls"]["detail"].startswith("TLSv1.")
        assert trusted["findings"] == []


def test_a_name_that_does_not_exist(stage):
    found = stage.examine("--origin", "https://nowhere.invalid", "--no-mirrors", code=4)
    assert [(name, each["ok"], each["code"]) for name, each in steps_of(found).items()] == [("dns", False, "dns")]


def test_missing_and_unnamed_repositories(stage):
    with hub(REPO) as origin:
        flags = ("--origin", origin.url, "--no-mirrors")
        assert codes(stage.examine(*flags)) == ["not-tried"]
        assert codes(fresh(stage).examine("org/nope", *flags, code=3))[0] == "not-found"


def test_tokens_are_tried_and_never_shown(stage):
    async def scenario(answers):
        async def answer(request, writer):
            body, status = answers(request)
            writer.write(head(status, f"Content-Length: {len(body)}") + body)

        async with RawServer(answer, encrypted=False) as server:
            again = fresh(stage, HF_TOKEN=SECRET)
            ended = await asyncio.to_thread(again.run, "doctor", "--origin", server.url, "--no-mirrors", "--json")
            return ended, again, server

    def no_account(request):
        return (b"{}", 401) if "whoami" in request.target else (b"{}", 404)

    code, again, server = asyncio.run(scenario(no_account))
    assert code == 3
    assert server.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert "does not accept the token" in again.out
    assert SECRET not in again.out + again.err


@pytest.mark.parametrize("why", ["token", "pattern"])
def test_a_name_that_may_be_private_is_told_to_the_origin_alone(stage, why):
    environ = {"HF_TOKEN": SECRET} if why == "token" else {}
    if why == "pattern":
        (stage.home / "config/chunkdl").mkdir(parents=True)
        (stage.home / "config/chunkdl/chunkdl.toml").write_text('private = ["org/*"]')
    with hub() as origin, hub() as mirror:
        found = fresh(stage, **environ).examine("org/name", "--origin", origin.url, "--mirror", mirror.url)
        assert not any("org/name" in each.request.target for each in mirror.log)
        assert not any("authorization" in each.request.headers for each in mirror.log)
        assert any("org/name" in each.request.target for each in origin.log)
    assert [each["asked"] for each in found["sources"]] == ["org/name", "bert-base-uncased"]
    assert all(each["ok"] for each in steps_of(found, 1).values())
    assert SECRET not in json.dumps(found)


def test_proxies(stage):
    async def scenario(proxy_answer, url):
        async with RawServer(proxy_answer, encrypted=False) as proxy:
            again = fresh(stage, HTTPS_PROXY=proxy.url.replace("//", "//me:pass@"))
            ended = await asyncio.to_thread(again.run, "doctor", "--origin", url, "--no-mirrors", "--json")
            return ended, again, proxy

    for status, advice in ((407, "user name and a password"), (403, "forbids this host")):
        code, again, proxy = asyncio.run(scenario(fixed(head(status, "Content-Length: 0")), "https://hub.test"))
        assert code == 4
        found = again.json
        assert [(name, each["ok"]) for name, each in steps_of(found).items()] == [("tcp", True), ("proxy", False)]
        assert advice in found["findings"][-1]["message"]
        assert proxy.url in found["findings"][-1]["message"]
        assert found["sources"][0]["proxy"] == proxy.url
        assert proxy.requests[0].target == "hub.test:443"
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
        assert "pass@" not in again.out + again.err
    code, again, _ = asyncio.run(scenario(fixed(b"220 mail.example ESMTP\r\n\r\n", close=True), "https://hub.test"))
    assert code == 4
    assert steps_of(again.json)["proxy"]["ok"] is False


def looked(tmp_path, url, *, environ=(), name="hub", **how):
    """What the probes saw of one source."""
    mirror = Mirror(url, name, is_origin=True)
    settings = Settings(origin=mirror, cache_dir=tmp_path, state_dir=tmp_path, answer_s=30.0)

    async def look():
        addresses = Addresses()
        async with HttpClient(environ=dict(environ), addresses=addresses) as client:
            probes = Probes(client, addresses, dict(environ), **how)
            (seen,) = await look_at_sources(ASKED, ASKED, settings, probes)
            return seen

    return look()


def test_a_source_that_hangs_is_left_in_time(tmp_path):
    async def scenario():
        async def never(_request, _writer):
            await asyncio.Event().wait()

        async with RawServer(never, encrypted=False) as server:
            return await asyncio.wait_for(looked(tmp_path, server.url, limit_s=2.0), 20)

    seen = asyncio.run(scenario())
    assert [(each.name, each.ok) for each in seen.steps] == [("tcp", True), ("limit", False)]


@pytest.mark.parametrize(("more", "skew_s"), [((), 7200.0), (("Age: 60",), None)])
def test_clocks(tmp_path, more, skew_s):
    async def scenario():
        date = "Date: Thu, 01 Jan 2026 00:00:00 GMT"
        async with RawServer(fixed(head(404, "Content-Length: 0", date, *more)), encrypted=False) as server:
            return await looked(tmp_path, server.url, wall_clock=lambda: 1767225600.0 + 7200.0)

    assert asyncio.run(scenario()).skew_s == skew_s


def test_a_tunnel_is_followed_to_the_end(tmp_path):
    """Below a proxy no name is looked up here: TLS goes through the tunnel to the name that was asked for."""

    async def scenario():
        async with Proxy() as proxy, RawServer(fixed(head(200)), encrypted=True) as server:
            url, environ = f"https://lab.test:{server.port}", {"https_proxy": proxy.url}
            seen = await looked(tmp_path, url, environ=environ)
            await turns_until(lambda: not proxy._serving)  # both ends must be closed before the loop is
            return seen

    seen = asyncio.run(scenario())
    steps = {each.name: each for each in seen.steps}
    assert list(steps) == ["tcp", "proxy", "tls"]
    assert steps["proxy"].ok
    assert steps["tls"].code == "tls-unknown-ca"


def test_ranges_ignored_and_bytes_refused(stage):
    with hub(faults=["ignore-range"]) as origin:
        found = stage.examine("org/name", "--origin", origin.url, "--no-mirrors")
        assert codes(found) == ["ranges-ignored", "no-ranges"]
    with hub(faults=["status-503"]) as origin:
        found = fresh(stage).examine("org/name", "--origin", origin.url, "--no-mirrors", code=4)
        assert codes(found) == ["http-status", "no-bytes"]


def test_offline_asks_nobody(stage):
    with hub() as origin:
        offline = fresh(stage, HF_HUB_OFFLINE="1")
        found = offline.examine("--origin", origin.url, code=3)
        assert (codes(found), found["sources"]) == (["offline"], [])
        assert origin.connections == 0
        assert fresh(stage).run("fetch", "-q", "org/name", "--origin", origin.url, "--no-mirrors") == 0
    found = fresh(stage, TRANSFORMERS_OFFLINE="1").examine("org/name", "--no-mirrors")
    assert found["findings"][0]["level"] == "note"
    fresh(stage, HF_HUB_OFFLINE="1").examine("org/other", code=3)


def test_settings_that_cannot_mean_anything(stage):
    found = fresh(stage, HF_ENDPOINT="ftp://x").examine(code=2)
    assert found["error"]["code"] == "usage"
    assert found["findings"] == []
    assert fresh(stage).run("doctor", "a/b/c/d") == 2


def test_the_cache_is_tried_by_writing(stage, tmp_path):
    with hub() as origin:
        (tmp_path / "file").write_text("no folder")
        flags = ("org/name", "--origin", origin.url, "--no-mirrors", "--cache-dir", str(tmp_path / "file" / "hub"))
        found = stage.examine(*flags, code=6)
        assert "cache-unusable" in codes(found)
    assert {each.name for each in tmp_path.iterdir()} == {"file"}


def test_a_read_only_folder(tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("chunkdl.doctor.storage.create_new", refuse)
    seen = look_at_folder("cache", tmp_path / "hub", "default")
    assert (seen.exit_code, seen.symlinks) == (6, None)
    assert "Read-only file system" in seen.trouble


@pytest.mark.parametrize("role", ["cache", "state"])
def test_a_folder_that_never_answers_ends_no_examination(stage, monkeypatch, role):
    """As on a mount whose server is gone: what hangs is left to a thread that holds up no exit."""
    never, hung = threading.Event(), []

    def hanging(asked, path, where):
        if asked != role:
            return look_at_folder(asked, path, where)
        hung.append(threading.current_thread())
        never.wait(30)
        return FolderSeen(asked, str(path), where)

    monkeypatch.setattr("chunkdl.doctor.examine.look_at_folder", hanging)
    monkeypatch.setattr("chunkdl.doctor.examine.STORAGE_LIMIT_S", 0.5)
    try:
        with hub() as origin:
            found = stage.examine("org/name", "--origin", origin.url, "--no-mirrors", code=6)
    finally:
        never.set()
    assert [each["role"] for each in found["folders"] if not each["answers"]] == [role]
    assert codes(found) == [f"{role}-unusable"]
    assert "does not answer" in found["findings"][0]["message"]
    assert [each.daemon for each in hung] == [True]


def test_an_examination_that_cannot_begin_leaves_nothing_unawaited(tmp_path, monkeypatch):
    @asynccontextmanager
    async def broken(*_):
        raise ConnectFailed("no socket")
        yield

    monkeypatch.setattr("chunkdl.doctor.examine.probing", broken)
    settings = Settings(cache_dir=tmp_path / "hub", state_dir=tmp_path / "state")
    with pytest.raises(ConnectFailed):
        asyncio.run(examine(None, settings, {}, time.time))
    gc.collect()  # a coroutine that nobody awaited is told when it goes: pytest makes an error of that


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.symlink", no_links)
    seen = look_at_folder("cache", tmp_path, "default")
    assert (seen.trouble, seen.symlinks, seen.hard_links) == ("", False, True)
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_that_others_may_write(tmp_path):
    (tmp_path / "state").mkdir(mode=0o777)
    (tmp_path / "state").chmod(0o777)
    assert look_at_folder("state", tmp_path / "state", "default").exposed
    assert not look_at_folder("state", tmp_path / "none", "default").exposed


def test_leftovers(stage, tmp_path):
    blobs = tmp_path / "hf/hub/models--org--name/blobs"
    blobs.mkdir(parents=True)
    me = this_process()
    gone = ProcessIdentity(me.host, me.boot, 2**22 + 5, 1)
    long_ago = time.time() - 20 * 86_400
    for digest, owner, at in (("a" * 64, gone, None), ("b" * 64, me, None), ("c" * 64, None, long_ago)):
        (blobs / f"{digest}.chunkdl-part").write_bytes(bytes(8192))
        (blobs / f"{digest}.chunkdl-journal").write_bytes(b"x")
        if owner:
            (blobs / f"{digest}.chunkdl-owner").write_bytes(encode_owner(OwnerRecord(owner, "n", 1)))
        if at:
            for each in blobs.glob(f"{digest}*"):
                os.utime(each, (at, at))
    with hub() as origin:
        found = stage.examine("--origin", origin.url, "--no-mirrors")
    said = {each["code"]: each for each in found["findings"]}
    assert set(said) == {"in-transfer", "stale-partials", "partials"}
    assert "20 days" in said["stale-partials"]["message"] or "19 days" in said["stale-partials"]["message"]
    assert "is gone" in said["partials"]["message"]


def test_what_was_begun_for_torch_is_found_too(tmp_path):
    torch = tmp_path / "torch" / "checkpoints"
    torch.mkdir(parents=True)
    (torch / f".net.pth.{'c' * 64}.chunkdl-part").write_bytes(bytes(8192))
    folders = {"cache_dir": tmp_path / "hub", "state_dir": tmp_path / "state", "torch_dir": tmp_path / "torch"}
    found = asyncio.run(examine(None, Settings(**folders, offline=True), {}, time.time))
    assert [each.subject for each in found.findings if each.code == "partials"] == ["torch"]


def test_json_is_one_ascii_line(stage):
    with hub() as origin:
        stage.run("doctor", "--origin", origin.url, "--no-mirrors", "--json")
    assert json.loads(stage.stdout.getvalue().decode("ascii"))["schema"] == 1
    assert stage.err == ""
