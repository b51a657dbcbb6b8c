"""Every object of the mirrors' commands and of lock against its schema, also on failure; it names every key."""

import json

import jsonschema
import pytest
from support.outside import ROOT, Traveller

from chunkdl.testing import HubRepo, MirrorServer, SeededContent

REPO = HubRepo("org/name", {"config.json": "{}", "model.safetensors": SeededContent(3, 1 << 20)})
LAGGING = HubRepo("org/name", {"config.json": "{ }", "model.safetensors": SeededContent(4, 1 << 20)})
DEAD = "http://127.0.0.1:9"


def schema_of(name):
    schema = json.loads((ROOT / "fixtures" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def unnamed(value, schema, at=""):
    """Keys of ``value`` that the schema does not speak of."""
    schema = next((each for each in schema.get("anyOf", ()) if each.get("type") == "object"), schema)
    if isinstance(value, list):
        return [key for each in value for key in unnamed(each, schema.get("items", {}), f"{at}[]")]
    if not isinstance(value, dict):
        return []
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    found = [f"{at}.{key}" for key in value if key not in known and others is None]
    return found + [
        key for name in value for key in unnamed(value[name], known.get(name, others or {}), f"{at}.{name}")
    ]


def checked(name, ended, code):
    schema, value = schema_of(name), json.loads(ended.out)
    jsonschema.Draft202012Validator(schema).validate(value)
    assert unnamed(value, schema) == []
    assert (ended.code, value["exit_code"], value["ok"]) == (code, code, code == 0)
    return value


@pytest.fixture
def traveller(tmp_path):
    return Traveller(tmp_path)


@pytest.fixture
def sources():
    with MirrorServer([REPO]).in_thread() as origin, MirrorServer([LAGGING]).in_thread() as mirror:
        yield "--origin", origin.url, "--mirror", mirror.url


@pytest.fixture
def measure(traveller, sources):
    return lambda *argv: traveller.run(
        "mirrors", "test", *sources, "--max-bytes", "4M", "--rounds", "1", *argv, "--json"
    )


def test_mirrors_test(traveller, measure, tmp_path):
    shown = checked("mirrors-test", measure("org/name", "--add-mirror", DEAD), 0)
    assert [each["rank"] for each in shown["mirrors"]] == [1, 2, 3]
    (tmp_path / "names").write_text("org/name\norg/nothing\n")
    shown = checked("mirrors-test", measure("--coverage", str(tmp_path / "names")), 0)
    assert len(shown["coverage"]) == 2
    checked("mirrors-test", measure("org/nothing"), 3)
    checked("mirrors-test", measure("not a name"), 2)
    nobody = traveller.run("mirrors", "test", "org/name", "--origin", DEAD, "--no-mirrors", "--json")
    checked("mirrors-test", nobody, 4)


def test_mirrors_list_after_something_was_learnt(traveller, measure, tmp_path):
    assert measure("org/name").code == 0
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[[mirror]]\nurl = "https://a.example"\noperator = "A"\nproxy = "http://me:hidden@p.example:1"\n'
    )
    shown = checked("mirrors-list", traveller.run("mirrors", "list", "--json", CHUNKDL_CONFIG=settings), 0)
    assert "hidden" not in json.dumps(shown)
    settings.write_text("[[mirror]]\n")
    checked("mirrors-list", traveller.run("mirrors", "list", "--json", CHUNKDL_CONFIG=settings), 2)


def test_doctor(traveller, sources):
    shown = checked("doctor", traveller.run("doctor", "org/name", *sources, "--add-mirror", DEAD, "--json"), 0)
    assert [each["steps"][-1]["ok"] for each in shown["sources"]] == [True, True, False]
    assert shown["findings"]
    checked("doctor", traveller.run("doctor", "org/name", "--origin", DEAD, "--no-mirrors", "--json"), 4)
    checked("doctor", traveller.run("doctor", "not a name", "--json"), 2)


def test_lock(traveller, sources):
    origin = sources[:2]
    shown = checked("lock", traveller.run("lock", "org/name", *origin, "--no-mirrors", "--json"), 0)
    assert (shown["written"], shown["artifacts"][0]["commit"]) == (True, REPO.commit)
    shown = checked("lock", traveller.run("lock", "--check", *origin, "--no-mirrors", "--json"), 0)
    assert shown["artifacts"][0]["drift"] == {"changed": [], "added": [], "removed": []}
    drifted = traveller.run("lock", "--check", "--origin", sources[3], "--no-mirrors", "--json")
    assert checked("lock", drifted, 7)["artifacts"][0]["commit_now"] == LAGGING.commit
    unknown = traveller.run("lock", "--check", "--origin", DEAD, "--no-mirrors", "--trust", "strict", "--json")
    assert checked("lock", unknown, 4)["artifacts"][0]["error"]["code"]
    assert len(checked("lock", traveller.run("lock", "--export", "sha256sum", "--json"), 0)["sums"]) == 1
    checked("lock", traveller.run("lock", "org/nothing", *origin, "--no-mirrors", "--json"), 3)
    checked("lock", traveller.run("lock", "--json"), 2)


def test_mirrors_export(traveller, sources, tmp_path):
    assert traveller.run("fetch", "org/name", *sources).code == 0
    shown = checked(
        "mirrors-export", traveller.run("mirrors", "export", "org/name", str(tmp_path / "out"), "--json"), 0
    )
    assert shown["exported"][0]["complete"] is True
    missing = traveller.run("mirrors", "export", "org/nothing", str(tmp_path / "out"), "--json")
    assert checked("mirrors-export", missing, 3)["errors"][0]["ref"] == "org/nothing"


def test_mirrors_add_and_remove(traveller):
    shown = checked("mirrors-change", traveller.run("mirrors", "add", "https://a.example", "--json"), 0)
    assert shown["mirrors"] == ["a.example"]
    checked("mirrors-change", traveller.run("mirrors", "add", "https://a.example", "--json"), 2)
    checked("mirrors-change", traveller.run("mirrors", "remove", "a.example", "--json"), 0)
    checked("mirrors-change", traveller.run("mirrors", "remove", "a.example", "--json"), 2)


def test_batch_run(traveller, sources):
    checked("batch-run", traveller.run("batch", "run", "--once", "--json"), 0)
    assert traveller.run("batch", "add", "org/name").code == 0
    assert traveller.run("batch", "add", "org/nothing").code == 0
    environ = {"CHUNKDL_ORIGIN": sources[1], "CHUNKDL_MIRRORS": sources[3]}
    ran = traveller.run("batch", "run", "--once", "--json", **environ)
    assert len(checked("batch-run", ran, 20)["jobs"]) == 2
    checked("batch-run", traveller.run("batch", "run", "--until", "never", "--json"), 2)


def test_lock_says_what_it_cannot_heed(traveller, sources):
    origin = (*sources[:2], "--no-mirrors")
    assert traveller.run("lock", "org/name", *origin).code == 0
    for ignored in (("--include", "*.json"), ("--revision", "v1"), ("--variant", "fp16"), ("--export", "sha256sum")):
        checked("lock", traveller.run("lock", "--check", *ignored, *origin, "--json"), 2)
    offline = {"HF_HUB_OFFLINE": "1"}
    refused = checked("lock", traveller.run("lock", "--check", *origin, "--json", **offline), 3)
    assert "--online" in refused["error"]["hint"]
    checked("lock", traveller.run("lock", "--check", "--online", *origin, "--json", **offline), 0)
