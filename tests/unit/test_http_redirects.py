import pytest

from chunkdl.errors import RedirectRefused
from chunkdl.http.redirects import host_of, may_carry_token, next_hop, parse_url

MIRROR = "https://mirror.example"


def hop(location, current="https://mirror.example/a/b?x=1", mirror_url=MIRROR, **more):
    settings = {"mirror": "m1", "mirror_url": mirror_url, "private": False} | more
    return str(next_hop(parse_url(current, mirror="m1"), location, **settings))


SIGNED = "https://cdn.example/x%7Ey/%E4%BD%A0?a=%2F%3A~b%20c+d&X-Amz-Signature=ab%2Fcd&k=%7e&e=;&="


@pytest.mark.parametrize("location", [SIGNED, "https://cdn.example", "https://cdn.example:8443/a//b/../c?%7Ex"])
def test_absolute_urls_survive_byte_for_byte(location):
    assert hop(location) == location


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (
            "/api/resolve-cache/m/f%2Bg?etag=%22x%22&z=%7E",
            "https://mirror.example/api/resolve-cache/m/f%2Bg?etag=%22x%22&z=%7E",
        ),
        ("c%20d", "https://mirror.example/a/c%20d"),
        ("?y=%2F", "https://mirror.example/a/b?y=%2F"),
        ("//other.example/p%7Eq", "https://other.example/p%7Eq"),
        ("../c", "https://mirror.example/c"),
        ("https://cdn.example/f#frag", "https://cdn.example/f"),
    ],
)
def test_relative_urls_are_joined_without_requoting(location, target):
    assert hop(location) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://mirror.example/a",
        "file:///etc/passwd",
        "ftp://mirror.example/a",
        "javascript:alert(1)",
        "https://user:secret@cdn.example/",
        "https://user@cdn.example/",
        "https:///nohost",
        "https://cdn.example:0/",
        "https://cdn.example:99999/",
        "https://cdn.example/a b",
        "https://cdn.example/\r\nX: y",
        "https://cdn.example/ü",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fd00::1]:8443/",
        "http://[foo",
        "//[x",
        "https://[bad]/x",
        "https://a\u2100b.example/",
        "//a\u2100b.example/",
    ],
)
def test_refused(location):
    with pytest.raises(RedirectRefused, match="m1") as caught:
        hop(location)
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("location", ["https://198.18.0.9/f", "https://100.64.1.1/f", "https://8.8.8.8/f"])
def test_literals_that_count_as_public_are_followed(location):
    assert hop(location) == location


def test_a_private_mirror_may_lead_to_private_addresses():
    current = "http://10.0.0.5:8090/x"
    assert hop("http://10.0.0.6/cdn", current, "http://10.0.0.5:8090", private=True) == "http://10.0.0.6/cdn"


def test_http_may_lead_to_https():
    assert hop("https://mirror.example/", "http://mirror.example/") == "https://mirror.example/"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://huggingface.co/api/models/x?a=%2F", "https://mirror.example/hf/api/models/x?a=%2F"),
        ("https://huggingface.co/org/m/resolve/abc/f.bin", "https://mirror.example/hf/org/m/resolve/abc/f.bin"),
        ("https://huggingface.co/bert/resolve/abc/f.bin", "https://mirror.example/hf/bert/resolve/abc/f.bin"),
        ("https://huggingface.co/docs", "https://huggingface.co/docs"),
        ("https://cdn.example/org/m/resolve/abc/f.bin", "https://cdn.example/org/m/resolve/abc/f.bin"),
    ],
)
def test_hub_paths_on_hub_hosts_mean_the_mirrors_own_copy(location, target):
    assert hop(location, mirror_url="https://mirror.example/hf") == target


def test_a_mirror_that_sends_its_own_path_to_the_hub_means_the_hub():
    current = "https://mirror.example/org/m/resolve/abc/f.bin"
    assert hop("https://huggingface.co/org/m/resolve/abc/f.bin", current).startswith("https://huggingface.co/")


def test_who_is_no_mirror_of_a_hub_may_lead_to_one():
    location = "https://huggingface.co/org/m/resolve/abc/f.bin"
    assert hop(location, "https://short.example/f", mirror_url="") == location


def test_the_hub_itself_is_not_rewritten():
    location = "https://huggingface.co/api/models/google-bert/bert-base-uncased"
    assert hop(location, "https://huggingface.co/api/models/bert-base-uncased", "https://huggingface.co") == location


@pytest.mark.parametrize(
    ("url", "mirror_url", "carried"),
    [
        ("https://hub.example/a", "https://hub.example", True),
        ("https://HUB.example:443/a", "https://hub.example/prefix", True),
        ("https://hub.example:8443/a", "https://hub.example", False),
        ("https://cdn.example/a", "https://hub.example", False),
        ("http://hub.example/a", "http://hub.example", False),
        ("http://hub.example/a", "https://hub.example", False),
        ("http://127.0.0.1:81/a", "http://127.0.0.1:81", True),
        ("http://localhost:81/a", "http://localhost:81", True),
        ("http://127.0.0.1:82/a", "http://127.0.0.1:81", False),
    ],
)
def test_tokens_belong_to_one_origin(url, mirror_url, carried):
    assert may_carry_token(parse_url(url, mirror="m1"), mirror_url) is carried


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Hub.Example/x", "hub.example:443"),
        ("http://hub.example", "hub.example:80"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("https://hub.example:8443", "hub.example:8443"),
    ],
)
def test_hosts(url, host):
    assert host_of(url) == host
