import pytest

from chunkdl.addresses import is_loopback_host, is_private_host, is_public, parse_literal

PUBLIC = [
    "8.8.8.8",
    "198.18.0.7",  # fake IP of Clash
    "198.19.255.255",
    "100.64.0.1",  # carrier NAT
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "::ffff:198.18.0.1",
]
PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert is_public(parse_literal(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address):
    assert not is_public(parse_literal(address))


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("huggingface.co", None),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("x.localhost", True),
        ("notlocalhost", None),
        ("[::1]", True),
        ("[2606:4700::1111]", False),
        ("10.1.2.3", True),
        ("8.8.8.8", False),
    ],
)
def test_hosts_by_spelling(host, private):
    assert is_private_host(host) is private


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.53", True), ("[::1]", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("hub.example", False)],
)
def test_loopback(host, loopback):
    assert is_loopback_host(host) is loopback
