from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.job import Circumstances, JobKind, Task, Wish
from chunkdl.batch.manifest import read_manifest
from chunkdl.batch.policy import PolicyText, policy_of, policy_text_of
from chunkdl.batch.recurring import next_time
from chunkdl.errors import UsageError

WHOLE = """
[batch]
windows = ["Mon-Fri 22:30-07:00", "Sat,Sun 00:00-24:00"]
time_zone = "Asia/Shanghai"
bwlimit = "08:00,512k 23:00,off"
mirrors = ["https://hf-mirror.com"]

[batch.budgets]
"hf-mirror.com" = "20G"

[[model]]
ref = "bert-base-uncased"
priority = 5
deadline = 2026-11-25T07:00:00

[[model]]
ref = "org/name-gguf"
revision = "v1"
quant = "Q4_K_M"
include = ["*.gguf"]
local_dir = "models/name"
deadline = "2026-11-26 07:00+00:00"
origin = "https://hub.example"
mirrors = []
trust = "strict"

[[mirrors_test]]
ref = "bert-base-uncased"
every = "30 2 * * Sun"
"""


def read(tmp_path, text):
    path = tmp_path / "night.toml"
    path.write_text(text)
    return read_manifest(path, UTC)


def test_a_manifest_says_what_when_and_how_fast(tmp_path):
    manifest = read(tmp_path, WHOLE)
    shanghai = ZoneInfo("Asia/Shanghai")
    bert, gguf, test = manifest.wishes
    around = Circumstances(mirrors=("https://hf-mirror.com",))
    due = datetime(2026, 11, 25, 7, tzinfo=shanghai).timestamp()
    assert bert == Wish(Task("bert-base-uncased"), priority=5, deadline=due, circumstances=around)
    assert gguf.task == Task(
        "org/name-gguf",
        revision="v1",
        quant="Q4_K_M",
        include=("*.gguf",),
        local_dir=str((tmp_path / "models/name").resolve()),
    )
    assert gguf.deadline == datetime(2026, 11, 26, 7, tzinfo=UTC).timestamp()
    assert gguf.circumstances == Circumstances("https://hub.example", (), "strict")
    assert test == Wish(Task("bert-base-uncased", JobKind.MIRRORS_TEST), every="30 2 * * Sun", circumstances=around)
    policy = policy_of(manifest.policy, UTC)
    assert policy.zone == shanghai
    assert policy.budgets == {"hf-mirror.com": 20 << 30}
    assert policy.windows.at(datetime(2026, 11, 24, 22, 45, tzinfo=shanghai).timestamp())
    assert not policy.windows.at(datetime(2026, 11, 24, 12, tzinfo=shanghai).timestamp())
    assert policy.rates.at(datetime(2026, 11, 24, 12, tzinfo=shanghai).timestamp()) == 512 << 10


def test_a_policy_reads_back():
    text = PolicyText(("01:00-02:00",), "UTC", "5M", {"a": "1G"}, {"b": "2M"})
    assert policy_text_of(text.as_json()) == text
    assert policy_text_of(PolicyText().as_json()) == PolicyText()


def test_flags_go_before_the_manifest_and_an_empty_list_of_windows_is_always():
    flags, manifest = PolicyText(windows=()), PolicyText(windows=("01:00-02:00",), bwlimit="1M")
    assert flags.over(manifest) == PolicyText(windows=(), bwlimit="1M")
    assert policy_of(flags.over(manifest), UTC).windows.next_change(0.0) is None


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ('[batch]\nwindow = ["01:00-02:00"]\n', 2, "unknown key 'window'", "did you mean windows?"),
        ('[[models]]\nref = "a/b"\n', 1, "unknown key 'models'", "did you mean model?"),
        ('[[model]]\nrevision = "v1"\n', 1, "needs ref", 'ref = "org/name"'),
        ('[[model]]\nref = "a/b"\nprioritty = 3\n', 3, "unknown key 'prioritty'", "did you mean priority?"),
        ('[[model]]\nref = "a/b"\npriority = "high"\n', 3, "has the wrong type", ""),
        ('[[model]]\nref = "a/b"\npriority = true\n', 3, "has the wrong type", ""),
        ('[[model]]\nref = "a/b"\npriority = 5000\n', 3, "not between", ""),
        ('[[model]]\nref = "a/b/c/d"\n', 2, "is no repository id", "bert-base-uncased"),
        ('[[model]]\nref = "a/b"\nformat = "safetensor"\n', 3, "none of", ""),
        ('[[model]]\nref = "a/b"\ninclude = [1]\n', 3, "list of texts", ""),
        ('[[model]]\nref = "a/b"\ndeadline = "tomorrow"\n', 3, "no date and time", "2026-11-25 07:00"),
        ('[[model]]\nref = "a/b"\nevery = "sometimes"\n', 3, "no cron expression", "five fields"),
        ('[[model]]\nref = "a/b"\ntrust = "blind"\n', 3, "neither auto nor strict", ""),
        ('[[model]]\nref = "a/b"\ncache_dir = "x"\nlocal_dir = "y"\n', 4, "excludes cache_dir", ""),
        ('[batch]\nwindows = ["22:30-22:30"]\n', 2, "never open", "00:00-24:00"),
        ('[batch]\ntime_zone = "Asia/Shanghay"\n', 2, "no time zone", "Asia/Shanghai"),
        ('[batch]\ntime_zone = "../etc/passwd"\n', 2, "no time zone", ""),
        ('[batch]\nbwlimit = "08:00,fast"\n', 2, "not a rate", ""),
        ('[batch]\nbudgets = { a = "much" }\n', 2, "not a rate", ""),
        ("[batch]\ncaps = { a = 5 }\n", 2, "maps mirrors to texts", ""),
        ('[[mirrors_test]]\nquant = "x"\n', 2, "unknown key 'quant'", ""),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, text, line, what, hint):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert f"night.toml:{line}:" in caught.value.message
    assert what in caught.value.message
    assert hint in caught.value.hint


def test_what_is_no_toml_or_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match="no TOML"):
        read(tmp_path, "[[model\n")
    with pytest.raises(UsageError, match="no such"):
        read_manifest(tmp_path / "absent.toml", UTC)


def test_the_same_job_twice_is_a_mistake(tmp_path):
    with pytest.raises(UsageError, match="a/b stands in it twice"):
        read(tmp_path, '[[model]]\nref = "a/b"\n[[model]]\nref = "a/b"\npriority = 2\n')


def test_overlapping_windows_are_their_union(tmp_path):
    manifest = read(tmp_path, '[batch]\nwindows = ["01:00-03:00", "02:00-04:00"]\ntime_zone = "UTC"\n')
    windows = policy_of(manifest.policy, UTC).windows
    opened = datetime(2026, 11, 24, 1, tzinfo=UTC).timestamp()
    assert windows.at(opened)
    assert windows.next_change(opened) == opened + 3 * 3600


def test_a_job_recurs_by_the_clock_on_the_wall():
    zone = ZoneInfo("Europe/Berlin")
    before = datetime(2026, 3, 28, 12, tzinfo=zone).timestamp()
    first = next_time("30 4 * * *", before, zone)
    assert datetime.fromtimestamp(first, zone) == datetime(2026, 3, 29, 4, 30, tzinfo=zone)
    assert datetime.fromtimestamp(next_time("30 4 * * *", first, zone), zone).day == 30


def test_a_time_that_never_comes_is_refused():
    with pytest.raises(UsageError, match="no cron expression"):
        next_time("0 0 30 2 *", 0.0, UTC)
