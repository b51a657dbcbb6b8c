import asyncio
from dataclasses import dataclass, field

import pytest

from chunkdl.core.response import judge
from chunkdl.errors import AccessDenied, ArtifactNotFound, FileReplaced, HTTPStatus, MirrorMisbehaved, NotTheFile
from chunkdl.http.metadata import MetadataAnswer
from chunkdl.identify.checkpoints import Facts
from chunkdl.identify.url_facts import ask_facts
from chunkdl.model import ByteRange, Mirror

MIRROR = Mirror("https://host.example")
PARTIAL = {"content-range": "bytes 0-0/500", "etag": '"a"', "last-modified": "Mon, 01 Jan 2024 00:00:00 GMT"}


@dataclass
class Server:
    """Answers by method, and the methods that were asked."""

    get: tuple
    head: tuple = (404, {})
    asked: list = field(default_factory=list)

    async def ask_headers(self, url, *, method, follow, **limits):
        assert follow
        self.asked.append(method)
        status, headers = self.get if method == "GET" else self.head
        return MetadataAnswer(status, headers, b"", url)


def ask(server, name="x.pth"):
    url = f"https://host.example/{name}"
    return asyncio.run(ask_facts(server, MIRROR, url, name, answer_s=1, connect_s=1))


@pytest.mark.parametrize(
    ("status", "headers", "facts"),
    [
        (206, PARTIAL, Facts(500, '"a"')),
        (200, {"content-length": "500"}, Facts(500)),
        (200, {"content-length": "500", "etag": 'W/"a"', "last-modified": "then"}, Facts(500, "then")),
        (416, {"content-range": "bytes */0"}, Facts(0)),
    ],
)
def test_the_first_byte_says_how_much_follows_and_head_is_not_asked(status, headers, facts):
    server = Server((status, headers), (200, {"content-length": "7"}))
    assert ask(server) == facts
    assert server.asked == ["GET"]


def test_head_is_asked_where_the_first_byte_does_not_say():
    server = Server((206, {"content-range": "bytes 0-0/*"}), (200, {"content-length": "500"}))
    assert ask(server) == Facts(500)
    assert server.asked == ["GET", "HEAD"]


@pytest.mark.parametrize("head", [(405, {}), (200, {}), (500, {}), (200, {"content-encoding": "gzip"})])
def test_a_length_that_nobody_says_is_told(head):
    with pytest.raises(MirrorMisbehaved, match="does not say how long"):
        ask(Server((200, {"transfer-encoding": "chunked"}), head))


@pytest.mark.parametrize(
    ("status", "error", "exit_code"),
    [
        (404, ArtifactNotFound, 3),
        (410, ArtifactNotFound, 3),
        (401, AccessDenied, 3),
        (403, HTTPStatus, 4),
        (429, HTTPStatus, 4),
        (503, HTTPStatus, 4),
    ],
)
def test_a_bad_status_is_what_it_is(status, error, exit_code):
    with pytest.raises(error) as told:
        ask(Server((status, {})))
    assert told.value.exit_code == exit_code


def test_a_page_is_no_file_unless_a_page_was_asked_for():
    page = (200, {"content-type": "text/html; charset=utf-8", "content-length": "9"})
    with pytest.raises(NotTheFile):
        ask(Server(page))
    assert ask(Server(page), "index.html") == Facts(9)


def judged(headers, validator):
    return judge(206, headers, ByteRange(0, 1), size=500, mirror="m", validator=validator)


def test_an_answer_in_another_state_is_refused_for_good():
    assert judged(PARTIAL, '"a"').ranged
    assert judged(PARTIAL, "").ranged
    for headers in (PARTIAL | {"etag": '"b"'}, {"content-range": "bytes 0-0/500"}):
        with pytest.raises(FileReplaced) as told:
            judged(headers, '"a"')
        assert not told.value.retryable
