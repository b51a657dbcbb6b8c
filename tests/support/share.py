"""A cache filled from a hub on loopback, its export, and the two servers that offer it as a mirror."""

import http.client
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from support.nginx import LIMIT_S, _nginx

from chunkdl.settings import Settings, mirror_at
from chunkdl.share.export import export, prepare, write_config
from chunkdl.share.folder import MirrorFolder
from chunkdl.testing import HubRepo, SeededContent

NAME, CANONICAL = "bert-base-uncased", "google-bert/bert-base-uncased"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "Config.json": b'{"twin": "by case"}',
    "empty.txt": b"",
    "odd names/50% #1 + 模型?.txt": b"odd",
    'odd names/"quoted" $uri {braces}; back\\slash.txt': b"stranger",
    "nested/dir/notes.txt": b"notes",
    "model.safetensors": SeededContent(11, 3 << 20),
}


def legacy_repo(files=FILES):
    return HubRepo(NAME, files, canonical_id=CANONICAL)


def settings_in(folder: Path, origin: str) -> Settings:
    return Settings(origin=mirror_at(origin, is_origin=True), cache_dir=folder / "hub", state_dir=folder / "state")


def laid_out(references, root: Path, settings: Settings, *, listen="127.0.0.1:8650") -> MirrorFolder:
    folder = MirrorFolder(root)
    prepare(folder, settings)
    for each in references:
        export(each, folder, settings)
    write_config(folder, listen)
    return folder


def ask(url, target, *, method="GET", **headers):
    """One request, its target byte for byte."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)
    try:
        connection.putrequest(method, target, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


@contextmanager
def plain_nginx(folder: MirrorFolder, port: int):
    """A stock nginx on the exported configuration; only what tests need is said on its command line."""
    user = "user root root; " if os.geteuid() == 0 else ""
    process = subprocess.Popen(
        [
            _nginx(),
            "-p",
            folder.root,
            "-c",
            "nginx.conf",
            "-e",
            folder.scratch / "start.log",
            "-g",
            f"{user}daemon off;",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await_answer(url, process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_S)


def _await_answer(url, process):
    """nginx listens some milliseconds after its start; until then connecting is refused."""
    for _ in range(int(LIMIT_S * 100)):
        try:
            return ask(url, "/")
        except ConnectionRefusedError:
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(process.stderr.read().decode()) from None
    raise AssertionError("nginx did not answer")
