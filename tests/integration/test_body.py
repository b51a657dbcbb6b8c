import asyncio

import pytest
from raw_server import WIRES, RawServer, a_client, fixed, head, partial, ranged, read_all, run, source_of, use_wire

from chunkdl.errors import BodyCutShort
from chunkdl.http.body import StreamBody
from chunkdl.http.lowat import LowWater
from chunkdl.http.takeover import SocketBody
from chunkdl.model import ByteRange

CONTENT = bytes(i * 7 % 251 for i in range(3_000_000))
SIZE = len(CONTENT)


@pytest.fixture(autouse=True, params=WIRES, ids=str)
def _wire(request):
    use_wire(request.param)
    yield
    use_wire(WIRES[0])


async def opened(client, server, start=0, stop=SIZE, **more):
    asked = ByteRange(start, stop)
    return await client.open_body(source_of(server), asked, size=SIZE, first_byte_s=5, **more)


def test_exact_range_comes_through_the_socket_path():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            body = await opened(client, server, 100, 2_500_000)
            assert isinstance(body, SocketBody)
            assert (body.ranged, body.start, body.length) == (True, 100, 2_499_900)
            assert body.host == f"127.0.0.1:{server.port}"
            assert body.latency_s > 0
            data = await read_all(body, 1 << 20)
            assert body.received == len(data)
            await body.close(reusable=True)
            return data

    assert run(scenario()) == CONTENT[100:2_500_000]


@pytest.mark.parametrize("view_bytes", [1, 4096])
def test_small_ranges_with_odd_views(view_bytes):
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            body = await opened(client, server, 5, 5005)
            data = await read_all(body, view_bytes)
            await body.close(reusable=True)
            return data

    assert run(scenario()) == CONTENT[5:5005]


def test_connections_are_reused():
    async def worker(client, server, ranges):
        for start in ranges:
            body = await opened(client, server, start, start + 200_000)
            assert await read_all(body) == CONTENT[start : start + 200_000]
            await body.close(reusable=True)

    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            starts = iter(range(0, 2_800_000, 100_000))
            await asyncio.gather(*(worker(client, server, starts) for _ in range(4)))
            return server.connections, len(server.requests)

    assert run(scenario()) == (4, 28)


def test_a_connection_closed_unreusable_is_not_used_again():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            for _ in range(2):
                body = await opened(client, server)
                await body.read_into(memoryview(bytearray(1000)))
                await body.close(reusable=False)
            return server.connections

    assert run(scenario()) == 2


def test_an_unfinished_body_is_never_reused():
    async def scenario():
        async with RawServer(ranged(CONTENT)) as server, a_client() as client:
            for _ in range(2):
                body = await opened(client, server)
                await body.read_into(memoryview(bytearray(1000)))
                await body.close(reusable=True)
            return server.connections

    assert run(scenario()) == 2


@pytest.mark.parametrize("sent", [0, 1, 70_000, 1_000_000])
def test_close_early_keeps_what_came(sent):
    async def scenario():
        answer = fixed(partial(0, SIZE, SIZE), CONTENT[:sent], close=True)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory, got = memoryview(bytearray(SIZE)), 0
            while got < sent:
                got += await body.read_into(memory[got:])
            with pytest.raises(BodyCutShort, match=f"m1 ended after {sent} of {SIZE}") as caught:
                await body.read_into(memory[got:])
            assert caught.value.mirror == "m1"
            assert body.received == got == sent
            assert bytes(memory[:got]) == CONTENT[:got]
            await body.close(reusable=False)

    run(scenario())


def test_reset_in_the_body_is_cut_short():
    async def answer(_, writer):
        writer.write(partial(0, SIZE, SIZE) + CONTENT[:50_000])
        await writer.drain()
        await proceed.wait()
        writer.transport.abort()
        return False

    proceed = asyncio.Event()

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            got = 0
            while got < 50_000:
                got += await body.read_into(memoryview(bytearray(50_000 - got)))
            proceed.set()
            with pytest.raises(BodyCutShort):
                await body.read_into(memoryview(bytearray(10)))
            body.abort()
            body.abort()

    run(scenario())


def held_back(first, rest):
    """Sends ``first`` bytes, then the rest once ``proceed`` is set."""
    proceed = asyncio.Event()

    async def answer(_, writer):
        writer.write(partial(0, SIZE, SIZE) + CONTENT[:first])
        await writer.drain()
        await proceed.wait()
        writer.write(CONTENT[first:rest])
        await writer.drain()

    return answer, proceed


async def until(condition):
    while not condition():  # noqa: ASYNC110  # a count that moves has no event
        await asyncio.sleep(0)


def test_flush_returns_what_is_there():
    async def scenario():
        answer, proceed = held_back(1234, SIZE)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            reading = asyncio.ensure_future(body.read_into(memory))
            await until(lambda: body.received == 1234)
            assert not reading.done()
            body.flush()
            assert await reading == 1234
            proceed.set()
            got = 1234
            while taken := await body.read_into(memory[got:]):
                got += taken
            assert bytes(memory) == CONTENT
            await body.close(reusable=True)

    run(scenario())


def test_flush_with_nothing_there_returns_with_the_first_byte():
    async def scenario():
        answer, proceed = held_back(0, 10)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            reading = asyncio.ensure_future(body.read_into(memoryview(bytearray(SIZE))))
            await asyncio.sleep(0)
            body.flush()
            await asyncio.sleep(0)
            assert not reading.done()
            proceed.set()
            assert await reading == 10
            body.abort()

    run(scenario())


def test_a_cancelled_read_can_be_followed_by_another():
    async def scenario():
        answer, proceed = held_back(1000, SIZE)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            reading = asyncio.ensure_future(body.read_into(memory))
            await until(lambda: body.received == 1000)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert body.received == 1000
            proceed.set()
            got = 1000
            while taken := await body.read_into(memory[got:]):
                got += taken
            assert bytes(memory) == CONTENT
            await body.close(reusable=True)

    run(scenario())


def test_abort_ends_a_read_that_waits():
    async def scenario():
        answer, _ = held_back(1000, SIZE)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            reading = asyncio.ensure_future(body.read_into(memory))
            await until(lambda: body.received == 1000)
            body.abort()
            assert await reading == 1000
            with pytest.raises(BodyCutShort, match="aborted by us"):
                await body.read_into(memory)

    run(scenario())


def test_abort_ends_a_portable_read_that_waits():
    async def answer(_, writer):
        writer.write(head(206, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", "Transfer-Encoding: chunked"))
        await writer.drain()
        await asyncio.Event().wait()

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            reading = asyncio.ensure_future(body.read_into(memoryview(bytearray(10))))
            await asyncio.sleep(0.01)
            body.abort()
            with pytest.raises(BodyCutShort):
                await reading

    run(scenario())


def test_more_bytes_than_framed_are_never_the_next_answer():
    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, SIZE) + CONTENT[start:stop] + b"X" * 5000)
        await writer.drain()

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            for _ in range(3):
                body = await opened(client, server, 0, 300_000)
                assert await read_all(body) == CONTENT[:300_000]
                await body.close(reusable=True)

    run(scenario())


def test_bytes_that_follow_an_answer_late_do_not_spoil_the_next():
    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, SIZE) + CONTENT[start:stop])
        await writer.drain()
        if not body_read.is_set():
            await body_read.wait()
            writer.write(b"X" * 5000)
            await writer.drain()

    body_read = asyncio.Event()

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server, 0, 300_000)
            assert await read_all(body) == CONTENT[:300_000]
            await body.close(reusable=True)
            body_read.set()
            await asyncio.sleep(0.02)
            body = await opened(client, server, 0, 1000)
            assert await read_all(body) == CONTENT[:1000]
            body.abort()

    run(scenario())


def test_a_peer_that_closes_an_idle_connection_is_connected_anew():
    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, SIZE) + CONTENT[start:stop])
        await writer.drain()
        return False

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            for _ in range(3):
                body = await opened(client, server, 0, 300_000)
                assert await read_all(body) == CONTENT[:300_000]
                await body.close(reusable=True)
            return server.connections

    assert run(scenario()) == 3


def test_a_content_length_longer_than_the_range_is_cut_and_closed():
    async def scenario():
        answer = fixed(
            head(206, f"Content-Range: bytes 0-999/{SIZE}", "Content-Length: 9001000"), CONTENT[:1000], b"X" * 9_000_000
        )
        async with RawServer(answer) as server, a_client() as client:
            for _ in range(2):
                body = await opened(client, server, 0, 1000)
                assert await read_all(body) == CONTENT[:1000]
                assert body.excess
                await body.close(reusable=True)
            return server.connections

    assert run(scenario()) == 2


def test_no_content_length_is_read_to_the_end_of_the_connection():
    async def scenario():
        answer = fixed(head(206, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}"), CONTENT, close=True)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            assert isinstance(body, StreamBody)
            data = await read_all(body)
            await body.close(reusable=True)
            return data

    assert run(scenario()) == CONTENT


@pytest.mark.parametrize("framing", ["Connection: close", "Transfer-Encoding: chunked"])
def test_portable_bodies_that_end_early_are_cut_short(framing):
    sent = CONTENT[:1000]
    if "chunked" in framing:
        sent = b"3e8\r\n" + sent + b"\r\n0\r\n\r\n"

    async def scenario():
        answer = fixed(head(206, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", framing), sent, close=True)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            assert await body.read_into(memory) == 1000
            with pytest.raises(BodyCutShort, match="1000 of"):
                await body.read_into(memory)
            body.abort()

    run(scenario())


def test_chunked():
    async def answer(request, writer):
        start, stop = request.range
        writer.write(head(206, f"Content-Range: bytes {start}-{stop - 1}/{SIZE}", "Transfer-Encoding: chunked"))
        for at in range(start, stop, 9999):
            piece = CONTENT[at : min(stop, at + 9999)]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            assert not isinstance(body, SocketBody)
            body.flush()
            data = await read_all(body)
            await body.close(reusable=True)
            return data

    assert run(scenario()) == CONTENT


def test_chunked_that_breaks_keeps_what_came():
    async def scenario():
        answer = fixed(
            head(206, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", "Transfer-Encoding: chunked"),
            b"1000\r\n" + CONTENT[:100],
            close=True,
        )
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            assert await body.read_into(memory) == 100
            with pytest.raises(BodyCutShort):
                await body.read_into(memory)
            assert body.received == 100
            body.abort()

    run(scenario())


def test_connection_close_is_honoured():
    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, SIZE, "Connection: close") + CONTENT[start:stop])
        await writer.drain()
        return False

    async def scenario():
        async with RawServer(answer) as server, a_client() as client:
            for _ in range(2):
                body = await opened(client, server)
                assert await read_all(body) == CONTENT
                await body.close(reusable=True)
            return server.connections

    assert run(scenario()) == 2


def test_a_200_from_offset_0_is_not_ranged():
    async def scenario():
        async with RawServer(fixed(head(200, f"Content-Length: {SIZE}"), CONTENT)) as server, a_client() as client:
            body = await opened(client, server, 100, 200)
            assert (body.ranged, body.start, body.length) == (False, 0, SIZE)
            body.abort()
            body = await client.open_body(source_of(server), None, size=SIZE, first_byte_s=5)
            assert "range" not in server.requests[-1].headers
            assert await read_all(body) == CONTENT
            await body.close(reusable=True)

    run(scenario())


def in_pieces(piece_bytes):
    """Serves CONTENT by range, a small piece at a time as a long link would."""

    async def answer(request, writer):
        start, stop = request.range
        writer.write(partial(start, stop, SIZE))
        for at in range(start, stop, piece_bytes):
            writer.write(CONTENT[at : min(stop, at + piece_bytes)])
            await writer.drain()
            await asyncio.sleep(0)

    return answer


@pytest.mark.parametrize("view_bytes", [100_000, 1 << 20])
def test_no_tail_is_hidden_behind_a_low_water_mark(monkeypatch, view_bytes):
    monkeypatch.setattr("chunkdl.http.takeover._RATE_WINDOW_S", 1e-6)  # so that every view has a rate, and a mark
    marks, really_set = set(), LowWater.set

    def watched(water, mark):
        marks.add(mark)
        really_set(water, mark)

    monkeypatch.setattr(LowWater, "set", watched)

    async def scenario():
        async with RawServer(in_pieces(7000)) as server, a_client() as client:
            for _ in range(2):
                body = await opened(client, server)
                memory, got = memoryview(bytearray(SIZE)), 0
                while taken := await body.read_into(memory[got : got + view_bytes]):
                    got += taken
                assert bytes(memory) == CONTENT
                await body.close(reusable=True)
            return server.connections

    assert run(scenario()) == 1
    assert max(marks) > 1, "the test is about marks, so one must have been set"


def test_a_mark_gives_way_by_itself_when_nothing_comes(monkeypatch):
    monkeypatch.setattr("chunkdl.http.takeover._HIDDEN_LIMIT_S", 0.02)
    monkeypatch.setattr("chunkdl.http.takeover.SocketBody._rate", lambda _: 1e8)

    async def scenario():
        answer, proceed = held_back(1_000_000, 1_001_000)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            reading = asyncio.ensure_future(body.read_into(memoryview(bytearray(SIZE))))
            await until(lambda: body.received == 1_000_000)
            proceed.set()
            await until(lambda: body.received == 1_001_000)
            body.flush()
            assert await reading == 1_001_000
            body.abort()

    run(scenario(), limit_s=5)


def test_bytes_below_the_mark_are_handed_over_when_asked_for(monkeypatch):
    async def scenario():
        answer, proceed = held_back(1_000_000, 1_001_000)
        async with RawServer(answer) as server, a_client() as client:
            body = await opened(client, server)
            memory = memoryview(bytearray(SIZE))
            got = 0
            while got < 1_000_000:
                got += await body.read_into(memory[got:1_000_000])
            monkeypatch.setattr("chunkdl.http.takeover.SocketBody._rate", lambda _: 1e8)
            reading = asyncio.ensure_future(body.read_into(memory[got:]))
            await asyncio.sleep(0)
            proceed.set()
            await asyncio.sleep(0.05)
            assert body.received == 1_000_000, "the mark should hide so few bytes"
            body.flush()
            await until(lambda: body.received == 1_001_000)
            assert await reading == 1000
            body.abort()

    run(scenario())
