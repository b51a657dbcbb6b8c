"""Mirrors that are down, die and come back: the fetch goes on, and its end says who did what."""

import json
from pathlib import Path

import jsonschema
import pytest
from support.outside import ROOT, Traveller

from chunkdl.testing import HubRepo, MirrorServer, SeededContent, fault

WEIGHTS = SeededContent(3, 32 << 20)
REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": WEIGHTS})
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "fixtures" / "report.schema.json").read_text()))
DEAD = "127.0.0.1:9"  # the discard port: nobody listens
PACE = {"rate_bytes_per_s": 3 << 20}
BODY = {"where": "content", "path": "*.safetensors"}
# From its n-th answer on it cuts every body, for ever or for a while.
DIES = fault("close-early", n=100_000, skip=3, **BODY)
RETURNS = fault("close-early", n=0, skip=2, times=4, reset=True, **BODY)


@pytest.fixture
def scene():
    with (
        MirrorServer([REPO], **PACE).in_thread() as origin,
        MirrorServer([REPO], faults=[DIES], **PACE).in_thread() as dying,
        MirrorServer([REPO], faults=[RETURNS], **PACE).in_thread() as returning,
    ):
        yield origin, dying, returning


def place(server):
    return server.url.removeprefix("http://")


def test_the_closing_lines_name_each_mirror_and_its_fate(tmp_path, scene):
    origin, dying, returning = scene
    mirrors = [part for url in (f"http://{DEAD}", dying.url, returning.url) for part in ("--mirror", url)]
    ended = Traveller(tmp_path).run("fetch", "org/name", "--origin", origin.url, *mirrors)
    assert ended.code == 0, ended.said
    weights = Path(ended.out.removesuffix("\n"), "model.safetensors")
    assert WEIGHTS.first_difference(weights.read_bytes()) is None
    notes = [line.removeprefix("note: ") for line in ended.err.splitlines() if line.startswith("note: ")]
    [dead] = [line for line in notes if line.startswith(DEAD)]
    assert dead == f"{DEAD} gave nothing: no answer from {DEAD} (Connection refused)"
    [died] = [line for line in notes if line.startswith(place(dying))]
    assert " ended after " in died
    [back] = [line for line in notes if line.startswith(place(returning))]
    assert ", came back and gave " in back
    assert place(origin) not in "".join(notes)
    [done] = [line for line in ended.err.splitlines() if line.startswith("done: ")]
    for server in (origin, returning):
        assert f"{place(server)} gave " in done


def test_programs_read_the_same_in_hosts(tmp_path, scene):
    origin, dying, returning = scene
    mirrors = [part for url in (f"http://{DEAD}", dying.url, returning.url) for part in ("--mirror", url)]
    ended = Traveller(tmp_path).run("fetch", "org/name", "--json", "--origin", origin.url, *mirrors)
    report = json.loads(ended.out)
    SCHEMA.validate(report)
    hosts = {each["host"]: each for each in report["hosts"]}
    assert set(hosts) == {DEAD, *map(place, scene)}
    assert (hosts[DEAD]["state"], hosts[DEAD]["bytes"]) == ("unused", 0)
    assert "no answer" in hosts[DEAD]["reason"]
    assert hosts[place(dying)]["errors"] > 0
    assert " ended after " in hosts[place(dying)]["reason"]
    assert (hosts[place(returning)]["state"], hosts[place(origin)]["reason"]) == ("idle", None)
    assert sum(each["bytes"] for each in hosts.values()) >= WEIGHTS.size
