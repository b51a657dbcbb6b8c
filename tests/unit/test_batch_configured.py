import json
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.configured import Hooks, config_hooks, config_policy
from chunkdl.batch.manifest import read_manifest
from chunkdl.batch.policy import PolicyText
from chunkdl.batch.policy_record import PolicyRecord, policy_now, policy_record, read_policy_record
from chunkdl.batch.standing import standing_policy
from chunkdl.errors import UsageError
from chunkdl.settings import load_settings

WHOLE = """
trust = "strict"

[batch]
windows = ["Mon-Fri 22:30-07:00"]
time_zone = "Asia/Shanghai"
bwlimit = "10M"
on_job_done = ["notify-send", "done"]

[batch.budgets]
"hf-mirror.com" = "20G"
"""


@pytest.fixture
def environ(tmp_path):
    def write(text):
        path = tmp_path / "chunkdl.toml"
        path.write_text(text)
        return {"CHUNKDL_CONFIG": str(path), "HOME": str(tmp_path), "TZ": "UTC"}

    return write


def test_the_users_file_says_when_how_fast_and_what_then(environ):
    around = environ(WHOLE)
    said = PolicyText(("Mon-Fri 22:30-07:00",), "Asia/Shanghai", "10M", {"hf-mirror.com": "20G"})
    assert config_policy(around) == said
    assert config_hooks(around) == Hooks(on_job_done=("notify-send", "done"))
    assert load_settings(around).trust == "strict"


def test_a_file_that_says_nothing_of_batches_says_nothing(environ):
    around = environ("")
    assert config_policy(around) == PolicyText()
    assert config_hooks(around) == Hooks()


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('[batch]\nwindow = ["01:00-02:00"]\n', 2, "unknown key 'window'"),
        ('[batch]\nwindows = "01:00-02:00"\n', 2, "windows has the wrong type"),
        ("[batch]\nwindows = [1]\n", 2, "batch.windows is a list of texts"),
        ('[batch]\ntime_zone = "UTC"\nwindows = ["late"]\n', 3, "batch.windows: not a window: 'late'"),
        ('[batch]\ntime_zone = "Asia/Shanghay"\n', 2, "batch.time_zone: there is no time zone"),
        ('[batch]\nbwlimit = "fast"\n', 2, "batch.bwlimit: not a rate"),
        ("[batch]\ncaps = { lab = 5 }\n", 2, "batch.caps maps mirrors to texts"),
        ('[batch]\nbudgets = { lab = "much" }\n', 2, "batch.budgets: not a rate"),
        ('[batch]\non_job_done = "notify-send"\n', 2, "on_job_done has the wrong type"),
        ("[batch]\non_job_done = []\n", 2, "batch.on_job_done names no command"),
        ('[batch]\non_window_closed = ["", "x"]\n', 2, "batch.on_window_closed names no command"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(environ, text, line, what):
    with pytest.raises(UsageError) as caught:
        config_policy(environ(text))
    assert f"chunkdl.toml:{line}: " in caught.value.message
    assert what in caught.value.message


def test_a_project_may_not_name_commands(environ, tmp_path):
    project = tmp_path / "checkout"
    project.mkdir()
    (project / "chunkdl.toml").write_text('[batch]\non_job_done = ["rm", "-rf", "/"]\n')
    with pytest.raises(UsageError, match="batch may not stand in a project's settings"):
        load_settings(environ(""), None, None, project)
    assert config_hooks(environ("")) == Hooks()


def manifest_of(tmp_path, text):
    path = tmp_path / "night.toml"
    path.write_text(text)
    return read_manifest(path, UTC)


def test_a_record_reads_back_with_the_absolute_path(tmp_path, monkeypatch):
    manifest_of(tmp_path, '[batch]\nwindows = ["01:00-02:00"]\n')
    monkeypatch.chdir(tmp_path)
    text = policy_record(read_manifest(Path("night.toml"), UTC))
    assert json.loads(text)["path"] == str(tmp_path / "night.toml")
    assert read_policy_record(text) == PolicyRecord(tmp_path / "night.toml", PolicyText(windows=("01:00-02:00",)))
    assert read_policy_record(None) == PolicyRecord()


def test_an_edited_manifest_holds_at_once_and_a_broken_one_changes_nothing(tmp_path):
    record = read_policy_record(policy_record(manifest_of(tmp_path, '[batch]\nbwlimit = "1M"\n')))
    manifest_of(tmp_path, '[batch]\nbwlimit = "2M"\n')
    assert policy_now(record, UTC) == (PolicyText(bwlimit="2M"), ())
    (tmp_path / "night.toml").write_text('[batch]\nbwlimt = "3M"\n')
    kept, (notice,) = policy_now(record, UTC)
    assert kept == PolicyText(bwlimit="1M")
    assert "night.toml:2" in notice.message
    (tmp_path / "night.toml").unlink()
    assert policy_now(record, UTC)[0] == PolicyText(bwlimit="1M")


def test_flags_go_before_the_manifest_and_that_before_the_file(environ, tmp_path):
    kept = policy_record(manifest_of(tmp_path, '[batch]\nbwlimit = "1M"\ntime_zone = "Europe/Berlin"\n'))
    around = environ(WHOLE)
    flags = PolicyText(bwlimit="5M")
    policy = standing_policy(kept, around, flags).policy
    assert policy.rates.at(0.0) == 5 << 20
    assert policy.zone == ZoneInfo("Europe/Berlin")
    assert policy.text.windows == ("Mon-Fri 22:30-07:00",)
    assert standing_policy(kept, around).policy.rates.at(0.0) == 1 << 20
    assert standing_policy(None, around).policy.rates.at(0.0) == 10 << 20


def test_a_manifest_is_read_again_only_when_it_was_edited(tmp_path, monkeypatch):
    record = read_policy_record(policy_record(manifest_of(tmp_path, '[batch]\nbwlimit = "1M"\n')))
    read = []

    def reading(path, zone):
        read.append(path)
        return read_manifest(path, zone)

    monkeypatch.setattr("chunkdl.batch.policy_record.read_manifest", reading)
    assert [policy_now(record, UTC)[0].bwlimit for _ in range(3)] == ["1M"] * 3
    (tmp_path / "night.toml").write_text('[batch]\nbwlimit = "20M"\n')
    assert [policy_now(record, UTC)[0].bwlimit for _ in range(3)] == ["20M"] * 3
    assert len(read) == 2
