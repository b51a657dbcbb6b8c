import asyncio
import socket

import pytest

from chunkdl.http.lowat import LowWater, mark_bytes, supported, tail_bytes, unread_bytes

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("rate", "left", "mark"),
    [
        (0.0, MIB, 1),
        (9e5, 8 * MIB, 1),
        (1.1e6, 8 * MIB, 256 * KIB),
        (1e8, 8 * MIB, 256 * KIB),
        (1e8, 513 * KIB, 256 * KIB),
        (1e8, 512 * KIB, 64 * KIB),
        (1e8, 128 * KIB, 16 * KIB),
        (1e8, 32 * KIB, 1),
        (1e8, 1, 1),
    ],
)
def test_marks(rate, left, mark):
    assert mark_bytes(rate, left) == mark


def test_a_mark_never_hides_a_quarter_second():
    for rate in range(1_000_000, 4_000_000, 50_000):
        assert mark_bytes(rate, 100 * MIB) <= rate * 0.25


def test_under_tls_the_tail_holds_what_was_decrypted_already():
    assert mark_bytes(1e8, 768 * KIB, encrypted=True) == 64 * KIB
    assert tail_bytes(64 * KIB, encrypted=True) == 640 * KIB


class Transport:
    def __init__(self, handle):
        self.handle = handle

    def get_extra_info(self, name):
        return self.handle if name == "socket" else None


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    yield a, b
    a.close()
    b.close()


def test_unread_bytes(pair):
    a, b = pair
    assert unread_bytes(Transport(b)) == 0
    a.send(b"x" * 777)
    assert unread_bytes(Transport(b)) == 777
    b.close()
    assert unread_bytes(Transport(b)) == 0
    assert unread_bytes(Transport(None)) == 0


@pytest.fixture
def tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        yield client, server
        client.close()
        server.close()


@pytest.mark.parametrize("switch", ["", "1"])
def test_the_mark_reaches_the_socket_unless_switched_off(tcp, monkeypatch, switch):
    monkeypatch.setenv("CHUNKDL_NO_LOWAT", switch)
    client, _ = tcp
    water = LowWater(Transport(client))
    water.set(64 * KIB)
    on = supported()
    assert on is not bool(switch)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == (64 * KIB if on else 1)
    assert water.mark == (64 * KIB if on else 1)
    water.set(1)
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


def test_a_socket_that_refuses_is_left_alone(tcp):
    client, _ = tcp
    water = LowWater(Transport(client))
    client.close()
    water.set(64 * KIB)
    water.set(16 * KIB)
    assert water.mark == 1


def test_a_mark_delays_the_wake_up(tcp):
    client, server = tcp
    client.setblocking(False)

    async def scenario():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        LowWater(Transport(client)).set(16 * KIB)
        loop.add_reader(client, woken.set)
        server.send(b"x" * 1000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(woken.wait(), 0.05)
        server.send(b"x" * 16 * KIB)
        await asyncio.wait_for(woken.wait(), 5)
        loop.remove_reader(client)

    asyncio.run(scenario())
