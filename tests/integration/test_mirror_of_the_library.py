"""``chunkdl.Mirror`` as a caller of the library writes it, proxies included."""

import re

import pytest
from support.certificates import Certificates
from support.outside import named
from support.socks import PASSWORD, microsocks
from support.squid import PASSWORD as SQUID_PASSWORD
from support.squid import squid

import chunkdl
from chunkdl.errors import UsageError
from chunkdl.model import MirrorKind
from chunkdl.settings import Flags, Settings, load_settings
from chunkdl.testing import HubRepo, MirrorServer, SeededContent

REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(4, 16 << 20)})
PACE = {"rate_bytes_per_s": 3 << 20}  # five seconds of one alone: time for a mirror behind a proxy to join in


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, value in {"HOME": tmp_path, "CHUNKDL_STATE_DIR": tmp_path / "state", "CHUNKDL_CONFIG": ""}.items():
        monkeypatch.setenv(name, str(value))
    return tmp_path


def given_by(result):
    return {name: each.bytes for each in result.report.hosts for name in each.mirrors}


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_mirror_behind_a_socks_server(home, scheme):
    with (
        microsocks(home, ["far.test"]) as socks,
        MirrorServer([REPO], **PACE).in_thread() as origin,
        named(REPO, "far.test", **PACE) as far,
    ):
        mirror = chunkdl.Mirror(far.url, proxy=socks.url(scheme))
        result = chunkdl.fetch("org/name", origin=origin.url, mirrors=[mirror], cache_dir=home / "hub")
        assert given_by(result)[mirror.name] > 0
        assert far.place in socks.reached()
    assert PASSWORD not in repr(mirror) + repr(result.report)


def test_a_mirror_behind_squid_beside_a_direct_one(home):
    certificates = Certificates(home)
    with (
        squid(["far.test"], certificates.issued("127.0.0.1")) as proxy,
        MirrorServer([REPO], **PACE).in_thread() as origin,
        named(REPO, "far.test", tls=certificates.server("far.test"), **PACE) as far,
    ):
        mirror = chunkdl.Mirror(far.url, "far", proxy=proxy.url(), ca_file=str(certificates.bundle))
        result = chunkdl.fetch("org/name", origin=origin.url, mirrors=[mirror], cache_dir=home / "hub")
        gave = given_by(result)
        assert gave.get("far"), result.report.hosts
        assert gave[origin.url.removeprefix("http://")] > 0
        with pytest.raises(chunkdl.FetchFailed) as caught:
            chunkdl.fetch("org/name", settings=behind(far, proxy.url("traveller:wrong-one"), home))
    told = "".join(map(str, chain(caught.value)))
    assert proxy.url("") in told
    assert "(407)" in told
    assert "wrong-one" not in told
    assert SQUID_PASSWORD not in repr(mirror) + repr(result.report)


def behind(far, proxy, home):
    origin = chunkdl.Mirror(far.url, proxy=proxy, is_origin=True)
    return Settings(origin=origin, cache_dir=home / "other", state_dir=home / "state-2")


def chain(error):
    """The error and everything that a traceback would show below it."""
    while error is not None:
        yield error
        yield repr(error)
        error = error.__cause__ or error.__context__


class TestSpelling:
    def test_the_name_is_the_host_unless_it_is_said(self):
        assert chunkdl.Mirror("https://m.example/hf").name == "m.example"
        assert chunkdl.Mirror("https://m.example:8443").name == "m.example:8443"
        assert chunkdl.Mirror(url="https://m.example", name="lab").name == "lab"

    def test_a_password_in_the_url_is_no_part_of_the_name(self):
        assert chunkdl.Mirror("https://me:hidden@m.example").name == "m.example"

    def test_it_is_spelt_as_settings_are(self, home):
        [taken] = load_settings({"HOME": str(home)}, flags=Flags(mirrors=(chunkdl.Mirror("m.example/"),))).mirrors
        assert (taken.url, taken.name) == ("https://m.example", "m.example")
        folder = chunkdl.Mirror("static+https://files.example")
        [taken] = load_settings({"HOME": str(home)}, flags=Flags(mirrors=(folder,))).mirrors
        assert (taken.url, taken.kind, taken.name) == ("https://files.example", MirrorKind.STATIC, "files.example")

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"url": "ftp://m.example"}, "url: only http and https"),
            ({"url": "https://me:hidden@m.example"}, "url: a URL with user name or password is refused"),
            ({"proxy": "gopher://p"}, "proxy: no proxy"),
            ({"proxy": "http://me:hidden@"}, "proxy: no proxy"),
            ({"max_connections": 0}, "max_connections: 0 is not between"),
            ({"max_connections": 99}, "max_connections: 99 is not between"),
            ({"first_byte_s": 0.0}, "first_byte_s: 0.0 is not between"),
            ({"rate_cap_bytes_per_s": -1.0}, "rate_cap_bytes_per_s: -1.0 is not between"),
            ({"name": "two\nlines"}, "name: a name of printable characters"),
            ({"token": "line\r\nbreak"}, "token: the token holds characters"),
        ],
    )
    def test_what_a_settings_file_may_not_say_it_may_not_either(self, home, fields, says):
        mirror = chunkdl.Mirror(**{"url": "https://m.example", **fields})
        with pytest.raises(UsageError, match=re.escape(says)) as caught:
            chunkdl.fetch("org/name", mirrors=[mirror], cache_dir=home / "hub")
        assert "hidden" not in str(caught.value)
