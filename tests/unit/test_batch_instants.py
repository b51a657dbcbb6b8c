from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.instants import instant_of, since, spell_instant, spell_near
from chunkdl.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 15, 30, tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("yesterday", datetime(2026, 11, 21, tzinfo=BERLIN)),
        ("today", datetime(2026, 11, 22, tzinfo=BERLIN)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=BERLIN)),
        ("2026-11-21 22:00", datetime(2026, 11, 21, 22, tzinfo=BERLIN)),
        ("2026-11-21T22:00+00:00", datetime(2026, 11, 21, 22, tzinfo=UTC)),
        ("12h", datetime(2026, 11, 22, 3, 30, tzinfo=BERLIN)),
        (" 3D ", datetime(2026, 11, 19, 15, 30, tzinfo=BERLIN)),
        ("1w", datetime(2026, 11, 15, 15, 30, tzinfo=BERLIN)),
        ("90m", datetime(2026, 11, 22, 14, 0, tzinfo=BERLIN)),
    ],
)
def test_a_report_begins_where_people_say(text, means):
    assert since(text, NOW, BERLIN) == means.timestamp()


@pytest.mark.parametrize("text", ["", "nevr", "12", "h", "2026-13-01", "2026-11-23", "-3h", "99999999999h"])
def test_what_is_no_time_or_still_to_come_is_refused(text):
    with pytest.raises(UsageError, match="--since"):
        since(text, NOW, BERLIN)


def test_yesterday_is_a_day_of_the_calendar_where_the_clock_is_changed():
    after = datetime(2026, 3, 29, 12, tzinfo=BERLIN).timestamp()
    assert since("today", after, BERLIN) == datetime(2026, 3, 29, tzinfo=BERLIN).timestamp()
    monday = datetime(2026, 3, 30, 0, 30, tzinfo=BERLIN).timestamp()
    assert monday - since("yesterday", monday, BERLIN) == 23.5 * 3600


def test_a_day_is_its_midnight_by_the_clock_of_the_zone():
    assert instant_of(date(2026, 11, 22), BERLIN) == instant_of("2026-11-22 00:00", BERLIN)
    with pytest.raises(UsageError, match="no date and time"):
        instant_of("soon", BERLIN)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31 23:59-12:00", "1969-12-31"])
def test_what_other_zones_could_not_spell_is_no_date(text):
    with pytest.raises(UsageError, match="no date and time"):
        instant_of(text, BERLIN)


@pytest.mark.parametrize(
    ("when", "spelt"),
    [
        (datetime(2026, 11, 22, 7, tzinfo=BERLIN), "07:00"),
        (datetime(2026, 11, 23, 7, tzinfo=BERLIN), "Mon 07:00"),
        (datetime(2026, 11, 17, 23, 59, tzinfo=BERLIN), "Tue 23:59"),
        (datetime(2026, 11, 29, 7, tzinfo=BERLIN), "2026-11-29 07:00"),
    ],
)
def test_near_times_are_short(when, spelt):
    assert spell_near(when.timestamp(), NOW, BERLIN) == spelt
    assert spell_instant(when.timestamp(), BERLIN) == when.strftime("%Y-%m-%d %H:%M")
