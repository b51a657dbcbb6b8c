"""Through proxies that we did not write: squid with a password, over TLS too, and microsocks.

The mirrors have names that this process cannot resolve, so that what arrives came through the proxy.
"""

import json

import pytest
from support.certificates import Certificates
from support.outside import Traveller, named
from support.socks import PASSWORD as SOCKS_PASSWORD
from support.socks import microsocks, wrapper
from support.squid import FORBIDDEN, PASSWORD, QUOTED, USER, squid

from chunkdl.testing import HubRepo, SeededContent

MIB = 1 << 20
REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(4, 12 * MIB)})
TOKEN = "hf_never_to_be_printed"
NAMES = ("origin.test", "mirror.test", "plain.test", "domestic.test", "cdn.test", FORBIDDEN)
# Alone one would need six seconds: time for the others to be found and asked on a busy machine.
SLOW = 2 * MIB


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(certificates):
    return certificates.server(*NAMES)


@pytest.fixture(scope="module")
def proxy(certificates):
    with squid(NAMES, certificates.issued("127.0.0.1")) as running:
        yield running


@pytest.fixture(scope="module")
def socks(tmp_path_factory):
    with microsocks(tmp_path_factory.mktemp("socks"), NAMES) as running:
        yield running


@pytest.fixture
def traveller(tmp_path, certificates):
    secrets = (PASSWORD, QUOTED, f"{USER}:{PASSWORD}", SOCKS_PASSWORD, TOKEN)
    return Traveller(tmp_path, *secrets, SSL_CERT_FILE=certificates.bundle, HF_TOKEN=TOKEN)


@pytest.fixture
def origin(tls):
    with named(REPO, "origin.test", tls=tls) as server:
        yield server


def from_origin(origin):
    return ("fetch", "org/name", "--json", "--origin", origin.url, "--no-mirrors")


def error_of(ended):
    return json.loads(ended.out)["results"][0]["error"]


def hosts_of(ended):
    assert ended.code == 0, ended.said
    return {each["host"]: each["bytes"] for each in json.loads(ended.out)["hosts"]}


def test_mirrors_over_tls_and_plain_are_reached_with_the_credentials_of_the_environment(traveller, proxy, origin, tls):
    origin.rate_bytes_per_s = SLOW
    with (
        named(REPO, "mirror.test", tls=tls, signed_urls=True, rate_bytes_per_s=SLOW) as mirror,
        named(REPO, "plain.test", rate_bytes_per_s=SLOW) as plain,
    ):
        before = len(proxy.asked())
        mirrors = ("--mirror", mirror.url, "--mirror", plain.url)
        asked = ("fetch", "org/name", "--json", "--origin", origin.url, *mirrors)
        ended = traveller.run(*asked, HTTPS_PROXY=proxy.url(), http_proxy=proxy.url())
        gave = hosts_of(ended)
        assert gave[origin.place] > 0
        assert gave[plain.place] > 0
        for server in (origin, mirror, plain):
            proxy.until(server.place, before)
        assert {each.method for each in proxy.asked() if plain.place in each.target} == {"GET"}
        assert {each.user for each in proxy.asked() if each.status == 200} == {USER}
        heard = [each.request.headers for each in (*mirror.log, *plain.log)]
        assert not [each for each in heard if "authorization" in each or "proxy-authorization" in each]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_every_variable_in_both_cases(traveller, proxy, origin, variable):
    before = len(proxy.asked())
    assert hosts_of(traveller.run(*from_origin(origin), **{variable: proxy.url()}))
    proxy.until(origin.place, before)


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_goes_direct_in_both_cases(traveller, proxy, origin, tls, variable, tmp_path):
    """Here the name resolves on this machine too, and the proxy must hear nothing of it; of the mirror it does."""
    before = len(proxy.asked())
    how = {"HTTPS_PROXY": proxy.url(), variable: "other.test, .origin.test"}
    with named(REPO, "mirror.test", tls=tls) as mirror:
        asked = ("fetch", "org/name", "--json", "--origin", origin.url, "--mirror", mirror.url)
        assert hosts_of(traveller.run(*asked, **how, **resolving(tmp_path, "origin.test")))
        heard = proxy.until(mirror.place, before)
    assert [each for each in heard if origin.place in each.target] == []
    assert origin.requests > 0


def resolving(folder, *names):
    """An environment in which the system resolves ``names`` to loopback."""
    (folder / "known-hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in names))
    return {"LD_PRELOAD": wrapper(), "NSS_WRAPPER_HOSTS": str(folder / "known-hosts")}


def test_domestic_mirrors_go_direct_and_foreign_ones_through_the_proxy(traveller, proxy, origin, tls, tmp_path):
    """The policy of each mirror in the settings, both ways around."""
    resolves = resolving(tmp_path, "domestic.test")
    origin.rate_bytes_per_s, before = SLOW, len(proxy.asked())
    with named(REPO, "domestic.test", tls=tls, rate_bytes_per_s=SLOW) as domestic:
        settings = tmp_path / "settings.toml"
        said = {"CHUNKDL_CONFIG": str(settings), "HTTPS_PROXY": proxy.url(), "CHUNKDL_ORIGIN": origin.url}
        table = f'[[mirror]]\nname = "near"\nurl = "{domestic.url}"\nproxy = "{{}}"\n'
        settings.write_text(table.format("none"))
        gave = hosts_of(traveller.run("fetch", "org/name", "--json", **said, **resolves))
        assert gave[domestic.place] > 0
        assert gave[origin.place] > 0
        heard = proxy.until(origin.place, before)
        assert [each for each in heard if domestic.place in each.target] == []

        settings.write_text(table.format(proxy.url()))
        del said["HTTPS_PROXY"]
        both = resolving(tmp_path, "origin.test")
        again = ("fetch", "org/name", "--json", "--force")
        assert hosts_of(traveller.run(*again, **said, **both))[domestic.place] > 0
        proxy.until(domestic.place, before)
        shown = traveller.run("mirrors", "list", **said)
        assert f"proxy {proxy.url('').partition('://')[2]}" in shown.out


@pytest.mark.parametrize(
    ("credentials", "name", "told"),
    [
        ("", "origin.test", ("wants a user name and a password (407)", "write HTTPS_PROXY as http://user:password@")),
        (f"{USER}:wrong-one", "origin.test", ("wants another user name or password (407)", "write HTTPS_PROXY as")),
        (QUOTED, FORBIDDEN, (f"forbids {FORBIDDEN}", "ask who runs the proxy")),
    ],
)
@pytest.mark.parametrize("encrypted", [False, True], ids=["http-proxy", "https-proxy"])
def test_a_proxy_that_refuses_is_named_with_the_next_step(traveller, proxy, tls, credentials, name, told, encrypted):  # noqa: PLR0913, PLR0917
    address = proxy.url("", tls=encrypted)
    with named(REPO, name, tls=tls) as server:
        place, asked = server.place, ("fetch", "org/name", "--origin", server.url, "--no-mirrors")
        ended = traveller.run(*asked, HTTPS_PROXY=proxy.url(credentials, tls=encrypted))
    assert ended.code == 4
    [error] = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    [hint] = [line for line in ended.err.splitlines() if line.startswith("hint: ")]
    assert place in error
    assert f"the proxy {address} " in error
    assert told[0] in error
    assert told[1] in hint
    assert "wrong-one" not in ended.said


def test_a_plain_proxy_that_wants_a_password_is_no_answer_of_the_mirror(traveller, proxy):
    with named(REPO, "plain.test") as server:
        ended = traveller.run(*from_origin(server), HTTP_PROXY=proxy.url(""))
    assert ended.code == 4
    assert f"the proxy {proxy.url('')} wants a user name and a password" in error_of(ended)["message"]


def test_doctor_and_mirrors_test_say_it_too(traveller, proxy, tls):
    with named(REPO, "origin.test", tls=tls) as server:
        who = ("--origin", server.url, "--no-mirrors")
        for command in (("doctor", "org/name"), ("mirrors", "test", "org/name", "--max-bytes", "8M")):
            good = traveller.run(*command, *who, "--json", HTTPS_PROXY=proxy.url())
            assert good.code == 0, good.said
            bad = traveller.run(*command, *who, "--json", HTTPS_PROXY=proxy.url(f"{USER}:wrong-one"))
            assert bad.code == 4, bad.said
            assert f"the proxy {proxy.url('')} wants" in bad.out
            assert "(407)" in bad.out
            assert "wrong-one" not in bad.said


def test_a_proxy_over_tls(traveller, proxy, origin, tmp_path):
    stranger = Certificates(tmp_path)
    ended = traveller.run(*from_origin(origin), HTTPS_PROXY=proxy.url(tls=True), SSL_CERT_FILE=stranger.bundle)
    assert ended.code == 4, ended.said
    error = error_of(ended)
    assert f"vouches for the proxy {proxy.url('', tls=True)}" in error["message"]
    assert "SSL_CERT_FILE" in error["hint"]
    gave = hosts_of(traveller.run(*from_origin(origin), HTTPS_PROXY=proxy.url(tls=True)))
    assert gave[origin.place] >= 12 * MIB


def test_a_proxy_that_is_not_there(traveller, origin):
    ended = traveller.run(*from_origin(origin), HTTPS_PROXY="http://me:hidden@127.0.0.1:9")
    error = error_of(ended)
    assert ended.code == 4
    assert "the proxy http://127.0.0.1:9 cannot be reached" in error["message"]
    assert "hidden" not in ended.said


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTPS_PROXY"])
def test_socks_resolves_names_at_the_far_end(traveller, socks, origin, scheme, variable):
    gave = hosts_of(traveller.run(*from_origin(origin), **{variable: socks.url(scheme)}))
    assert gave[origin.place] >= 12 * MIB
    assert origin.place in socks.reached()


def test_a_socks_server_that_is_not_there(traveller, origin):
    ended = traveller.run(*from_origin(origin), ALL_PROXY="socks5h://me:hidden@127.0.0.1:9")
    error = error_of(ended)
    assert ended.code == 4
    assert "the proxy socks5h://127.0.0.1:9 cannot be reached (Connection refused)" in error["message"]
    assert error["hint"].startswith("check ALL_PROXY")
    assert "hidden" not in ended.said


def test_a_socks_server_that_refuses_is_named(traveller, socks, origin):
    for credentials in ("", "walker:wrong-one"):
        ended = traveller.run(*from_origin(origin), ALL_PROXY=socks.url("socks5h", credentials))
        assert ended.code == 4
        error = error_of(ended)
        assert f"the proxy {socks.url('socks5h', '')} " in error["message"]
        assert "wrong-one" not in ended.said


def test_certificates_are_checked_behind_a_socks_server(traveller, socks, origin, tmp_path):
    stranger = Certificates(tmp_path)
    ended = traveller.run(*from_origin(origin), ALL_PROXY=socks.url("socks5h"), SSL_CERT_FILE=stranger.bundle)
    error = error_of(ended)
    assert f"vouches for {origin.place}" in error["message"]
