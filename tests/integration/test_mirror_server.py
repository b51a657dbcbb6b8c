"""MirrorServer speaks the hub's protocol, keeps to its rates and counts what it does."""

import asyncio
import http.client
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from support.asking import (
    BASE,
    CONFIG,
    DIGEST,
    LIMIT_S,
    MODEL,
    REPO,
    TREE,
    WEIGHTS,
    ask,
    ask_absolute,
    mirror_of,
    raw_reply,
    received,
)
from support.peers import turns_until

from chunkdl.testing import HubRepo, MirrorProcess, MirrorServer

TLS_FILES = Path(__file__).parents[2] / "fixtures" / "tls"

# ---- the protocol -------------------------------------------------------------------------------------


def test_legacy_id_is_redirected_relative_with_its_query():
    with mirror_of() as mirror:
        for target, moved in (
            (
                "/api/models/bert-base-uncased/revision/main?x=1",
                "/api/models/google-bert/bert-base-uncased/revision/main?x=1",
            ),
            ("/bert-base-uncased/resolve/main/config.json", f"{BASE}/main/config.json"),
        ):
            reply = ask(mirror.url, target)
            assert (reply.status, reply.headers["Location"]) == (307, moved)


def test_info_by_branch_tag_and_commit():
    with mirror_of() as mirror:
        api = "/api/models/google-bert/bert-base-uncased"
        for target in (api, f"{api}/revision/main", f"{api}/revision/v1", f"{api}/revision/{REPO.commit}"):
            reply = ask(mirror.url, target)
            assert (reply.status, reply.json["sha"], reply.json["id"]) == (200, REPO.commit, REPO.canonical_id)
            assert reply.headers["RateLimit"].startswith('"resolvers";r=')
        siblings = {each["rfilename"]: each for each in ask(mirror.url, f"{api}?blobs=true").json["siblings"]}
        assert siblings["model.safetensors"]["lfs"]["sha256"] == DIGEST
        assert "lfs" not in siblings["config.json"]
        refs = ask(mirror.url, f"{api}/refs").json
        assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": REPO.commit}]
        info = ask(mirror.url, f"{api}/paths-info/main", method="POST", body="paths=config.json&paths=empty.txt")
        assert [each["path"] for each in info.json] == ["config.json", "empty.txt"]


def test_encoded_slashes_stay_in_a_revision():
    repo = HubRepo("a/b", {"x": "1"}, branches=("refs/pr/1",))
    with mirror_of(repo) as mirror:
        assert ask(mirror.url, f"/api/models/a/b/revision/{quote('refs/pr/1', safe='')}").json["sha"] == repo.commit
        assert ask(mirror.url, "/a/b/resolve/refs%2Fpr%2F1/x").status == 307


def test_listing_comes_in_pages_linked_absolutely():
    files = {f"f{index:03}": str(index) for index in range(25)}
    repo = HubRepo("a/b", files)
    with mirror_of(repo, page_entries=10) as mirror:
        url, paths, pages = f"{mirror.url}/api/models/a/b/tree/main?recursive=true&expand=false", [], 0
        while url:
            reply = ask_absolute(url)
            paths += [each["path"] for each in reply.json]
            link = re.fullmatch(r'<(http://[^>]+)>; rel="next"', reply.headers.get("Link", ""))
            url, pages = link and link[1], pages + 1
            assert url is None or url.startswith(mirror.url + "/api/models/a/b/tree/main?")
    assert (paths, pages) == (sorted(files), 3)


def test_lfs_content_without_a_cdn():
    with mirror_of() as mirror:
        reply = ask(mirror.url, MODEL)
        assert (reply.status, WEIGHTS.first_difference(reply.body), len(reply.body)) == (200, None, WEIGHTS.size)
        assert reply.headers["X-Repo-Commit"] == REPO.commit
        assert reply.headers["X-Linked-Etag"] == reply.headers["ETag"] == f'"{DIGEST}"'
        head = ask(mirror.url, MODEL, method="HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, str(WEIGHTS.size), b"")


def test_ranges():
    with mirror_of() as mirror:
        reply = ask(mirror.url, MODEL, Range="bytes=1000000-1999999")
        assert (reply.status, reply.headers["Content-Range"]) == (206, "bytes 1000000-1999999/3000000")
        assert len(reply.body) == 1_000_000
        assert WEIGHTS.first_difference(reply.body, 1_000_000) is None
        beyond = ask(mirror.url, MODEL, Range="bytes=3000000-")
        assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */3000000")
        assert ask(mirror.url, MODEL, Range="bytes=0-9", If_Range='"other"').status == 200
        assert ask(mirror.url, MODEL, Range="bytes=0-9", If_Range=f'"{DIGEST}"').status == 206


def test_plain_files_lie_behind_resolve_cache_whose_query_counts():
    with mirror_of() as mirror:
        moved = ask(mirror.url, CONFIG)
        location = moved.headers["Location"]
        assert (moved.status, moved.headers["X-Repo-Commit"]) == (307, REPO.commit)
        assert location.startswith("/api/resolve-cache/models/google-bert/")
        reply = ask(mirror.url, location)
        assert (reply.status, reply.body) == (200, REPO.files["config.json"])
        assert reply.headers["ETag"] == f'"{REPO.entries["config.json"].digest}"'
        assert ask(mirror.url, location.partition("?")[0]).status == 400
    with mirror_of(redirects_small=False) as mirror:
        assert ask(mirror.url, CONFIG).body == REPO.files["config.json"]


def test_odd_names_and_empty_files():
    with mirror_of(redirects_small=False) as mirror:
        assert ask(mirror.url, f"{BASE}/main/{quote('sub/odd #1%+名.txt')}").body == b"odd"
        empty = ask(mirror.url, f"{BASE}/main/empty.txt")
        assert (empty.status, empty.headers["Content-Length"], empty.body) == (200, "0", b"")
        assert ask(mirror.url, f"{BASE}/main/empty.txt", Range="bytes=0-0").status == 416


def test_signed_urls_lead_to_a_cdn_byte_for_byte_until_they_expire():
    with mirror_of(signed_urls=True) as mirror:
        moved = ask(mirror.url, MODEL)
        location = moved.headers["Location"]
        assert (moved.status, moved.headers["X-Linked-Size"]) == (302, str(WEIGHTS.size))
        assert moved.headers["X-Linked-Etag"] == f'"{DIGEST}"'
        assert location.startswith(mirror.cdn_url + "/cdn/")
        assert urlsplit(location).port != urlsplit(mirror.url).port
        reply = ask_absolute(location, Range="bytes=5-9")
        assert (reply.status, WEIGHTS.first_difference(reply.body, 5)) == (206, None)
        assert ask_absolute(location.replace("%7E", "~")).status == 403
        mirror.expire_signed_urls()
        assert ask_absolute(location).status == 403
        assert ask_absolute(ask(mirror.url, MODEL).headers["Location"]).status == 200
        assert mirror.bytes_served == 5 + WEIGHTS.size + 2 * len(ask_absolute(location).body)
    with mirror_of(signed_urls=True, signed_url_ttl_s=0) as mirror:
        assert ask_absolute(ask(mirror.url, MODEL).headers["Location"]).status == 403


def test_two_mirrors_may_share_a_cdn():
    with mirror_of(signed_urls=True) as first, mirror_of(signed_urls=True, cdn=first) as second:
        assert second.cdn_url == first.cdn_url
        reply = ask_absolute(ask(second.url, MODEL).headers["Location"], Range="bytes=0-99")
        assert (reply.status, len(reply.body)) == (206, 100)
        assert (first.bytes_served, second.bytes_served) == (100, 0)


def test_datasets_path_prefix_and_older_commits():
    old = HubRepo("a/b", {"x": "old"}, repo_type="dataset", branches=("old",))
    repo = HubRepo("a/b", {"x": "new"}, repo_type="dataset", older=(old,))
    with mirror_of(repo, path_prefix="/hf") as mirror:
        assert mirror.url.endswith("/hf")
        assert ask(mirror.url, "/hf/api/datasets/a/b").json["sha"] == repo.commit
        assert ask(mirror.url, "/api/datasets/a/b").status == 404
        for revision, text in (("main", b"new"), ("old", b"old"), (old.commit, b"old")):
            location = ask(mirror.url, f"/hf/datasets/a/b/resolve/{revision}/x").headers["Location"]
            assert location.startswith("/hf/api/resolve-cache/datasets/a/b/")
            assert ask(mirror.url, location).body == text


def test_what_is_not_there_says_so_in_the_hubs_words():
    with mirror_of() as mirror:
        for target, status, code in (
            ("/api/agent-harnesses", 404, None),
            ("/api/models/no/where", 401, "RepoNotFound"),
            ("/no/where/resolve/main/x", 401, "RepoNotFound"),
            (f"/api/models/{REPO.canonical_id}/revision/nowhere", 404, "RevisionNotFound"),
            (f"/api/models/{REPO.canonical_id}/tree/nowhere", 404, "RevisionNotFound"),
            (f"{BASE}/nowhere/config.json", 404, "RevisionNotFound"),
            (f"{BASE}/main/nowhere", 404, "EntryNotFound"),
        ):
            reply = ask(mirror.url, target)
            assert (target, reply.status, reply.headers["X-Error-Code"]) == (target, status, code)
        assert ask(mirror.url, "/api/models/no/where", Authorization="Bearer any").status == 404


def test_tokens_open_gated_and_private_repositories():
    gated = HubRepo("a/gated", {"model.bin": "1"}, gated="manual")
    private = HubRepo("a/private", {"model.bin": "1"}, private=True)
    with mirror_of(gated, private, token="hf_right") as mirror:
        assert ask(mirror.url, "/api/models/a/gated").json["gated"] == "manual"
        for token, gated_status, private_status in ((None, 401, 401), ("hf_wrong", 403, 404), ("hf_right", 200, 200)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            reply = ask(mirror.url, "/a/gated/resolve/main/model.bin", **headers)
            assert reply.status == gated_status
            assert reply.headers["X-Error-Code"] == (None if gated_status == 200 else "GatedRepo")
            assert ask(mirror.url, "/api/models/a/private", **headers).status == private_status
        assert [each.request.token for each in mirror.log][-2:] == ["hf_right", "hf_right"]


# ---- connections, counters, rates ---------------------------------------------------------------------


def test_connections_are_kept_and_counted():
    with mirror_of() as mirror:
        parts = urlsplit(mirror.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
        for _ in range(3):
            connection.request("GET", MODEL, headers={"Range": "bytes=0-9"})
            assert len(connection.getresponse().read()) == 10
        connection.close()
        assert (mirror.connections, mirror.requests, mirror.bytes_served) == (1, 3, 30)
        assert mirror.bytes_by_file == {"model.safetensors": 30}
        assert [each.request.headers["range"] for each in mirror.requests_for("model.safetensors")] == ["bytes=0-9"] * 3
    assert (mirror.bodies, mirror.peak_bodies) == (0, 1)


def test_files_on_disk_are_served_by_the_kernel(tmp_path):
    (tmp_path / "big").write_bytes(WEIGHTS.read(0, WEIGHTS.size))
    repo = HubRepo("a/b", {"big.bin": tmp_path / "big"})
    with mirror_of(repo) as mirror:
        reply = ask(mirror.url, "/a/b/resolve/main/big.bin", Range="bytes=17-2500000")
        assert (reply.status, len(reply.body)) == (206, 2_499_984)
        assert WEIGHTS.first_difference(reply.body, 17) is None
        assert mirror.bytes_served == 2_499_984
        mirror.rate_bytes_per_s = 50_000_000
        assert WEIGHTS.first_difference(ask(mirror.url, "/a/b/resolve/main/big.bin").body) is None


def seconds_for(mirror, count, connections):
    """Time for ``connections`` requests of ``count`` bytes each at once."""
    headers = {"Range": f"bytes=0-{count - 1}"}
    with ThreadPoolExecutor(connections) as pool:
        started = time.monotonic()
        replies = list(pool.map(lambda _: ask(mirror.url, MODEL, **headers), range(connections)))
        took = time.monotonic() - started
    assert all(WEIGHTS.first_difference(reply.body) is None for reply in replies)
    return took


# A loaded machine can only be slower than the rate, hence the lop-sided bounds.
def test_the_mirrors_rate_is_shared_by_its_connections():
    with mirror_of(rate_bytes_per_s=2_000_000) as mirror:
        assert 0.4 < seconds_for(mirror, 250_000, 4) < 5
        mirror.rate_bytes_per_s = 20_000_000
        assert 0.05 < seconds_for(mirror, 500_000, 4) < 3


def test_a_body_on_its_way_keeps_up_with_the_rate():
    """At the first rate it would take twenty-five minutes."""
    with mirror_of(rate_bytes_per_s=2_000) as mirror, raw_reply(mirror, MODEL, Connection="close") as sock:
        assert sock.recv(1)
        mirror.rate_bytes_per_s = 20_000_000
        assert len(received(sock)) > WEIGHTS.size


def test_each_connection_has_its_own_rate():
    with mirror_of(per_connection_bytes_per_s=500_000) as mirror:
        # Shared, it would be 4 s.
        assert 0.4 < seconds_for(mirror, 250_000, 8) < 3.5


def test_latency_comes_before_every_answer():
    with mirror_of(latency_s=0.2) as mirror:
        started = time.monotonic()
        ask(mirror.url, TREE)
        assert time.monotonic() - started >= 0.2


def test_more_bodies_than_allowed_are_turned_away():
    with mirror_of(max_bodies=1, rate_bytes_per_s=100_000) as mirror, raw_reply(mirror, MODEL) as sock:
        assert sock.recv(1)
        assert ask(mirror.url, MODEL).status == 503
        assert ask(mirror.url, TREE).status == 200


def test_leaving_in_the_middle_of_a_body_stops_the_mirror_cleanly():
    with mirror_of(rate_bytes_per_s=100_000) as mirror, raw_reply(mirror, MODEL) as sock:
        assert sock.recv(1)
        port = urlsplit(mirror.url).port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)


def test_no_connection_outlives_the_mirror_not_even_one_that_nobody_serves_yet():
    async def scenario():
        async with MirrorServer([REPO]) as mirror:
            port = urlsplit(mirror.url).port
            young = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
            await turns_until(lambda: mirror._open)
            assert mirror.connections == 0, "its task has not begun"
        with young, suppress(ConnectionResetError):
            assert await asyncio.to_thread(young.recv, 1) == b""

    asyncio.run(scenario())


def test_the_asynchronous_form_is_the_same():
    async def scenario():
        async with MirrorServer([REPO]) as mirror:
            reply = await asyncio.to_thread(ask, mirror.url, MODEL, Range="bytes=0-9")
            return reply.status, mirror.bytes_served

    assert asyncio.run(scenario()) == (206, 10)


def test_asked_as_a_proxy_a_mirror_answers_for_whatever_name_it_is_asked_under():
    with mirror_of() as mirror:
        assert ask(mirror.url, f"http://hub.example{CONFIG}").status == ask(mirror.url, CONFIG).status == 307
        assert mirror.log[0].request.target == mirror.log[1].request.target == CONFIG


def test_a_mirror_may_speak_tls():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS_FILES / "loopback-test-cert.pem", TLS_FILES / "loopback-test-key.pem")
    trusting = ssl.create_default_context(cafile=TLS_FILES / "loopback-test-cert.pem")
    with mirror_of(tls=context, faults=["cyclic-listing"]) as mirror:
        parts = urlsplit(mirror.url)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=LIMIT_S, context=trusting)
        connection.request("GET", MODEL)
        assert (parts.scheme, WEIGHTS.first_difference(connection.getresponse().read())) == ("https", None)
        connection.request("GET", TREE)
        assert connection.getresponse().headers["Link"].startswith(f"<{mirror.url}/api/")
        connection.close()


def test_a_mirror_in_a_process_of_its_own():
    with MirrorProcess([REPO], faults=["html-200"]) as mirror:
        assert ask(mirror.url, MODEL).headers["Content-Type"].startswith("text/html")
        mirror.set("faults", [])
        assert WEIGHTS.first_difference(ask(mirror.url, MODEL).body) is None
        assert mirror.read("bytes_served") > WEIGHTS.size
        with pytest.raises(ValueError, match="not readable"):
            mirror.read("token")
        with pytest.raises(ValueError, match="not settable"):
            mirror.set("url", "")
        with pytest.raises(ValueError, match="not settable"):
            mirror.set("per_connection_bytes_per_s", 1)
