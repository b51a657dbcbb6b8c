import pytest

from chunkdl.errors import UsageError
from chunkdl.http.proxies import bypassed, checked_proxy, proxy_for, redacted_proxy
from chunkdl.http.redirects import parse_url
from chunkdl.http.sessions import Route

HUB = "https://hub.example/x"


def chosen(environ, url=HUB, policy="env"):
    return proxy_for(parse_url(url, mirror="m1"), policy, environ)


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, HUB, None),
        ({"HTTPS_PROXY": "http://p:1"}, HUB, "http://p:1"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, HUB, "http://low:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://hub.example/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://hub.example/", "http://p:1"),
        ({"ALL_PROXY": "socks5h://p:1"}, HUB, "socks5h://p:1"),
        ({"ALL_PROXY": "socks5h://p:1", "https_proxy": "http://q:2"}, HUB, "http://q:2"),
        ({"HTTPS_PROXY": "p:1"}, HUB, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "hub.example"}, HUB, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, HUB, None),
        ({"HTTPS_PROXY": ""}, HUB, None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.1/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]/", None),
    ],
)
def test_environment(environ, url, proxy):
    assert chosen(environ, url) == proxy


def test_a_mirrors_own_policy_goes_first():
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
    assert chosen(environ, policy="none") is None
    assert chosen(environ, policy="http://own:3") == "http://own:3"
    assert chosen(environ, "https://127.0.0.1/", policy="http://own:3") is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "skipped"),
    [
        ("example", "hub.example", 443, True),
        (".example", "hub.example", 443, True),
        ("*.example", "hub.example", 443, True),
        ("b.example", "hub.example", 443, False),
        ("HUB.example", "hub.example", 443, True),
        ("a, hub.example ,b", "hub.example", 443, True),
        ("hub.example:443", "hub.example", 443, True),
        ("hub.example:8443", "hub.example", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "hub.example", 80, False),
        ("fd00::/8", "[fd00::1]", 80, True),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("1.2.3", "10.1.2.3", 80, False),
        ("10.1.2.3:81", "10.1.2.3", 80, False),
        ("[fd00::1]:80", "[fd00::1]", 80, True),
        ("nonsense/99", "10.1.2.3", 80, False),
        ("", "hub.example", 443, False),
    ],
)
def test_no_proxy(no_proxy, host, port, skipped):
    assert bypassed(host, port, no_proxy) is skipped


@pytest.mark.parametrize("text", ["ftp://p:1", "http://", "http://p:0", "http://p:99999", "socks6://p:1"])
def test_what_cannot_be_a_proxy(text):
    with pytest.raises(UsageError, match="not a proxy"):
        checked_proxy(text)


def test_credentials_are_not_shown():
    assert redacted_proxy("socks5://me:sec@ret@p:1") == "socks5://p:1"
    with pytest.raises(UsageError) as caught:
        checked_proxy("ftp://me:secret@p:1")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("proxy", "private", "socks", "freely"),
    [
        (None, False, False, False),
        (None, True, False, True),
        ("http://p:1", False, False, True),
        ("socks5h://p:1", False, True, True),
        ("socks5://p:1", False, True, True),
        ("socks5://p:1", True, True, True),
    ],
)
def test_who_resolves(proxy, private, socks, freely):
    route = Route(proxy, private)
    assert (route.socks is not None, route.resolves_freely) == (socks, freely)
