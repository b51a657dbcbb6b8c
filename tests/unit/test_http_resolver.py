import asyncio
import socket

import pytest

from chunkdl.http.resolver import Addresses, JudgingResolver, PrivateAddress, system_lookup

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


@pytest.mark.parametrize(("found", "private"), [(["8.8.8.8"], False), (["8.8.8.8", "10.0.0.1"], True)])
def test_any_private(found, private):
    async def scenario():
        addresses = Names(lab=found).addresses()
        try:
            return await addresses.any_private("lab", 80)
        finally:
            addresses.close()

    assert asyncio.run(scenario()) is private


def test_the_system_is_asked():
    """By a literal: a bare chroot has no /etc/hosts that would know localhost."""
    assert {address for _, address in system_lookup("127.0.0.1", 80, V4)} == {"127.0.0.1"}
