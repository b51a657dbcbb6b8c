"""One small repository, mirrors of it, and ways to ask them that neither follow nor repair anything."""

import http.client
import json
import socket
from contextlib import contextmanager
from urllib.parse import urlsplit

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

WEIGHTS = SeededContent(seed=7, size=3_000_000)
REPO = HubRepo(
    "bert-base-uncased",
    {
        "config.json": b'{"model_type": "bert"}',
        "empty.txt": b"",
        "model.safetensors": WEIGHTS,
        "sub/odd #1%+名.txt": "odd",
    },
    canonical_id="google-bert/bert-base-uncased",
    tags=("v1",),
)
BASE = "/google-bert/bert-base-uncased/resolve"
MODEL = f"{BASE}/{REPO.commit}/model.safetensors"
CONFIG = f"{BASE}/{REPO.commit}/config.json"
TREE = f"/api/models/google-bert/bert-base-uncased/tree/{REPO.commit}?recursive=true"
DIGEST = REPO.entries["model.safetensors"].digest
LIMIT_S = 20


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def ask(url, target, *, method="GET", body=None, timeout=LIMIT_S, **headers):
    """One request with a connection of its own and no redirects; underscores in header names are hyphens."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    connection._http_vsn_str = "HTTP/1.1"
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Reply(response, response.read())
    finally:
        connection.close()


def ask_absolute(url, **more):
    parts = urlsplit(url)
    return ask(f"{parts.scheme}://{parts.netloc}", url.removeprefix(f"{parts.scheme}://{parts.netloc}"), **more)


@contextmanager
def mirror_of(*repos, **options):
    with MirrorServer(repos or [REPO], **options).in_thread() as mirror:
        yield mirror


@contextmanager
def raw_reply(mirror, target, **headers):
    """What stands on the wire after one request, as far as it comes."""
    parts = urlsplit(mirror.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=LIMIT_S) as sock:
        lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        yield sock


def received(sock):
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)
