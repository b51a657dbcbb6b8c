"""olah as a mirror: a server that we did not write, filling its cache from the same hub while it serves us."""

import json
from pathlib import Path

import pytest
from support.olah import olah
from support.outside import Traveller

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

WEIGHTS = SeededContent(3, 24 << 20)
REPO = HubRepo("org/name", {"config.json": "{}", "README.md": "# hello", "model.safetensors": WEIGHTS})
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens


@pytest.fixture
def hub():
    with MirrorServer([REPO]).in_thread() as server:
        yield server


@pytest.fixture
def lab(hub, tmp_path):
    with olah(hub.url, tmp_path / "olah") as url:
        yield url


def fetched(tmp_path, *argv):
    ended = Traveller(tmp_path).run("fetch", "org/name", "--json", *argv)
    assert ended.code == 0, ended.said
    report = json.loads(ended.out)
    weights = Path(report["results"][0]["path"], "model.safetensors")
    assert WEIGHTS.first_difference(weights.read_bytes()) is None
    return report


def test_it_shares_the_work_with_an_origin(lab, tmp_path):
    """One that needs ten seconds alone: time for the lab to be found, asked, and to fill its cache first."""
    with MirrorServer([REPO], rate_bytes_per_s=WEIGHTS.size // 10).in_thread() as origin:
        report = fetched(tmp_path, "--origin", origin.url, "--mirror", lab)
        gave = {each["host"]: each["bytes"] for each in report["hosts"]}
        assert gave[origin.url.removeprefix("http://")] > 0
        assert gave[lab.removeprefix("http://")] > 0
    assert report["totals"]["bytes_wasted"] < WEIGHTS.size // 10


def test_what_it_has_cached_costs_its_hub_no_second_time(hub, lab, tmp_path):
    """Alone, as a lab's only way out; with an origin that is away, its listing is one unconfirmed voice.

    It asks its hub about every file even so, and answers 504 for all of them while that is away.
    """
    fetched(tmp_path / "first", "--origin", lab, "--no-mirrors")
    before = hub.bytes_served
    report = fetched(tmp_path / "second", "--origin", DEAD, "--mirror", lab)
    assert report["results"][0]["authenticated"] is False
    assert [each["code"] for each in report["notices"]] == ["one-mirror-unconfirmed"]
    assert hub.bytes_served - before < WEIGHTS.size // 10


def test_the_doctor_and_the_test_of_mirrors_find_it_well(hub, lab, tmp_path):
    asked = ("org/name", "--origin", hub.url, "--mirror", lab, "--json")
    examined = Traveller(tmp_path).run("doctor", *asked)
    found = json.loads(examined.out)["sources"][1]
    assert all(each["ok"] for each in found["steps"]), found
    assert found["ranged"] is True
    tested = Traveller(tmp_path).run("mirrors", "test", *asked, "--max-bytes", "16M", "--rounds", "1")
    measured = next(each for each in json.loads(tested.out)["mirrors"] if each["url"] == lab)
    assert (measured["reachable"], measured["ranges"], measured["commit"]) == (True, True, REPO.commit)
    assert measured["wrong_ranges"] == 0
