"""What is made of what the probes saw: pure, so every situation is a value."""

import asyncio
import errno
import os
import socket
import ssl
from pathlib import Path

import pytest
from hub_stage import settings as stage_settings

from chunkdl.assemble.layout import PART_SUFFIX
from chunkdl.caches.pruning import OLDER_THAN_S
from chunkdl.caches.scanning import scan_partials
from chunkdl.caches.seen import PartialSeen, Stored
from chunkdl.doctor.judge_network import judge_delivery, judge_sources, speaks
from chunkdl.doctor.judge_settings import judge_settings, list_settings
from chunkdl.doctor.judge_storage import judge_folder, judge_leftovers
from chunkdl.doctor.seen import FolderSeen, Level, SourceSeen, Step
from chunkdl.doctor.steps import Steps, failed
from chunkdl.errors import AccessDenied, ArtifactNotFound, ConnectFailed
from chunkdl.model import GIB, Mirror
from chunkdl.observe import Notice

NOW = 1.7e9
WELL = tuple(Step(name, ok=True, seconds=0.1) for name in ("dns", "tcp", "tls", "metadata", "range"))


def source(name="origin", *steps, is_origin=False, url=None, **more):
    return SourceSeen(name, url or f"https://{name}.example", is_origin, steps=steps or WELL, **more)


def origin(*steps, **more):
    more.setdefault("ranged", None if steps else True)
    return source("origin", *steps, is_origin=True, **more)


def well(name="mirror", **more):
    return source(name, ranged=True, **more)


def broken(at, code, exit_code=4, detail="why", hint=""):
    names = [step.name for step in WELL]
    before = WELL[: names.index(at)] if at in names else WELL
    return (*before, Step(at, False, 0.5, detail, code, hint, exit_code))


def judged(*sources, strict=False, typed=False):
    return [*judge_sources(sources, strict=strict, typed=typed), *judge_delivery(sources)]


def ending(findings):
    return next((each.exit_code for each in findings if each.exit_code), 0)


def codes(findings):
    return [each.code for each in findings]


def test_all_is_well():
    assert judged(origin(), well()) == []


@pytest.mark.parametrize(
    ("at", "code", "advice"),
    [
        ("dns", "dns", "resolv.conf"),
        ("tcp", "refused", "address and port"),
        ("tcp", "timeout", "firewall"),
        ("tls", "reset", "HTTPS_PROXY"),
        ("tls", "tls-unknown-ca", "SSL_CERT_FILE"),
        ("tls", "tls-expired", "clock"),
        ("tls", "tls-name", "browser"),
        ("tls", "tls", "SSL_CERT_FILE"),
        ("metadata", "not-the-file", "login page"),
        ("metadata", "something-new", "other mirrors"),
    ],
)
def test_a_dead_mirror_is_named_with_its_remedy_and_harms_no_fetch(at, code, advice):
    (finding,) = judged(origin(), source("lab", *broken(at, code)))
    assert (finding.level, finding.code, finding.exit_code) == (Level.WARNING, code, 0)
    assert finding.message == f"lab: {at} failed: why"
    assert advice in finding.advice


def test_whoever_failed_knows_its_remedy_best():
    steps = broken("metadata", "connect-failed", hint="write HTTPS_PROXY=…")
    (finding,) = judged(origin(), source("lab", *steps, proxy="http://p:1"))
    assert finding.advice == "write HTTPS_PROXY=…"
    assert finding.message.startswith("lab through http://p:1: ")


@pytest.mark.parametrize(("at", "code"), [("dns", "dns"), ("tcp", "refused"), ("tcp", "timeout")])
def test_a_proxy_that_is_away_is_not_the_mirrors_fault(at, code):
    (finding,) = judged(origin(), source("lab", *broken(at, code), proxy="http://p:1"))
    assert finding.advice == "that is the proxy http://p:1: check HTTPS_PROXY, or set the mirror's proxy to none"


def test_a_silent_origin_leaves_the_word_to_mirrors():
    findings = judged(origin(*broken("tcp", "timeout")), well("lab"))
    assert codes(findings) == ["origin-silent", "timeout"]
    assert "from lab, which is not authenticated" in findings[0].message
    assert ending(findings) == 0


def test_strict_trust_needs_the_origin():
    findings = judged(origin(*broken("tcp", "timeout")), well("lab"), strict=True)
    assert (codes(findings)[0], ending(findings)) == ("authority", 4)


def test_nobody_answers():
    findings = judged(origin(*broken("dns", "dns")), source("lab", *broken("tcp", "refused")))
    assert (findings[0].code, findings[0].level, ending(findings)) == ("nobody", Level.PROBLEM, 4)
    assert "--add-mirror" in findings[0].advice


def test_strict_trust_refuses_plain_http_before_all():
    findings = judged(origin(*broken("tcp", "refused"), url="http://hub.example"), strict=True)
    assert (findings[0].code, ending(findings)) == ("strict-plain-http", 7)
    assert judged(origin(url="http://127.0.0.1:1"), strict=True) == []


def test_a_hub_without_the_usual_model_is_none_the_worse():
    lacking = broken("metadata", "not-found", exit_code=3)
    findings = judged(origin(*lacking), source("lab", *lacking))
    assert {each.level for each in findings} == {Level.NOTE}
    assert codes(findings) == ["not-tried", "not-tried"]
    assert ending(findings) == 0
    assert speaks(origin(*lacking))


def test_a_model_that_was_named_must_be_there():
    findings = judged(origin(*broken("metadata", "not-found", exit_code=3)), well(), typed=True)
    assert (findings[0].code, ending(findings)) == ("not-found", 3)


@pytest.mark.parametrize("at", ["metadata", "token"])
def test_a_refused_token_ends_a_fetch(at):
    findings = judged(origin(*broken(at, "access-denied", exit_code=3, hint="renew HF_TOKEN")), well())
    assert (findings[0].code, findings[0].advice, ending(findings)) == ("access-denied", "renew HF_TOKEN", 3)


def test_listings_without_bytes():
    findings = judged(origin(*broken("range", "stalled")), source("lab", *broken("range", "connect-failed")))
    assert codes(findings)[-1] == "no-bytes"
    assert ending(findings) == 4
    assert ending(judged(origin(*broken("range", "stalled")), well())) == 0


def test_ranges_ignored():
    findings = judged(origin(ranged=False), source("lab", ranged=False))
    assert codes(findings) == ["ranges-ignored", "ranges-ignored", "no-ranges"]
    assert codes(judged(origin(ranged=False), well())) == ["ranges-ignored"]


@pytest.mark.parametrize(("skew_s", "how"), [(3600.0, "1 h 00 min ahead"), (-400.0, "6 min 40 s behind")])
def test_a_wrong_clock(skew_s, how):
    (finding,) = judged(origin(skew_s=skew_s), well(skew_s=skew_s))
    assert (finding.level, finding.code) == (Level.WARNING, "clock")
    assert how in finding.message


def test_one_server_with_a_wrong_clock():
    (finding,) = judged(origin(skew_s=1.0), well("lab", skew_s=9e4))
    assert (finding.level, finding.code, finding.subject) == (Level.NOTE, "clock-of-mirror", "lab")


def test_a_small_skew_is_nothing():
    assert judged(origin(skew_s=299.0), well(skew_s=-299.0)) == []


def test_slow_steps_and_fake_addresses_are_noted():
    steps = (Step("dns", ok=True, seconds=4.2), *WELL[1:])
    findings = judged(source("origin", *steps, is_origin=True, ranged=True, addresses=("198.18.0.7",)))
    assert codes(findings) == ["fake-ip", "slow"]
    assert "dns took 4.2 s" in findings[1].message


# ---- how a step failed ---------------------------------------------------------------------------


def certificate_error(verify_code):
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = verify_code, "the reason"
    return error


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (certificate_error(10), "tls-expired", 4),
        (certificate_error(9), "tls-expired", 4),
        (certificate_error(62), "tls-name", 4),
        (certificate_error(64), "tls-name", 4),
        (certificate_error(18), "tls-unknown-ca", 4),
        (certificate_error(20), "tls-unknown-ca", 4),
        (certificate_error(23), "tls", 4),
        (ssl.SSLError(1, "[SSL] wrong version number"), "tls", 4),
        (socket.gaierror(-2, "Name or service not known"), "dns", 4),
        (UnicodeError("label too long"), "dns", 4),
        (TimeoutError(), "timeout", 4),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "refused", 4),
        (ConnectionResetError(), "reset", 4),
        (asyncio.IncompleteReadError(b"", 4), "reset", 4),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable", 4),
        (ConnectFailed("no way"), "connect-failed", 4),
        (ArtifactNotFound("not there", hint="look"), "not-found", 3),
    ],
)
def test_failures_have_names(error, code, exit_code):
    step = failed("tcp", 0.5, error, 3.0)
    assert (step.ok, step.code, step.exit_code) == (False, code, exit_code)
    assert step.detail
    assert "\n" not in step.detail


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ENETUNREACH])
def test_a_connection_that_fails_says_why(number):
    """asyncio's message names the address, which is known, instead of the reason."""
    error = OSError(number, "Connect call failed ('127.0.0.1', 9)")
    assert failed("tcp", 0.5, error, 3.0).detail == os.strerror(number)


async def test_a_step_is_timed_and_bounded():
    times = iter([10.0, 12.5, 20.0, 20.25])
    steps = Steps(lambda: next(times))

    async def fine():
        return 7, "seven"

    assert await steps.attempt("a", 5.0, fine()) == 7
    assert await steps.attempt("b", 0.01, asyncio.Event().wait()) is None
    assert steps.seen == [
        Step("a", True, 2.5, "seven"),
        Step("b", False, 0.25, "nothing came within 0.01 s", "timeout", "", 4),
    ]


# ---- storage -------------------------------------------------------------------------------------


def folder(role="cache", **more):
    more = {"free_bytes": 100 * GIB, "symlinks": True, "hard_links": True, **more}
    return list(judge_folder(FolderSeen(role, f"/{role}", "default", **more)))


def test_good_folders():
    assert folder() == folder("state") == []


def test_a_cache_that_cannot_be_written_ends_a_fetch():
    (finding,) = folder(trouble="read-only", hint="choose another", exit_code=6)
    assert (finding.level, finding.exit_code, finding.advice) == (Level.PROBLEM, 6, "choose another")


def test_a_state_that_cannot_be_written_costs_memory_only():
    (finding,) = folder("state", trouble="read-only", hint="--cache-dir", exit_code=6)
    assert (finding.level, finding.exit_code) == (Level.WARNING, 0)
    assert "CHUNKDL_STATE_DIR" in finding.advice
    (finding,) = folder("state", exposed=True)
    assert finding.code == "state-exposed"


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({"free_bytes": GIB}, "little-space"),
        ({"free_bytes": None}, "space-unknown"),
        ({"symlinks": False}, "no-symlinks"),
        ({"hard_links": False}, "no-hard-links"),
    ],
)
def test_what_a_cache_lacks(seen, code):
    (finding,) = folder(**seen)
    assert (finding.code, finding.exit_code) == (code, 0)


def leftover(age_s=10.0, owner="", place="org/name", size=5 << 20):
    inode = (1, int(age_s))
    files = (Stored(Path("x.chunkdl-part"), size, inode, NOW - age_s, NOW - age_s, NOW - age_s),)
    return PartialSeen("ab" * 32, place, files, None, None, owner, None, Path("x.chunkdl-owner"), NOW - age_s)


def leftover_findings(*found):
    return list(judge_leftovers(found, "/cache", NOW))


def test_leftovers_by_repository():
    owners = (leftover(owner="dead"), leftover(owner="alive"))
    running, stale, young = leftover_findings(leftover(OLDER_THAN_S), leftover(OLDER_THAN_S * 2), leftover(), *owners)
    assert running.message == "org/name: 1 file in transfer by a running process"
    assert stale.message == "org/name: 2 unfinished files (10.0 MiB) untouched for 14 days"
    assert (
        stale.advice
        == "chunkdl fetch org/name goes on with them; or chunkdl cache prune --cache-dir /cache removes them"
    )
    assert stale.level is Level.WARNING
    assert "2 unfinished files" in young.message
    assert "the process that began it is gone" in young.message


def test_what_somebody_writes_is_never_stale():
    (finding,) = leftover_findings(leftover(OLDER_THAN_S * 9, owner="alive"))
    assert finding.code == "in-transfer"


@pytest.mark.parametrize(("age_s", "code"), [(10.0, "in-transfer"), (2 * 86_400.0, "partials")])
def test_whom_nobody_can_ask_may_be_at_it_for_a_day(age_s, code):
    (finding,) = leftover_findings(leftover(age_s, owner="unknown"))
    assert finding.code == code


def test_what_was_begun_for_torch_goes_on_with_the_same_fetch():
    (finding,) = leftover_findings(leftover(place="torch"))
    assert (finding.subject, finding.advice) == ("torch", "the same fetch goes on with it")


def test_leftovers_are_called_as_they_are_fetched(tmp_path):
    for folder in ("models--gpt2", "models--org--name", "datasets--org--corpus"):
        blobs = tmp_path / folder / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{'a' * 64}{PART_SUFFIX}").write_bytes(b"x")
    assert {each.place for each in scan_partials(tmp_path)} == {"gpt2", "org/name", "datasets/org/corpus"}
    assert scan_partials(tmp_path / "none") == ()


# ---- settings ------------------------------------------------------------------------------------

SECRET = "hf_verysecret"
PROXY = "http://me:pass@proxy.example:3128"


def settings_codes(tmp_path, environ=(), *, cached=False, **changes):
    settings = stage_settings(tmp_path, Mirror("https://lab.example", "lab"), **changes)
    return list(judge_settings(settings, dict(environ), cached=cached))


def test_no_secret_is_listed(tmp_path):
    mirror = Mirror("https://lab.example", "lab", proxy=PROXY, token=SECRET)
    settings = stage_settings(tmp_path, mirror, token=SECRET)
    environ = {"HTTPS_PROXY": PROXY, "HF_TOKEN": SECRET}
    listed = {each.name: each for each in list_settings(settings, environ)}
    assert SECRET not in repr(listed)
    assert "pass" not in repr(listed)
    assert listed["token"].value == "set, sent to origin alone"
    assert listed["proxy for origin"].value == listed["proxy for lab"].value == "http://proxy.example:3128"
    findings = list(judge_settings(settings, environ, cached=False))
    assert SECRET not in repr(findings)


def test_an_unusable_proxy_is_listed_as_such(tmp_path):
    listed = list_settings(stage_settings(tmp_path), {"HTTPS_PROXY": "ftp://me:pass@p"})
    (proxy,) = [each for each in listed if each.name == "proxy for origin"]
    assert proxy.value.startswith("unusable: ")
    assert "pass" not in proxy.value


def test_offline(tmp_path):
    why = {"offline": True, "offline_because": "HF_HUB_OFFLINE"}
    (missing,) = settings_codes(tmp_path, **why)
    assert (missing.level, missing.exit_code) == (Level.PROBLEM, 3)
    assert missing.advice == "pass --online, or unset HF_HUB_OFFLINE"
    (there,) = settings_codes(tmp_path, cached=True, **why)
    assert (there.level, there.exit_code) == (Level.NOTE, 0)


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"HF_TOKEN": SECRET, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}, "token-kept-back"),
        ({"HUGGING_FACE_HUB_TOKEN": SECRET}, "token-old-name"),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, "two-proxies"),
        ({"REQUESTS_CA_BUNDLE": "/ca.pem"}, "other-ca-bundle"),
    ],
)
def test_variables_that_surprise(tmp_path, environ, code):
    assert codes(settings_codes(tmp_path, environ)) == [code]


def test_notices_of_the_settings_are_passed_on(tmp_path):
    notice = Notice("endpoint-is-mirror", "HF_ENDPOINT names hf-mirror.com")
    (finding,) = settings_codes(tmp_path, notices=(notice,))
    assert (finding.code, finding.message) == (notice.code, notice.message)


def test_a_token_and_mirrors(tmp_path):
    assert codes(settings_codes(tmp_path, token=SECRET)) == ["token-and-mirrors"]


async def test_denials_keep_their_exit_code():
    steps = Steps(lambda: 0.0)

    async def denied():
        raise AccessDenied("gated", hint="accept its conditions")

    assert await steps.attempt("metadata", 1.0, denied()) is None
    assert (steps.seen[0].code, steps.seen[0].exit_code, steps.seen[0].hint) == (
        "access-denied",
        3,
        "accept its conditions",
    )
