import asyncio
import socket
import threading

import pytest

from chunkdl.http.homes import Homes
from chunkdl.http.resolver import Addresses, JudgingResolver, PrivateAddress, Standing, system_lookup
from chunkdl.model import Mirror

V4, V6 = socket.AF_INET, socket.AF_INET6


class Names:
    """A name server whose clock and answers a test sets."""

    def __init__(self, **names):
        self.names = names
        self.asked = []
        self.now = 0.0

    def lookup(self, host, port, family):
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(V6 if ":" in address else V4, address) for address in self.names[host]]

    def addresses(self):
        return Addresses(self.lookup, lambda: self.now)


def resolve(names, host, *, private=False):
    async def scenario():
        addresses = names.addresses()
        try:
            answers = await JudgingResolver(addresses, private=private).resolve(host, 443)
        finally:
            addresses.close()
        return [(answer["host"], answer["port"], answer["hostname"]) for answer in answers]

    return asyncio.run(scenario())


def test_public_names_pass_in_order():
    names = Names(hub=["8.8.8.8", "2606:4700::1111", "198.18.0.3"])
    assert [host for host, _, _ in resolve(names, "hub")] == ["8.8.8.8", "2606:4700::1111", "198.18.0.3"]
    assert resolve(names, "hub")[0] == ("8.8.8.8", 443, "hub")


def test_private_answers_are_left_out():
    assert [host for host, _, _ in resolve(Names(hub=["10.0.0.1", "8.8.8.8"]), "hub")] == ["8.8.8.8"]


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "::1", "64:ff9b::7f00:1"])
def test_a_name_that_leads_only_inside_is_refused(address):
    names = Names(rebind=[address])
    with pytest.raises(PrivateAddress, match="rebind leads to the private address"):
        resolve(names, "rebind")
    assert resolve(names, "rebind", private=True)[0][0] == address


def test_unknown_names_are_os_errors():
    with pytest.raises(socket.gaierror):
        resolve(Names(), "nowhere")


def test_one_lookup_serves_ten_seconds():
    names = Names(hub=["8.8.8.8"])

    async def scenario():
        addresses = names.addresses()
        for names.now in (0.0, 9.9, 10.0, 19.9):
            await addresses.of("hub", 443)
        addresses.close()

    asyncio.run(scenario())
    assert names.asked == ["hub", "hub"]


def test_memory_is_bounded():
    names = Names(**{f"h{number}": ["8.8.8.8"] for number in range(300)})

    async def scenario():
        addresses = names.addresses()
        for number in range(300):
            await addresses.of(f"h{number}", 443)
        await addresses.of("h299", 443)
        await addresses.of("h0", 443)
        addresses.close()

    asyncio.run(scenario())
    assert names.asked.count("h299") == 1
    assert names.asked.count("h0") == 2


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        (["8.8.8.8"], Standing.PUBLIC),
        (["8.8.8.8", "10.0.0.1"], Standing.MIXED),
        (["10.0.0.1", "fd00::1"], Standing.PRIVATE),
    ],
)
def test_where_a_name_leads(found, standing):
    async def scenario():
        addresses = Names(lab=found).addresses()
        try:
            return await addresses.standing("lab", 80)
        finally:
            addresses.close()

    assert asyncio.run(scenario()) is standing


LAB = Mirror("http://lab:8080", "lab")


def homes_of(names, act):
    """What ``act(homes, addresses)`` gives, after the lab's name was judged."""

    async def scenario():
        addresses = names.addresses()
        try:
            homes = Homes(addresses, {})
            await homes.look_up(LAB, 5.0)
            return await act(homes, addresses)
        finally:
            addresses.close()

    return asyncio.run(scenario())


async def answers(homes, _):
    return (
        homes.may_connect_inside(LAB, "lab:8080"),
        homes.may_connect_inside(LAB, "cdn:80"),
        homes.may_lead_inside(LAB),
    )


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (["10.0.0.1"], (True, True, True)),
        (["10.0.0.1", "2606:4700::1111"], (True, False, False)),
        (["8.8.8.8"], (False, False, False)),
    ],
    ids=["private", "mixed", "public"],
)
def test_only_what_stands_wholly_inside_may_lead_inside(found, may):
    assert homes_of(Names(lab=found), answers) == may


def test_a_name_that_leads_inside_first_and_out_later_is_not_private():
    names = Names(lab=["10.0.0.1"])

    async def rebound(homes, addresses):
        assert homes.may_lead_inside(LAB)
        names.names["lab"], names.now = ["8.8.8.8"], 60.0
        await JudgingResolver(addresses, private=True).resolve("lab", 8080)
        return homes.may_lead_inside(LAB)

    assert homes_of(names, rebound) is False


def test_the_system_is_asked():
    """By a literal: a bare chroot has no /etc/hosts that would know localhost."""
    assert {address for _, address in system_lookup("127.0.0.1", 80, V4)} == {"127.0.0.1"}


def test_names_are_looked_up_as_the_connection_will_use_them():
    asked = []

    def getaddrinfo(*arguments):
        asked.append(arguments)
        stream = (socket.SOCK_STREAM, 6, "")
        return [(V6, *stream, ("2606:4700::1111", 443, 0, 0)), (V4, *stream, ("8.8.8.8", 443))]

    assert system_lookup("hub.example", 443, V4, getaddrinfo) == [(V6, "2606:4700::1111"), (V4, "8.8.8.8")]
    assert asked == [("hub.example", 443, V4, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_loopback_is_found_on_a_machine_without_any_network(name):
    flags = []

    def getaddrinfo(*arguments):
        flags.append(arguments[-1])
        return [(V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

    assert system_lookup(name, 80, V4, getaddrinfo) == [(V4, "127.0.0.1")]
    assert flags == [0], "AI_ADDRCONFIG would count loopback for no network"


def test_a_name_server_that_never_answers_holds_nobody_longer_than_he_waits():
    gone = threading.Event()

    def lookup(host, port, family):
        gone.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    async def scenario():
        addresses = Addresses(lookup)
        try:
            async with asyncio.timeout(0.1):
                await addresses.of("hub", 443)
        finally:
            addresses.close()
            gone.set()

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())
