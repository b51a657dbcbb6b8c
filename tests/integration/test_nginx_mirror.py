"""The nginx fixtures speak the hub's protocol; what nginx itself says about ranges is recorded here."""

import http.client
import json

import pytest
from support.nginx import NginxMirror, nginx_mirrors

from chunkdl.testing import HubRepo, SeededContent

WEIGHTS = SeededContent(seed=3, size=1_000_000)
OLD = HubRepo("org/name", {"x.txt": "old"}, branches=("old",))
REPO = HubRepo("name", {"x #1.txt": "new", "model.bin": WEIGHTS}, canonical_id="org/name", older=(OLD,))


def ask(mirror, target, *, method="GET", timeout=20, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=timeout)
    try:
        connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_metadata_redirects_and_content(tmp_path):
    with NginxMirror([REPO], tmp_path) as mirror:
        status, headers, _ = ask(mirror, "/api/models/name/revision/main?x=1")
        assert (status, headers["Location"]) == (307, "/api/models/org/name/revision/main?x=1")
        status, headers, body = ask(mirror, f"/api/models/org/name/tree/{REPO.commit}?recursive=true&expand=false")
        assert (status, headers["Content-Type"], json.loads(body)) == (200, "application/json", REPO.tree())
        assert json.loads(ask(mirror, "/api/models/org/name")[2])["sha"] == REPO.commit
        status, headers, _ = ask(mirror, "/name/resolve/main/x%20%231.txt")
        assert (status, headers["Location"]) == (307, "/org/name/resolve/main/x%20%231.txt")
        status, headers, body = ask(mirror, headers["Location"])
        assert (status, headers["X-Repo-Commit"], body) == (200, REPO.commit, b"new")
        assert headers["X-Linked-Etag"] == f'"{REPO.entries["x #1.txt"].digest}"'
        assert ask(mirror, "/org/name/resolve/old/x.txt")[2] == b"old"
        status, headers, _ = ask(mirror, "/api/models/no/where")
        assert (status, headers["X-Error-Code"]) == (404, "RepoNotFound")


def test_ranges_and_conditions_as_nginx_has_them(tmp_path):
    with NginxMirror([REPO], tmp_path) as mirror:
        target = "/org/name/resolve/main/model.bin"
        status, headers, body = ask(mirror, target, Range="bytes=10-500009")
        assert (status, headers["Content-Range"]) == (206, "bytes 10-500009/1000000")
        assert WEIGHTS.first_difference(body, 10) is None
        assert ask(mirror, target, Range="bytes=0-9", If_Range='"other"')[0] == 200
        status, headers, _ = ask(mirror, target, Range="bytes=1000000-")
        assert (status, headers["Content-Range"]) == (416, "bytes */1000000")
        assert ask(mirror, target, method="HEAD")[1]["Content-Length"] == "1000000"
    # The log is complete once nginx has ended.
    assert mirror.bytes_served() == 500_000 + 1_000_000
    assert [each.range for each in mirror.requests() if each.status == 206] == ["bytes=10-500009"]


def test_variants(tmp_path):
    variants = [{"ranges": False}, {"gzip": True}, {"etag": False}, {"options": ("return 503;",)}]
    with nginx_mirrors([REPO], tmp_path, variants) as mirrors:
        answers = [
            ask(mirror, "/org/name/resolve/main/model.bin", Range="bytes=0-9", Accept_Encoding="gzip")
            for mirror in mirrors
        ]
    whole, zipped, unnamed, refused = answers
    assert (whole[0], len(whole[2])) == (200, WEIGHTS.size)
    assert (zipped[0], zipped[1]["Content-Encoding"]) == (200, "gzip")
    assert (unnamed[0], unnamed[1]["ETag"]) == (206, None)
    assert refused[0] == 503
    assert len({mirror.port for mirror in mirrors}) == 4


def test_freeze_and_thaw(tmp_path):
    with NginxMirror([REPO], tmp_path) as mirror:
        mirror.freeze()
        with pytest.raises(TimeoutError):
            ask(mirror, "/api/models/org/name", timeout=0.2)
        mirror.thaw()
        assert ask(mirror, "/api/models/org/name")[0] == 200


def test_a_missing_nginx_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="nginx is not installed; scripts/install brings it"):
        NginxMirror([REPO], tmp_path).__enter__()
