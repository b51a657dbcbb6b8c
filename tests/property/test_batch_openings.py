"""Whatever the windows and the clocks: a scheduler that knows only the machine's clock never starts too late."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from chunkdl.batch.openings import openings, openings_here
from chunkdl.core.week_schedule import DAY_MINUTES, WEEK_MINUTES
from chunkdl.core.windows import DAYS, parse_windows

ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Africa/Cairo",
    ]
).map(ZoneInfo)
QUARTERS = st.integers(0, 95).map(lambda each: f"{each // 4:02d}:{each % 4 * 15:02d}")


DAYS_SAID = st.sampled_from(["", "Mon ", "Sat,Sun ", "Mon-Fri ", "Fri-Mon "])
WINDOWS = st.tuples(DAYS_SAID, QUARTERS, QUARTERS).filter(lambda each: each[1] != each[2])


TEXTS = st.lists(WINDOWS.map(lambda each: f"{each[0]}{each[1]}-{each[2]}"), min_size=1, max_size=3)
# 2026 to 2030
INSTANTS = st.integers(1_767_225_600, 1_893_456_000).map(float)


@given(TEXTS, ZONES, ZONES, INSTANTS)
def test_every_opening_has_a_start_at_most_three_hours_before(texts, zone, here, now):
    schedule = parse_windows(texts, zone)
    starts = [day * DAY_MINUTES + each.minute for each in openings_here(schedule, here, now) for day in each.days]
    at = now
    for _ in range(30):
        change = schedule.next_change(at)
        if change is None:
            assert starts == []
            return
        at = change
        if schedule.at(at):
            local = datetime.fromtimestamp(at, here)
            minute = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
            early = min((minute - each) % WEEK_MINUTES for each in starts)
            assert early <= 180, (texts, local, starts)


@given(TEXTS, ZONES, INSTANTS)
def test_by_the_same_clock_starts_are_the_openings(texts, zone, now):
    schedule = parse_windows(texts, zone)
    assert openings_here(schedule, zone, now) == openings(schedule)


@given(TEXTS)
def test_each_start_opens_what_was_closed_a_minute_before(texts):
    schedule = parse_windows(texts, UTC)
    monday = datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    for each in openings(schedule):
        assert set(each.days) <= set(range(len(DAYS)))
        for day in each.days:
            at = monday + (day * DAY_MINUTES + each.minute) * 60
            assert schedule.at(at)
            assert not schedule.at(at - 60)
