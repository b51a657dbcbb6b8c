"""Which requests of huggingface_hub's client the engine answers, with clients that only note what they are given."""

import asyncio
from types import SimpleNamespace

import pytest

from chunkdl.endpoint.hub import Reply
from chunkdl.integrations.hub_transport import EngineTransport
from chunkdl.share.answers import Answer

HUB = "https://hub.example"


class Inner:
    """The client that would have been there; its hooks it calls for what it sends, as httpx does."""

    def __init__(self):
        self.sent, self.heard = [], []
        self.event_hooks = {"request": [self.heard.append], "response": [self.heard.append]}

    def send(self, request, *, stream, follow_redirects):
        assert (stream, follow_redirects) == (True, False)
        self.sent.append(request.url)
        return "the hub's own"


class Engine:
    def __init__(self):
        self.asked = []

    async def reply(self, asked):
        self.asked.append(asked)
        return Reply(Answer(200, body=b"[]"))


class Stage:
    def __init__(self):
        self.inner, self.engine = Inner(), Engine()
        library = SimpleNamespace(Response=lambda status, **named: SimpleNamespace(status=status, **named))
        background = SimpleNamespace(submit=lambda work: SimpleNamespace(result=lambda: asyncio.run(work)))
        self.transport = EngineTransport(library, self.inner, (HUB,), self.engine, background)

    def ask(self, target, method="GET", body=b"", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = SimpleNamespace(url=HUB + target, method=method, headers=named, read=lambda: body)
        return request, self.transport.handle_request(request)


@pytest.fixture
def stage():
    return Stage()


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"paths=a.bin&paths=b&expand=True", "application/x-www-form-urlencoded"), (b'{"paths": ["a.bin", "b"]}', None)],
)
def test_a_question_about_several_files_is_the_engines(stage, body, kind):
    stage.ask("/api/models/org/name/paths-info/main", "POST", body, Content_Type=kind or "application/json; charset=x")
    (asked,) = stage.engine.asked
    assert (asked.paths, asked.parts[-1]) == (("a.bin", "b"), "main")
    assert stage.inner.sent == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/whoami-v2"),
        ("GET", "/api/models?search=bert"),
        ("GET", "/api/models/org/name/discussions"),
        ("POST", "/api/models/org/name/commit/main"),
        ("DELETE", "/api/repos/delete"),
    ],
)
def test_what_no_download_asks_goes_to_the_hub(stage, method, target):
    _, answered = stage.ask(target, method)
    assert answered == "the hub's own"
    assert stage.inner.sent == [HUB + target]
    assert stage.engine.asked == stage.inner.heard == []


def test_what_the_client_asks_in_passing_keeps_no_download_waiting(stage):
    stage.ask("/api/agent-harnesses")
    assert stage.inner.sent == []


def test_the_hooks_hear_once_of_what_the_engine_answers(stage):
    request, response = stage.ask("/org/name/resolve/main/config.json", "HEAD")
    assert stage.inner.heard == [request, response]
    assert stage.inner.sent == []
