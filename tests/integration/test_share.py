"""An exported folder as a mirror, by our server and by a stock nginx: what both say, and a fetch from each."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from threading import Event, Thread
from urllib.parse import quote, urlsplit

import pytest
from support.programs import free_port, line_of
from support.scene import Scene, assert_placed
from support.share import CANONICAL, FILES, NAME, ask, laid_out, legacy_repo, plain_nginx, settings_in

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.errors import UsageError
from chunkdl.settings import Settings, mirror_at
from chunkdl.share.server import MirrorService, serving
from chunkdl.testing import MirrorServer

REPO = legacy_repo()
WEIGHTS = f"/{CANONICAL}/resolve/{REPO.commit}/model.safetensors"
SIZE = 3 << 20


@contextmanager
def served(folder, **options):
    """Our server in a thread of its own."""
    started, stop, addresses = Event(), [], []

    async def run():
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(done.set))
        async with serving(MirrorService(folder, **options), "127.0.0.1", 0) as (host, port):
            addresses.append(f"http://{host}:{port}")
            started.set()
            await done.wait()

    thread = Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(20)
    try:
        yield addresses[0]
    finally:
        stop[0]()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A machine that pulled everything from the origin, which is gone by the time of the tests."""
    folder = tmp_path_factory.mktemp("home")
    with MirrorServer([REPO]).in_thread() as hub:
        settings = settings_in(folder, hub.url)
        report = asyncio.run(run_fetch([NAME], FetchOptions(format="all"), settings))
    assert report.exit_code == 0, report
    return settings


@pytest.fixture(scope="module", params=["serve", "nginx"])
def mirror(request, home, tmp_path_factory):
    root = tmp_path_factory.mktemp("lab") / "a mirror"
    port = free_port()
    folder = laid_out([NAME], root, home, listen=f"127.0.0.1:{port}")
    with served(folder) if request.param == "serve" else plain_nginx(folder, port) as url:
        yield url


@pytest.fixture(scope="module")
def service(home, tmp_path_factory):
    folder = laid_out([NAME], tmp_path_factory.mktemp("lab"), home)
    with served(folder, names=frozenset({"lab.example"})) as url:
        yield url


@pytest.mark.parametrize("name", [NAME, CANONICAL])
def test_both_names_lead_to_the_same_repository(mirror, name):
    for revision in ("main", REPO.commit):
        status, headers, body = ask(mirror, f"/api/models/{name}/revision/{revision}")
        assert (status, headers.get_content_type()) == (200, "application/json")
        info = json.loads(body)
        assert (info["id"], info["sha"], info["gated"], info["private"]) == (CANONICAL, REPO.commit, False, False)
        assert {each["rfilename"] for each in info["siblings"]} == set(FILES)
        status, _, body = ask(mirror, f"/{name}/resolve/{revision}/config.json")
        assert (status, body) == (200, FILES["config.json"])
    assert json.loads(ask(mirror, f"/api/models/{name}")[2])["sha"] == REPO.commit
    branches = json.loads(ask(mirror, f"/api/models/{name}/refs")[2])["branches"]
    assert branches == [{"name": "main", "ref": "refs/heads/main", "targetCommit": REPO.commit}]


def test_the_tree_is_the_hubs(mirror):
    for revision in ("main", REPO.commit):
        _, headers, body = ask(mirror, f"/api/models/{CANONICAL}/tree/{revision}?recursive=true&expand=false")
        assert json.loads(body) == REPO.tree()
        assert headers["Link"] is None


@pytest.mark.parametrize("path", sorted(FILES))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_file_with_what_clients_look_at(mirror, path, method):
    entry = REPO.entries[path]
    for revision in ("main", REPO.commit):
        target = f"/{NAME}/resolve/{revision}/{quote(path)}"
        status, headers, body = ask(mirror, target, method=method)
        assert status == 200
        assert headers["X-Repo-Commit"] == REPO.commit
        assert headers["X-Linked-Etag"] == f'"{entry.digest}"'
        assert headers["X-Linked-Size"] == headers["Content-Length"] == str(entry.size)
        assert headers["Content-Type"] == "application/octet-stream"
        assert body == (b"" if method == "HEAD" else bytes(entry.content.read(0, entry.size)))


def test_ranges_and_conditions(mirror):
    whole = bytes(REPO.entries["model.safetensors"].content.read(0, SIZE))
    etag = ask(mirror, WEIGHTS, method="HEAD")[1]["ETag"]
    for sent, start, stop in [("5-9", 5, 10), ("0-0", 0, 1), ("3000000-", 3_000_000, SIZE), ("-7", SIZE - 7, SIZE)]:
        status, headers, body = ask(mirror, WEIGHTS, Range=f"bytes={sent}", If_Range=etag)
        assert (status, headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{SIZE}")
        assert headers["X-Repo-Commit"] == REPO.commit
        assert body == whole[start:stop]
    status, headers, _ = ask(mirror, WEIGHTS, Range=f"bytes={SIZE}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    status, _, body = ask(mirror, WEIGHTS, Range="bytes=5-9", If_Range='"other"')
    assert (status, body) == (200, whole)
    assert ask(mirror, WEIGHTS, Range="lines=1-2")[0] == 200
    status, headers, body = ask(mirror, WEIGHTS, method="HEAD", Range="bytes=5-9")
    assert (status, headers["Content-Length"], body) == (206, "5", b"")
    assert ask(mirror, WEIGHTS, If_None_Match=etag)[0] == 304


@pytest.fixture(scope="module")
def ours(home, tmp_path_factory):
    """A folder cannot answer a POST, so plain nginx does not."""
    with served(laid_out([NAME], tmp_path_factory.mktemp("lab") / "ours", home)) as url:
        yield url


def post(url, body, kind):
    """One question about paths, as clients that use forms or JSON ask it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("POST", f"/api/models/{NAME}/paths-info/main", body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        (
            b"paths=config.json&paths=nested&expand=false",
            "application/x-www-form-urlencoded",
            ["config.json", "nested"],
        ),
        (b'{"paths": ["config.json", "no"]}', "application/json", ["config.json"]),
        (b'{"paths": 7}', "application/json", []),
        (b"{", "application/json", []),
        (b"\xff\xfe", "text/plain", []),
    ],
)
def test_several_files_may_be_asked_about_at_once(ours, body, kind, found):
    status, answer = post(ours, body, kind)
    assert (status, [each["path"] for each in json.loads(answer)]) == (200, found)


def test_a_question_that_is_too_long_is_not_read(ours):
    assert post(ours, b"paths=" + b"x" * (1 << 20), "application/x-www-form-urlencoded")[0] == 413


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(mirror, method):
    assert ask(mirror, WEIGHTS, method=method, Content_Length="0")[0] == 405


@pytest.mark.parametrize(
    ("target", "code", "commit"),
    [
        ("/api/models/no/where", "RepoNotFound", None),
        ("/no/where/resolve/main/config.json", "RepoNotFound", None),
        (f"/api/models/{NAME}/revision/nope", "RevisionNotFound", None),
        (f"/api/models/{CANONICAL}/tree/nope?recursive=true", "RevisionNotFound", None),
        (f"/{CANONICAL}/resolve/nope/config.json", "RevisionNotFound", None),
        (f"/{NAME}/resolve/main/added_tokens.json", "EntryNotFound", REPO.commit),
        (f"/{NAME}/resolve/main/CONFIG.json", "EntryNotFound", REPO.commit),
    ],
)
def test_what_is_not_there_is_said_as_the_hub_does(mirror, target, code, commit):
    status, headers, _ = ask(mirror, target)
    assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, code, commit)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/blobs/",
        f"/blobs/{REPO.entries['config.json'].digest}",
        "/chunkdl-mirror.json",
        "/repos/",
        "/nginx.conf",
        "/..%2f..%2fetc/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        f"/{CANONICAL}/resolve/{REPO.commit}/../../../../nginx.conf",
        f"/{CANONICAL}/resolve/{REPO.commit}/..%2F..%2F..%2F..%2Fnginx.conf",
        f"/{CANONICAL}/resolve/{REPO.commit}/%2e%2e/config.json/..",
        f"/{CANONICAL}/resolve/{REPO.commit}/nested/dir/",
        f"/{CANONICAL}/resolve/{REPO.commit}//etc/passwd",
        "/%00",
        "/%ff%fe",
        "/api/models/..%2f..%2f",
    ],
)
def test_no_path_leaves_the_offer(mirror, target):
    status, _, body = ask(mirror, target)
    assert status in {400, 404}
    assert b"root:" not in body
    assert b"worker_processes" not in body


def test_chunkdl_fills_a_second_home(mirror, tmp_path):
    scene = Scene(tmp_path)
    settings = Settings(origin=mirror_at(mirror, is_origin=True), cache_dir=scene.cache, state_dir=tmp_path / "state")
    report = asyncio.run(scene.fetch(NAME, settings=settings, format="all"))
    snapshot = assert_placed(report, REPO)
    assert {each.path for each in report.results[0].files} == set(FILES)
    assert (scene.cache / f"models--{NAME}/refs/main").read_text() == snapshot.name == REPO.commit


def test_chunkdl_takes_it_as_a_mirror_beside_a_slow_origin(mirror, tmp_path):
    scene = Scene(tmp_path)
    with MirrorServer([REPO], per_connection_bytes_per_s=50_000).in_thread() as origin:
        settings = Settings(
            origin=mirror_at(origin.url, is_origin=True),
            mirrors=(mirror_at(mirror),),
            cache_dir=scene.cache,
            state_dir=tmp_path / "state",
        )
        report = asyncio.run(scene.fetch(NAME, settings=settings))
    assert_placed(report, REPO)
    given = {each.host: each.bytes for each in report.hosts}
    assert given[urlsplit(mirror).netloc] > SIZE // 2


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8650", "", "127.0.0.1.evil.example"])
def test_a_page_that_points_its_name_here_reads_nothing(service, host):
    status, headers, body = ask(service, WEIGHTS, Host=host)
    assert status == 421
    assert headers["X-Repo-Commit"] is None
    assert b"--host" in body


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3:99", "localhost:8650", "[::1]:8650", "LAB.example.", "lab.example:1"]
)
def test_addresses_and_named_names_pass(service, host):
    assert ask(service, WEIGHTS, method="HEAD", Host=host)[0] == 200


def test_folders_of_a_tree_one_by_one(mirror):
    tree = f"/api/models/{CANONICAL}/tree/main"
    assert json.loads(ask(mirror, tree)[2]) == REPO.tree(recursive=False)
    assert json.loads(ask(mirror, f"{tree}/nested")[2]) == REPO.tree("nested", recursive=False)
    assert json.loads(ask(mirror, f"{tree}/nested/dir?recursive=1")[2]) == REPO.tree("nested/dir")
    odd = quote("odd names")
    assert json.loads(ask(mirror, f"{tree}/{odd}?recursive=false")[2]) == REPO.tree("odd names", recursive=False)
    status, headers, _ = ask(mirror, f"{tree}/nowhere?recursive=true")
    assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", REPO.commit)


def test_a_damaged_blob_is_not_served_and_named(home, tmp_path):
    folder = laid_out([NAME], tmp_path / "lab", home)
    blob = folder.blobs / REPO.entries["model.safetensors"].digest
    blob.unlink()
    blob.write_bytes(b"short")
    with served(folder) as url:
        status, headers, _ = ask(url, WEIGHTS)
        assert status == 500
        assert "export it again" in headers["X-Error-Message"]
        blob.unlink()
        blob.symlink_to("/etc/passwd")
        assert ask(url, WEIGHTS)[0] == 500


def test_what_is_exported_meanwhile_is_served_at_once(home, tmp_path):
    folder = laid_out([], tmp_path / "lab", home)
    with served(folder) as url:
        assert ask(url, f"/api/models/{NAME}")[0] == 404
        laid_out([NAME], folder.root, home)
        assert ask(url, f"/api/models/{NAME}")[0] == 200


def test_a_reader_that_leaves_harms_nobody(home, tmp_path, caplog):
    folder = laid_out([NAME], tmp_path / "lab", home)
    with served(folder) as url:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", urlsplit(url).port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.sendall(f"GET {WEIGHTS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
        assert len(ask(url, WEIGHTS)[2]) == SIZE
    assert caplog.records == []


def test_a_port_that_is_taken_is_said(home, tmp_path):
    folder = laid_out([], tmp_path / "lab", home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def start():
            async with serving(MirrorService(folder), "127.0.0.1", port):
                raise AssertionError("two listen on one port")

        with pytest.raises(UsageError, match=rf"cannot listen on 127.0.0.1:{port}"):
            asyncio.run(start())


def test_requests_are_logged(home, tmp_path):
    folder, log = laid_out([NAME], tmp_path / "lab", home), []
    with served(folder, on_served=log.append) as url:
        ask(url, WEIGHTS, Range="bytes=0-9")
        ask(url, "/")
    assert [(each.method, each.status, each.body_bytes) for each in log] == [("GET", 206, 10), ("GET", 404, 34)]


def test_blobs_are_links_where_the_cache_is_near(home, tmp_path):
    folder = laid_out([NAME], tmp_path / "lab", home)
    for entry in REPO.entries.values():
        blob = home.cache_dir / f"models--{NAME}/blobs" / entry.digest
        assert blob.samefile(folder.blobs / entry.digest)
    assert {each.name for each in folder.blobs.iterdir()} == {each.digest for each in REPO.entries.values()}


@pytest.fixture
def run_serve(home, tmp_path):
    """``chunkdl serve`` as a process; what it printed and how it ended."""
    folder = laid_out([NAME], tmp_path / "lab", home)

    def run(*flags, signum=signal.SIGINT, meanwhile=lambda _url: None):
        process = subprocess.Popen(
            [sys.executable, "-m", "chunkdl", "serve", folder.root, "--listen", "127.0.0.1:0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        url = line_of(process)
        meanwhile(url)
        process.send_signal(signum)
        _, told = process.communicate(timeout=30)
        return process.returncode, url, told

    return run


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(run_serve, signum):
    seen = []
    code, url, told = run_serve("--log", signum=signum, meanwhile=lambda url: seen.append(ask(url, WEIGHTS)[0]))
    assert (code, seen) == (0, [200])
    lines = told.splitlines()
    assert lines[0] == f"serving 1 commit, 3.00 MiB, at {url}; stop with Ctrl-C"
    assert f"HF_ENDPOINT={url} hf download" in lines[1]
    assert lines[2:] == [f"200 GET {WEIGHTS} {SIZE}"]


def test_the_command_with_another_name_and_no_words(run_serve):
    def by_name(url):
        assert ask(url, WEIGHTS, method="HEAD", Host="Hub.Lab")[0] == 200
        assert ask(url, WEIGHTS, method="HEAD", Host="other.lab")[0] == 421

    code, _, told = run_serve("-q", "--host", "hub.lab", meanwhile=by_name)
    assert (code, told) == (0, "")


def test_a_folder_that_is_no_export(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "chunkdl", "serve", tmp_path], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "was not made by chunkdl mirrors export" in done.stderr
    assert done.stdout == ""
