"""Which server is shown which token, in every way that a request can be led elsewhere.

Real servers on loopback record every header; a row names what is set up and who may see what. Nobody else may see
anything that looks like a credential.
"""

from dataclasses import dataclass, field

import pytest
from support.certificates import Certificates
from support.outside import NamedMirror, Traveller
from support.socks import wrapper
from support.squid import PASSWORD, squid

from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

REPO = HubRepo("org/name", {"config.json": "{}", "a.txt": "a", "model.safetensors": SeededContent(4, 6 << 20)})
HUB_TOKEN, LAB_TOKEN = "hf_the_origins_own", "lab_the_mirrors_own"
CREDENTIALS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
SLOW = {"rate_bytes_per_s": 4 << 20}  # so that whoever may deliver is asked to
ALONE = 1 << 20  # of an origin that is not to be done before somebody else has been asked, on a busy machine too


@dataclass
class Stage:
    """Servers by their role, and what the command is told."""

    origin: MirrorServer
    lab: MirrorServer
    stranger: MirrorServer
    encrypted: MirrorServer
    folder: object
    argv: list = field(default_factory=list)
    environ: dict = field(default_factory=dict)
    code: int = 0

    def servers(self):
        return {name: getattr(self, name) for name in ("origin", "lab", "stranger", "encrypted")}

    def settings(self, text):
        path = self.folder / "settings.toml"
        path.write_text(text)
        self.environ["CHUNKDL_CONFIG"] = path


def signed_urls(stage):
    """The origin's own CDN is another port of the same host."""
    return {"origin": {HUB_TOKEN}}


def content_on_a_stranger(stage):
    stage.origin.faults = [fault("redirect", where="resolve", to=f"{stage.stranger.url}{{target}}")]
    return {"origin": {HUB_TOKEN}}


def metadata_on_a_stranger(stage):
    stage.origin.faults = [fault("redirect", where="api", to=f"{stage.stranger.url}{{target}}", status=307)]
    return {"origin": {HUB_TOKEN}}


def from_http_to_https_of_the_same_host(stage):
    stage.origin.faults = [fault("redirect", where="resolve", to=f"{stage.encrypted.url}{{target}}")]
    return {"origin": {HUB_TOKEN}}


def to_another_name_of_the_same_machine(stage):
    """``localhost`` is not 127.0.0.1, even on the same port."""
    elsewhere = stage.origin.url.replace("127.0.0.1", "localhost")
    stage.origin.faults = [fault("redirect", where="resolve", to=f"{elsewhere}{{target}}", every=2)]
    return {"origin": {HUB_TOKEN, "localhost without"}}


def there_and_back(stage):
    """A stranger must not choose what the token opens."""
    stage.origin.faults = [fault("redirect", where="resolve", to=f"{stage.stranger.url}{{target}}", times=1)]
    stage.stranger.faults = [fault("redirect", where="resolve", to=f"{stage.origin.url}{{target}}", times=1)]
    return {"origin": {HUB_TOKEN, "without"}}


def pages_on_a_stranger(stage):
    stage.origin.page_entries = 2
    stage.origin.faults = [fault("link-next-foreign-host", host=stage.stranger.url, times=1)]
    stage.code = None  # whether the listing can be had at all is not the point
    return {"origin": {HUB_TOKEN}}


def the_lab_with_its_token(stage):
    stage.settings(f'[[mirror]]\nurl = "{stage.lab.url}"\ntoken_env = "LAB_TOKEN"\n')
    stage.origin.rate_bytes_per_s = ALONE


def a_mirror_beside_the_origin(stage):
    stage.origin.rate_bytes_per_s = ALONE
    stage.argv += ["--mirror", stage.stranger.url]
    return {"origin": {HUB_TOKEN}}


def a_mirror_with_a_token_of_its_own(stage):
    the_lab_with_its_token(stage)
    return {"origin": {HUB_TOKEN}, "lab": {LAB_TOKEN}}


def a_mirror_with_a_token_that_leads_to_the_origin(stage):
    the_lab_with_its_token(stage)
    stage.lab.faults = [fault("redirect", where="resolve", to=f"{stage.origin.url}{{target}}")]
    return {"origin": {HUB_TOKEN, "without"}, "lab": {LAB_TOKEN}}


def a_mirror_with_a_token_that_leads_to_a_stranger(stage):
    the_lab_with_its_token(stage)
    stage.lab.faults = [fault("redirect", where="any", to=f"{stage.stranger.url}{{target}}", status=307)]
    return {"origin": {HUB_TOKEN}, "lab": {LAB_TOKEN}}


def a_checkout_that_names_a_mirror(stage):
    (stage.folder / "chunkdl.toml").write_text(f'[[mirror]]\nurl = "{stage.stranger.url}"\n')
    return {"origin": {HUB_TOKEN}}


def a_checkout_that_wants_a_token(stage):
    table = f'[[mirror]]\nurl = "{stage.stranger.url}"\ntoken_env = "HF_TOKEN"\n'
    (stage.folder / "chunkdl.toml").write_text(table)
    stage.code = 2
    return {}


def a_checkout_that_wants_to_be_the_origin(stage):
    (stage.folder / "chunkdl.toml").write_text(f'origin = "{stage.stranger.url}"\n')
    stage.code = 2
    return {}


def a_checkout_that_wants_to_be_the_proxy(stage):
    table = f'[[mirror]]\nurl = "{stage.lab.url}"\nproxy = "{stage.stranger.url}"\n'
    (stage.folder / "chunkdl.toml").write_text(table)
    stage.code = 2
    return {}


WAYS = [
    signed_urls,
    content_on_a_stranger,
    metadata_on_a_stranger,
    from_http_to_https_of_the_same_host,
    to_another_name_of_the_same_machine,
    there_and_back,
    pages_on_a_stranger,
    a_mirror_beside_the_origin,
    a_mirror_with_a_token_of_its_own,
    a_mirror_with_a_token_that_leads_to_the_origin,
    a_mirror_with_a_token_that_leads_to_a_stranger,
    a_checkout_that_names_a_mirror,
    a_checkout_that_wants_a_token,
    a_checkout_that_wants_to_be_the_origin,
    a_checkout_that_wants_to_be_the_proxy,
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


def seen_by(server):
    """Every credential that a server was shown, and whether somebody came without one."""
    seen = set()
    for each in tuple(server.log):
        headers = each.request.headers
        shown = {headers[name].removeprefix("Bearer ") for name in CREDENTIALS if name in headers}
        bare = "localhost without" if headers.get("host", "").startswith("localhost") else "without"
        seen |= shown or ({bare} if not each.request.on_cdn else set())
    return seen


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nobody_sees_a_token_that_was_not_given_for_it(tmp_path, certificates, way):
    with (
        MirrorServer([REPO], signed_urls=way is signed_urls, **SLOW).in_thread() as origin,
        MirrorServer([REPO], **SLOW).in_thread() as lab,
        MirrorServer([REPO], **SLOW).in_thread() as stranger,
        MirrorServer([REPO], tls=certificates.server("127.0.0.1")).in_thread() as encrypted,
    ):
        stage = Stage(origin, lab, stranger, encrypted, tmp_path)
        allowed = way(stage)
        traveller = Traveller(tmp_path, HUB_TOKEN, LAB_TOKEN, HF_TOKEN=HUB_TOKEN, LAB_TOKEN=LAB_TOKEN)
        said = {"SSL_CERT_FILE": certificates.bundle, "CHUNKDL_ORIGIN": origin.url, **stage.environ}
        ended = traveller.run("fetch", "org/name", *stage.argv, **said)
        assert stage.code in (None, ended.code), ended.said
        for name, server in stage.servers().items():
            shown = seen_by(server)
            if name in allowed:
                assert shown == allowed[name], f"{name} was shown {shown}"
            else:
                assert shown <= {"without"}, f"{name} was shown {shown}"


def test_a_known_mirror_in_hf_endpoint_gets_no_token(tmp_path, certificates):
    """The name that stands in every second .bashrc, on this machine for once."""
    tls = certificates.server("hf-mirror.com", "huggingface.co")
    mirror = NamedMirror([REPO], name="hf-mirror.com", tls=tls, redirects_small=False)
    (tmp_path / "hosts").write_text("127.0.0.1 hf-mirror.com\n127.0.0.1 huggingface.co\n")
    with mirror.in_thread():
        resolved = {"LD_PRELOAD": wrapper(), "NSS_WRAPPER_HOSTS": tmp_path / "hosts"}
        traveller = Traveller(tmp_path, HUB_TOKEN, HF_TOKEN=HUB_TOKEN, SSL_CERT_FILE=certificates.bundle, **resolved)
        ended = traveller.run("fetch", "org/name", HF_ENDPOINT=mirror.url)
        assert ended.code == 0, ended.said
        assert "the origin's token does not go to the mirror" in ended.err
        assert seen_by(mirror) == {"without"}


def test_proxies_and_what_lies_behind_them_see_no_token_in_the_clear(tmp_path, certificates):
    names = ("plain.test", "origin.test")
    tls = certificates.server("origin.test")
    with squid(names, certificates.issued("127.0.0.1")) as proxy:
        plain = NamedMirror([REPO], name="plain.test", redirects_small=False)
        origin = NamedMirror([REPO], name="origin.test", tls=tls, redirects_small=False, rate_bytes_per_s=ALONE)
        with plain.in_thread(), origin.in_thread():
            said = {"HTTP_PROXY": proxy.url(), "HTTPS_PROXY": proxy.url(), "SSL_CERT_FILE": certificates.bundle}
            traveller = Traveller(tmp_path, HUB_TOKEN, PASSWORD, HF_TOKEN=HUB_TOKEN, **said)
            ended = traveller.run("fetch", "org/name", "--origin", origin.url, "--mirror", plain.url)
            assert ended.code == 0, ended.said
            assert seen_by(origin) == {HUB_TOKEN}
            assert seen_by(plain) == {"without"}
            again = traveller.run("fetch", "org/name", "--force", "--origin", plain.url, "--no-mirrors")
            assert again.code == 0, again.said
            assert "is not sent to http://plain.test" in again.err
            assert seen_by(plain) == {"without"}
        assert {each.authorization for each in proxy.asked()} == {"-"}
