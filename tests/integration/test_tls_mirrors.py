"""Mirrors over TLS: whose certificates are taken, and what a person is told about one that is not."""

import json

import pytest
from support.certificates import Certificates, self_signed
from support.outside import Traveller

import chunkdl
from chunkdl.errors import UsageError
from chunkdl.testing import HubRepo, MirrorServer, SeededContent

REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(4, 24 << 20)})
SLOW = {"rate_bytes_per_s": 12 << 20}  # two are needed for a second


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def traveller(tmp_path):
    return Traveller(tmp_path)


def serving(tls, **options):
    return MirrorServer([REPO], tls=tls, **options).in_thread()


def alone(server, *command):
    return (*command, "org/name", "--origin", server.url, "--no-mirrors", "--json")


def test_a_bundle_of_the_environment(traveller, certificates):
    with serving(certificates.server("127.0.0.1")) as origin:
        ended = traveller.run(*alone(origin, "fetch"), SSL_CERT_FILE=certificates.bundle)
        assert ended.code == 0, ended.said
        for command in (("doctor",), ("mirrors", "test")):
            assert traveller.run(*alone(origin, *command), SSL_CERT_FILE=certificates.bundle).code == 0


def test_a_bundle_that_one_mirror_brings_is_trusted_for_that_mirror_alone(traveller, certificates, tmp_path):
    settings = tmp_path / "settings.toml"
    (tmp_path / "authority.pem").write_bytes(certificates.bundle.read_bytes())  # beside the settings, named relatively
    tls = certificates.server("127.0.0.1")
    with MirrorServer([REPO], **SLOW).in_thread() as origin, serving(tls, **SLOW) as own, serving(tls, **SLOW) as other:
        tables = f'[[mirror]]\nurl = "{own.url}"\nca_file = "authority.pem"\n[[mirror]]\nurl = "{other.url}"\n'
        settings.write_text(tables)
        said = {"CHUNKDL_CONFIG": settings, "CHUNKDL_ORIGIN": origin.url}
        ended = traveller.run("fetch", "org/name", "--json", **said)
        gave = {each["host"]: each["bytes"] for each in json.loads(ended.out)["hosts"]}
        assert gave[own.url.removeprefix("https://")] > 0
        assert other.bytes_served == 0


FAULTS = {
    "expired": ("is out of date", "check this machine's clock", "tls-expired"),
    "other-name": ("is of another name", "check the mirror's URL", "tls-name"),
    "self-signed": ("signed itself", "ca_file (or SSL_CERT_FILE)", "tls-unknown-ca"),
    "unknown-authority": ("nobody whom this system trusts vouches for", "ca_file (or SSL_CERT_FILE)", "tls-unknown-ca"),
}


def context_of(fault, certificates, folder):
    """A server's certificate with ``fault``, for a client that trusts ``certificates``."""
    return {
        "expired": lambda: certificates.expired("127.0.0.1"),
        "other-name": lambda: certificates.server("elsewhere.test"),
        "self-signed": lambda: self_signed(folder, "127.0.0.1"),
        "unknown-authority": lambda: Certificates(folder).server("127.0.0.1"),
    }[fault]()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_certificate_at_fault_is_told_by_fetch_doctor_and_the_test_of_mirrors(
    traveller, certificates, tmp_path, fault
):
    says, advises, code = FAULTS[fault]
    with serving(context_of(fault, certificates, tmp_path)) as origin:
        place = origin.url.removeprefix("https://")
        said = {"SSL_CERT_FILE": certificates.bundle}
        fetched = traveller.run(*alone(origin, "fetch"), **said)
        error = json.loads(fetched.out)["results"][0]["error"]
        assert fetched.code == 4
        assert place in error["message"]
        assert says in error["message"]
        assert advises in error["hint"]

        examined = traveller.run(*alone(origin, "doctor"), **said)
        assert examined.code == 4
        found = json.loads(examined.out)
        [step] = [each for each in found["sources"][0]["steps"] if not each["ok"]]
        assert (step["name"], step["code"]) == ("tls", code)
        assert all(each["advice"] for each in found["findings"])
        assert place in found["findings"][0]["message"]

        tested = traveller.run(*alone(origin, "mirrors", "test"), **said)
        assert tested.code == 4
        assert says in tested.said
        assert place in tested.said
        assert origin.bytes_served == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_beside_an_honest_origin_such_a_mirror_gives_nothing_and_stops_nothing(
    traveller, certificates, tmp_path, fault
):
    context = context_of(fault, certificates, tmp_path)
    with MirrorServer([REPO]).in_thread() as origin, serving(context) as mirror:
        asked = ("fetch", "org/name", "--origin", origin.url, "--mirror", mirror.url)
        ended = traveller.run(*asked, SSL_CERT_FILE=certificates.bundle)
        assert ended.code == 0, ended.said
        assert mirror.bytes_served == 0


def test_a_bundle_without_certificates_is_a_mistake_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("CHUNKDL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CHUNKDL_CONFIG", "")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with MirrorServer([REPO]).in_thread() as origin:
        mirror = chunkdl.Mirror("https://127.0.0.1:9", ca_file=str(empty))
        result = chunkdl.fetch("org/name", origin=origin.url, mirrors=[mirror], cache_dir=tmp_path / "hub")
        assert result.reference.ok  # the origin serves; the mirror's mistake is its own
        missing = chunkdl.Mirror("https://127.0.0.1:9", ca_file=str(tmp_path / "missing.pem"))
        with pytest.raises(UsageError, match=r"mirror 127.0.0.1:9: ca_file: .*missing.pem is no file"):
            chunkdl.fetch("org/name", origin=origin.url, mirrors=[missing], cache_dir=tmp_path / "hub")
