import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import pytest

from chunkdl.batch.local_zone import LibraryClock, local_zone
from chunkdl.core.windows import parse_windows

NEW_YORK = ZoneInfo("America/New_York")
# What the rule of America/New_York has been since 2007, as POSIX writes it.
RULE = "EST5EDT,M3.2.0,M11.1.0"


@pytest.fixture
def ruled(monkeypatch):
    monkeypatch.setenv("TZ", RULE)
    time.tzset()
    yield {"TZ": RULE}
    monkeypatch.undo()
    time.tzset()


def database_file(name):
    return next(str(Path(each, name)) for each in TZPATH if Path(each, name).exists())


@pytest.mark.parametrize("said", ["Asia/Shanghai", ":Asia/Shanghai"])
def test_the_variable_names_a_zone(said):
    assert local_zone({"TZ": said}) == ZoneInfo("Asia/Shanghai")


def test_an_empty_variable_is_utc_as_posix_has_it():
    assert local_zone({"TZ": ""}) is UTC


def test_the_variable_may_be_a_file():
    zone = local_zone({"TZ": ":" + database_file("Europe/Berlin")})
    assert zone == ZoneInfo("Europe/Berlin")


def test_a_link_to_the_database_is_its_name(tmp_path):
    link = tmp_path / "localtime"
    link.symlink_to(database_file("Europe/Berlin"))
    assert local_zone({}, link) == ZoneInfo("Europe/Berlin")


def test_a_copy_has_the_rules_of_its_content(tmp_path):
    copy = tmp_path / "localtime"
    shutil.copy(database_file("America/New_York"), copy)
    zone = local_zone({}, copy)
    for month in (1, 7):
        there = datetime(2026, month, 1, 12, tzinfo=zone)
        assert there.utcoffset() == there.replace(tzinfo=NEW_YORK).utcoffset()
    assert str(zone) == str(copy)


def test_without_any_file_the_library_knows(tmp_path):
    assert isinstance(local_zone({}, tmp_path / "absent"), LibraryClock)
    (tmp_path / "damaged").write_bytes(b"no zone at all")
    assert isinstance(local_zone({}, tmp_path / "damaged"), LibraryClock)


def test_a_rule_means_what_the_zone_means_through_the_year(ruled):
    zone = local_zone(ruled)
    assert isinstance(zone, LibraryClock)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    while at.year == 2026:
        here, there = at.astimezone(zone), at.astimezone(NEW_YORK)
        assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
        assert here.utcoffset() == there.utcoffset()
        assert here.astimezone(UTC) == at
        at += timedelta(hours=1)


def test_windows_by_a_rule_open_when_those_by_the_name_do(ruled):
    """Over both changes of the clock, into the hour that is skipped and the one that comes twice."""
    texts = ["01:30-02:30", "Sun 02:15-06:00"]
    by_rule, by_name = parse_windows(texts, local_zone(ruled)), parse_windows(texts, NEW_YORK)
    for day in (datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)):
        at = day.timestamp()
        for _ in range(12):
            assert by_rule.next_change(at) == by_name.next_change(at)
            at = by_name.next_change(at)
            assert by_rule.at(at) == by_name.at(at)
