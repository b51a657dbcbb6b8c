import json

import jsonschema
import pytest
from cli_stage import REPO_ROOT, Stage, good_report, placed_result, places, raises

from chunkdl.errors import ArtifactNotFound
from chunkdl.report import ErrorReport, FileReport, HostReport, LeftOut, ReferenceReport, Report, Totals

SCHEMA = json.loads((REPO_ROOT / "fixtures" / "report.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def failing_report():
    error = ErrorReport("integrity", "bytes proved wrong", "evil.example", "model.safetensors", "")
    failed = ReferenceReport("a/1", ok=False, exit_code=5, error=error)
    return Report((placed_result("a/0"), failed, ReferenceReport("a/2", ok=False, exit_code=3, error=error)))


def as_read(report):
    return json.loads(json.dumps(report.as_json()))


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("report", [good_report(), failing_report()], ids=["good", "failing"])
def test_reports_keep_the_schema(report):
    VALIDATOR.validate(as_read(report))


def test_the_first_failure_decides_the_exit_code():
    assert failing_report().exit_code == 5
    assert failing_report().as_json()["ok"] is False
    assert good_report().exit_code == 0


@pytest.mark.parametrize(
    ("where", "kind", "drop"),
    [
        (("properties", "results", "items"), ReferenceReport, {"exit_code", "cause"}),
        (("$defs", "file"), FileReport, set()),
        (("$defs", "error"), ErrorReport, set()),
        (("$defs", "totals"), Totals, set()),
        (("$defs", "host"), HostReport, set()),
        (("$defs", "result", "properties", "left_out"), LeftOut, set()),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_every_key_is_described_and_promised(where, kind, drop):
    node = SCHEMA
    for step in where:
        node = node[step]
        if "$ref" in node:
            node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    keys = set(kind.__dataclass_fields__) - drop
    assert set(node["properties"]) == keys
    assert set(node["required"]) == keys


def test_top_level_keys_are_described_and_promised():
    assert set(as_read(good_report())) == set(SCHEMA["properties"]) == set(SCHEMA["required"])


@pytest.mark.parametrize(
    "change",
    [
        {"ok": True},
        {"exit_code": 0},
        {"schema": 2},
        {"results": []},
        {"totals": {}},
        {"notices": [{"code": "x"}]},
    ],
    ids=str,
)
def test_the_schema_refuses_what_would_break_readers(change):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**as_read(failing_report()), **change})


@pytest.mark.parametrize(
    ("pipeline", "argv", "code"),
    [
        (places(("a/b", "/x")), ("fetch", "a/b", "--json"), 0),
        (raises(ArtifactNotFound("a/b: no", hint="h", file="f")), ("fetch", "a/b", "--json"), 3),
        (raises(KeyError("bug\nwith lines")), ("fetch", "a/b", "--json"), 1),
        (None, ("fetch", "--json", "a/b", "--limit-rate", "x"), 2),
        (None, ("fetch", "--json"), 2),
        (None, ("fetch", "a/b", "--json", "--nope"), 2),
        (None, ("a/b", "--json"), 2),
    ],
)
def test_every_way_to_end_prints_one_object_of_the_schema(tmp_path, pipeline, argv, code):
    stage = Stage(tmp_path, pipeline)
    assert stage.run(*argv) == code
    VALIDATOR.validate(stage.json)
    assert stage.json["exit_code"] == code
