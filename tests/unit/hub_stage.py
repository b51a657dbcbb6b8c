"""Hubs that live in a dictionary: the client that identification asks, without sockets."""

import asyncio
import json
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from multidict import CIMultiDict

from chunkdl.errors import ConnectFailed
from chunkdl.identify.known import Known
from chunkdl.model import Mirror
from chunkdl.settings import Settings
from chunkdl.testing import HubRepo

NOW = 1_700_000_000.0
ORIGIN = "https://origin.example"
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "run.py": b"print()"}
REPO = HubRepo("org/name", FILES)


@dataclass
class Answer:
    status: int = 200
    headers: CIMultiDict = field(default_factory=CIMultiDict)
    body: bytes = b""
    url: str = ""


def refused(status, code="", message=""):
    pairs = {"X-Error-Code": code, "X-Error-Message": message}
    return Answer(status, CIMultiDict({name: text for name, text in pairs.items() if text}))


@dataclass
class Hubs:
    """``hubs``: base URL → a HubRepo, an Answer for everything, an exception, or None for silence."""

    hubs: dict
    asked: list = field(default_factory=list)
    limits: list = field(default_factory=list)
    silent: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    pages: int = 1000
    content: Answer = field(default_factory=lambda: Answer(body=b"{}"))

    async def get_metadata(self, url, *, mirror, timeout_s, connect_s=None, max_bytes=0):
        assert timeout_s > 0
        assert max_bytes > 0
        self.asked.append((mirror.name, url.removeprefix(mirror.url)))
        if "/tree/" in url:
            self.limits.append(max_bytes)
        hub = self.hubs.get(mirror.url, ConnectFailed(f"{mirror.name}: refused", mirror=mirror.name))
        await asyncio.sleep(0)
        if isinstance(hub, Exception):
            raise hub
        if hub is None:
            self.silent.release()
            await asyncio.Event().wait()
        answer = hub if isinstance(hub, Answer) else self._answer(hub, url.removeprefix(mirror.url))
        return Answer(answer.status, answer.headers, answer.body, answer.url or url)

    def _answer(self, repo, target):
        parts = [unquote(part) for part in urlsplit(target).path.strip("/").split("/")]
        if "resolve" in parts:
            return self.content
        kind, revision = parts[-2:]
        at = repo.at(revision)
        if at is None:
            return refused(404, "RevisionNotFound")
        if kind == "revision":
            return Answer(body=json.dumps(at.info()).encode())
        return self._page(at, urlsplit(target))

    def _page(self, repo, target):
        query = dict(pair.split("=") for pair in target.query.split("&"))
        first = int(query.get("cursor", "0"))
        entries = repo.tree()
        headers = CIMultiDict()
        if first + self.pages < len(entries):
            headers["Link"] = f'<https://elsewhere.example{target.path}?cursor={first + self.pages}>; rel="next"'
        return Answer(body=json.dumps(entries[first : first + self.pages]).encode(), headers=headers)

    def names(self):
        return {name for name, _ in self.asked}


def settings(tmp_path, *mirrors, token=None, **changes):
    origin = Mirror(ORIGIN, "origin", is_origin=True, token=token)
    return Settings(origin=origin, mirrors=mirrors, state_dir=tmp_path / "state", cache_dir=tmp_path / "hub", **changes)


def mirror(name, **changes):
    return Mirror(f"https://{name}.example", name, **changes)


def known(of):
    return Known.of(of)
