"""Every fault does on the wire what its name says."""

import gzip
import http.client
import json
import re
import time

import pytest
from support.asking import (
    BASE,
    CONFIG,
    DIGEST,
    MODEL,
    REPO,
    TREE,
    WEIGHTS,
    ask,
    mirror_of,
    raw_reply,
    received,
)

from chunkdl.testing import ModelScopeServer, fault, fault_names

INFO = f"/api/models/google-bert/bert-base-uncased/revision/{REPO.commit}?blobs=true"
FILES = "/api/v1/models/google-bert/bert-base-uncased/repo/files?Revision=master&Recursive=True"
TESTED = set()


def of_fault(*names):
    TESTED.update(names)
    return lambda test: test


def ranged(mirror, first=1_000_000, last=1_999_999, **more):
    return ask(mirror.url, MODEL, Range=f"bytes={first}-{last}", **more)


@of_fault("ignore-range")
def test_ignore_range():
    with mirror_of(faults=["ignore-range"]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, len(reply.body), reply.headers["Content-Range"]) == (200, WEIGHTS.size, None)


@of_fault("shift-bytes")
def test_shift_bytes():
    with mirror_of(faults=[fault("shift-bytes", by=4)]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Content-Range"]) == (206, "bytes 1000000-1999999/3000000")
        assert WEIGHTS.first_difference(reply.body, 1_000_004) is None
        tail = ranged(mirror, 2_999_998, 2_999_999)
        assert tail.body == bytes(WEIGHTS.read(2, 4))


@of_fault("flip-bits")
def test_flip_bits_in_every_second_range():
    with mirror_of(faults=[fault("flip-bits", every=2)]) as mirror:
        wrong = [WEIGHTS.first_difference(ranged(mirror).body, 1_000_000) for _ in range(4)]
        assert wrong == [1_000_000, None, 1_000_000, None]


@of_fault("wrong-content-range")
def test_wrong_content_range():
    with mirror_of(faults=[fault("wrong-content-range", by=-3)]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Content-Range"]) == (206, "bytes 999997-1999996/3000000")
        assert WEIGHTS.first_difference(reply.body, 1_000_000) is None


@of_fault("wrong-total")
def test_wrong_total():
    with mirror_of(faults=["wrong-total"]) as mirror:
        assert ranged(mirror).headers["Content-Range"] == "bytes 1000000-1999999/3000001"


@of_fault("short-length")
def test_short_length():
    with mirror_of(faults=[fault("short-length", by=7)]) as mirror:
        reply = ranged(mirror)
        assert (len(reply.body), reply.headers["Content-Range"]) == (999_993, "bytes 1000000-1999999/3000000")
        assert ranged(mirror, 0, 3).body == b""


@of_fault("too-many-bytes")
def test_too_many_bytes_announced_or_not():
    with mirror_of(faults=[fault("too-many-bytes", extra=7)]) as mirror:
        reply = ranged(mirror)
        assert (len(reply.body), reply.headers["Content-Range"]) == (1_000_007, "bytes 1000000-1999999/3000000")
        mirror.faults = [fault("too-many-bytes", extra=7, announced=False)]
        with raw_reply(mirror, MODEL, Range="bytes=0-9") as sock:
            head, _, body = received(sock).partition(b"\r\n\r\n")
        assert b"Content-Length: 10\r\n" in head
        assert len(body) == 17


@of_fault("close-early")
def test_close_early_with_fin_or_reset():
    with mirror_of(faults=["close-early"]) as mirror:
        with pytest.raises(http.client.IncompleteRead) as caught:
            ranged(mirror)
        assert len(caught.value.partial) == 500_000
        mirror.faults = [fault("close-early", n=10, reset=True)]
        with pytest.raises(ConnectionResetError):
            ranged(mirror)
        assert ask(mirror.url, f"{BASE}/main/empty.txt").status == 307


@of_fault("html-200")
def test_html_page_with_a_good_status():
    with mirror_of(faults=["html-200"]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@of_fault("gzip")
def test_gzip_of_the_whole_or_of_the_range():
    with mirror_of(faults=["gzip"]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Content-Encoding"]) == (200, "gzip")
        assert WEIGHTS.first_difference(gzip.decompress(reply.body)) is None
        mirror.faults = [fault("gzip", ranged=True)]
        reply = ranged(mirror)
        assert (reply.status, WEIGHTS.first_difference(gzip.decompress(reply.body), 1_000_000)) == (206, None)


STATUSES = ("status-403", "status-404", "status-429", "status-500", "status-502", "status-503")


@of_fault("status", *STATUSES)
@pytest.mark.parametrize("name", ["status", *STATUSES])
def test_error_statuses_after_some_good_answers(name):
    with mirror_of(faults=[fault(name, skip=1, times=1, retry_after_s=3)]) as mirror:
        replies = [ranged(mirror) for _ in range(3)]
        assert [reply.status for reply in replies] == [206, int(name.partition("-")[2] or 503), 206]
        assert replies[1].headers["Retry-After"] == "3"
        assert (replies[1].headers["RateLimit"] == '"resolvers";r=0;t=3') == (name == "status-429")


@of_fault("accept-and-silent")
def test_accept_and_silent():
    with mirror_of(faults=["accept-and-silent"]) as mirror, pytest.raises(TimeoutError):
        ranged(mirror, timeout=0.2)


@of_fault("slow-first-byte")
def test_slow_first_byte():
    with mirror_of(faults=[fault("slow-first-byte", seconds=0.2)]) as mirror:
        started = time.monotonic()
        assert ranged(mirror).status == 206
        assert time.monotonic() - started >= 0.2


@of_fault("dribble")
def test_dribble():
    with mirror_of(faults=[fault("dribble", piece_bytes=2, interval_s=0.05)]) as mirror:
        started = time.monotonic()
        assert len(ranged(mirror, 0, 9).body) == 10
        assert time.monotonic() - started >= 4 * 0.05


@of_fault("stall-after-n-bytes")
def test_stall_in_the_middle_of_a_body():
    with mirror_of(faults=[fault("stall-after-n-bytes", n=1000)]) as mirror:
        with raw_reply(mirror, MODEL) as sock:
            data = b""
            while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < 1000:
                data += sock.recv(65536)
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        mirror.faults = [fault("stall-after-n-bytes", n=1000, seconds=0.1)]
        assert WEIGHTS.first_difference(ranged(mirror).body, 1_000_000) is None


@of_fault("refuse-head")
def test_refuse_head():
    with mirror_of(faults=["refuse-head"]) as mirror:
        assert [ask(mirror.url, MODEL, method=method).status for method in ("HEAD", "GET")] == [405, 200]


@of_fault("no-content-length")
@pytest.mark.parametrize("chunked", [True, False])
def test_no_content_length(chunked):
    with mirror_of(faults=[fault("no-content-length", chunked=chunked)]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Content-Length"]) == (206, None)
        assert reply.headers["Transfer-Encoding"] == ("chunked" if chunked else None)
        assert (len(reply.body), WEIGHTS.first_difference(reply.body, 1_000_000)) == (1_000_000, None)


@of_fault("connection-close")
def test_connection_close():
    with mirror_of(faults=["connection-close"]) as mirror, raw_reply(mirror, MODEL, Range="bytes=0-9") as sock:
        assert b"Connection: close\r\n" in received(sock)


@of_fault("redirect", "redirect-loop", "redirect-private", "redirect-http")
@pytest.mark.parametrize(
    ("name", "status", "location"),
    [
        ("redirect", 302, f"http://127.0.0.1:9{MODEL}"),
        ("redirect-loop", 308, MODEL),
        ("redirect-private", 302, f"http://10.0.0.1{MODEL}"),
        ("redirect-http", 302, f"http://mirror.invalid{MODEL}"),
    ],
)
def test_redirects(name, status, location):
    with mirror_of(faults=[name]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.headers["Location"]) == (status, location)


@of_fault("wrong-etag")
def test_wrong_etag():
    with mirror_of(faults=["wrong-etag"]) as mirror:
        reply = ranged(mirror)
        assert re.fullmatch(r'"[0-9a-f]{64}"', reply.headers["ETag"])
        assert DIGEST not in reply.headers["ETag"] + reply.headers["X-Linked-Etag"]


@of_fault("huge-headers")
def test_huge_headers():
    huge = fault("huge-headers", size_bytes=100_000)
    with mirror_of(faults=[huge]) as mirror, raw_reply(mirror, MODEL, Connection="close", Range="bytes=0-9") as sock:
        assert len(received(sock)) > 100_000


@of_fault("link-next-foreign-host")
def test_link_to_a_foreign_host():
    with mirror_of(faults=["link-next-foreign-host"]) as mirror:
        assert ask(mirror.url, TREE).headers["Link"].startswith("<http://127.0.0.2:9/api/models/")


@of_fault("cyclic-listing")
def test_cyclic_listing():
    with mirror_of(faults=["cyclic-listing"]) as mirror:
        assert ask(mirror.url, TREE).headers["Link"] == f'<{mirror.url}{TREE}>; rel="next"'


@of_fault("huge-listing")
def test_huge_listing():
    with mirror_of(faults=[fault("huge-listing", size_bytes=1_000_000)]) as mirror:
        reply = ask(mirror.url, TREE)
        assert len(reply.body) > 1_000_000
        assert reply.json == REPO.tree()


@of_fault("gzip-bomb")
def test_gzip_bomb():
    with mirror_of(faults=[fault("gzip-bomb", size_bytes=5 << 20)]) as mirror:
        reply = ask(mirror.url, TREE)
        assert len(reply.body) < 50_000
        assert gzip.decompress(reply.body) == b" " * (5 << 20)


@of_fault("truncated-listing")
def test_truncated_listing():
    with mirror_of(faults=["truncated-listing"]) as mirror:
        reply = ask(mirror.url, TREE)
        assert (reply.status, len(reply.body)) == (200, int(reply.headers["Content-Length"]))
        with pytest.raises(json.JSONDecodeError):
            json.loads(reply.body)


@of_fault("hostile-path")
def test_hostile_path():
    with mirror_of(faults=[fault("hostile-path", listed="..\\evil\0")]) as mirror:
        assert ask(mirror.url, TREE).json[-1]["path"] == "..\\evil\0"


@of_fault("wrong-pointer")
def test_wrong_pointer():
    right = {each["path"]: each for each in REPO.tree()}
    with mirror_of(faults=["wrong-pointer"]) as mirror:
        listed = {each["path"]: each for each in ask(mirror.url, TREE).json}
    assert listed["model.safetensors"]["oid"] != right["model.safetensors"]["oid"]
    assert listed["model.safetensors"]["lfs"] == right["model.safetensors"]["lfs"]
    assert listed["config.json"] == right["config.json"]


@of_fault("wrong-digest")
def test_wrong_digest_is_a_consistent_lie():
    with mirror_of(faults=[fault("wrong-digest", listed="*.safetensors")]) as mirror:
        listed = {each["path"]: each for each in ask(mirror.url, TREE).json}
        body = ask(mirror.url, MODEL).body
    assert listed["model.safetensors"]["lfs"]["oid"] != DIGEST
    assert listed["model.safetensors"]["size"] == len(body) == WEIGHTS.size
    assert WEIGHTS.first_difference(body) is not None


@of_fault("missing-file")
def test_missing_file():
    with mirror_of(faults=["missing-file"]) as mirror:
        assert "model.safetensors" not in {each["path"] for each in ask(mirror.url, TREE).json}
        reply = ask(mirror.url, MODEL)
        assert (reply.status, reply.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert ask(mirror.url, CONFIG).status == 307


@of_fault("lagging")
def test_lagging_mirror_knows_another_commit_only():
    with mirror_of(faults=["lagging"]) as mirror:
        behind = ask(mirror.url, f"/api/models/{REPO.canonical_id}/revision/main").json["sha"]
        assert behind != REPO.commit
        assert ask(mirror.url, TREE).headers["X-Error-Code"] == "RevisionNotFound"
        assert ask(mirror.url, MODEL).headers["X-Error-Code"] == "RevisionNotFound"
        assert ask(mirror.url, MODEL.replace(REPO.commit, behind)).status == 200


def test_faults_may_strike_metadata_and_redirects():
    with mirror_of(signed_urls=True, faults=[fault("status-500", where="api")]) as mirror:
        assert (ask(mirror.url, TREE).status, ask(mirror.url, MODEL).status) == (500, 302)
        mirror.faults = [fault("status-500", where="resolve")]
        assert (ask(mirror.url, TREE).status, ask(mirror.url, MODEL).status) == (200, 500)


@of_fault("no-tree")
def test_no_tree():
    with mirror_of(faults=["no-tree"]) as mirror:
        reply = ask(mirror.url, TREE)
        assert (reply.status, reply.json, reply.headers["X-Error-Code"]) == (404, {"detail": "Not Found"}, None)
        assert ask(mirror.url, INFO).status == 200


@of_fault("no-blobs")
def test_no_blobs():
    with mirror_of() as mirror:
        assert all("blobId" in each for each in ask(mirror.url, INFO).json["siblings"])
        mirror.faults = ["no-blobs"]
        names = [{"rfilename": path} for path in REPO.entries]
        assert ask(mirror.url, INFO).json["siblings"] == names


@of_fault("foreign-etag")
def test_foreign_etag():
    with mirror_of(faults=["foreign-etag"]) as mirror:
        reply = ask(mirror.url, MODEL, method="HEAD")
        assert (reply.headers["ETag"], reply.headers["X-Linked-Etag"]) == (f'"{"0123456789abcdef" * 2}-10"', None)
        mirror.faults = [fault("foreign-etag", etag='W/"x"')]
        assert ask(mirror.url, MODEL, method="HEAD").headers["ETag"] == 'W/"x"'


@of_fault("no-linked-size")
def test_no_linked_size():
    with mirror_of(faults=["no-linked-size"]) as mirror:
        reply = ask(mirror.url, MODEL, method="HEAD")
        assert (reply.headers["X-Linked-Size"], reply.headers["Content-Length"]) == (None, "3000000")


@of_fault("empty-body")
def test_empty_body():
    with mirror_of(faults=["empty-body"]) as mirror:
        reply = ranged(mirror)
        assert (reply.status, reply.body, reply.headers["Content-Range"]) == (200, b"", None)
        assert reply.headers["Content-Length"] == "0"


@of_fault("envelope-error")
def test_envelope_error():
    with ModelScopeServer([REPO], faults=[fault("envelope-error", times=1)]).in_thread() as server:
        reply = ask(server.url, FILES)
        assert (reply.status, reply.json["Success"], reply.json["Message"]) == (200, False, "system busy")
        assert "Data" not in reply.json
        assert ask(server.url, FILES).json["Success"] is True


@of_fault("wrong-sha256")
def test_wrong_sha256_is_a_lie_about_right_bytes():
    with ModelScopeServer([REPO], faults=["wrong-sha256"]).in_thread() as server:
        listed = {each["Path"]: each["Sha256"] for each in ask(server.url, FILES).json["Data"]["Files"]}
        body = ask(server.url, "/models/google-bert/bert-base-uncased/resolve/master/model.safetensors").body
    assert listed["model.safetensors"] != DIGEST
    assert WEIGHTS.first_difference(body) is None


def test_no_fault_lacks_a_test():
    assert set(fault_names()) == TESTED
