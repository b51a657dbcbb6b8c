import asyncio

import pytest

from chunkdl.http.client import HttpClient
from chunkdl.http.overlong import cut
from chunkdl.model import Mirror
from tests.integration.raw_server import RawServer

ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n12345"


@pytest.mark.parametrize("more", [b"6", b"rubbish" * 100, ANSWER])
def test_what_follows_an_answer_in_its_packet_is_cut(more):
    assert cut(ANSWER + more) == ANSWER


@pytest.mark.parametrize(
    "data",
    [
        ANSWER,
        ANSWER[:-2],
        b"12345" * 100,
        b"HTTP/1.1 200 OK\r\n\r\nas long as it goes",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nX-Content-Length: 1\r\n\r\n12345",
    ],
)
def test_whatever_else_is_left_alone(data):
    assert cut(data) == data


def test_a_first_header_counts_too():
    assert cut(b"HTTP/1.1 200 OK\r\ncontent-length:\t2 \r\n\r\n12345").endswith(b"\r\n\r\n12")


@pytest.mark.parametrize("times", [1, 2])
def test_small_answers_with_rubbish_behind_them_are_read_all_the_same(times):
    async def work():
        async def rubbish(_, writer):
            writer.write(ANSWER + b"and so on" * 1000)
            await writer.drain()

        async with RawServer(rubbish) as server, HttpClient(environ={}) as client:
            mirror = Mirror(name="m1", url=server.url)
            for _ in range(times):
                answer = await client.get_metadata(server.url + "/x", mirror=mirror, timeout_s=5.0)
                assert (answer.status, answer.body) == (200, b"12345")

    asyncio.run(work())
