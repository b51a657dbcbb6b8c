from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chunkdl.core.timetable import parse_timetable
from chunkdl.core.windows import DAYS, parse_windows
from chunkdl.errors import UsageError

# Berlin and New York change by an hour, Lord Howe by half of one, Apia skipped a whole day in 2011, Kolkata and
# Shanghai stand still; Troll changes by two hours.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "Antarctica/Troll")
MINUTE = timedelta(minutes=1)


def clock_text(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


windows = st.builds(
    lambda days, start, stop: (tuple(sorted(days)), start, stop),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
).filter(lambda window: window[1] != window[2])
zones = st.sampled_from(ZONES).map(ZoneInfo)
# Around the changes of the clock of 2011 and 2026, and elsewhere.
instants = st.one_of(
    st.sampled_from([1325203200, 1774746000, 1792890000, 1775316600, 1791041400, 1774854000]).flatmap(
        lambda at: st.integers(at - 90_000, at + 90_000)
    ),
    st.integers(1_300_000_000, 1_900_000_000),
)


def text_of(window):
    days, start, stop = window
    return f"{','.join(DAYS[day] for day in days)} {clock_text(start)}-{clock_text(stop)}"


def shows(window, local):
    """By the plain meaning of the words: today's window, or the rest of yesterday's."""
    days, start, stop = window
    minute = local.hour * 60 + local.minute
    if start < stop:
        return local.weekday() in days and start <= minute < stop
    return (local.weekday() in days and minute >= start) or ((local.weekday() - 1) % 7 in days and minute < stop)


def minutes_from(instant, zone, count):
    first = datetime.fromtimestamp(instant, UTC)
    return [(first + step * MINUTE).astimezone(zone) for step in range(count)]


@given(st.lists(windows, min_size=1, max_size=3), zones, instants)
def test_open_is_what_the_clock_on_the_wall_says(chosen, zone, instant):
    schedule = parse_windows([text_of(each) for each in chosen], zone)
    local = datetime.fromtimestamp(instant, zone)
    assert schedule.at(instant) == any(shows(each, local) for each in chosen)


@settings(max_examples=60, deadline=None)
@given(st.lists(windows, min_size=1, max_size=3), zones, instants)
def test_the_next_change_is_the_first_minute_that_differs(chosen, zone, instant):
    instant -= instant % 60
    schedule = parse_windows([text_of(each) for each in chosen], zone)
    now = schedule.at(instant)
    change = schedule.next_change(instant)
    looked = minutes_from(instant, zone, 3 * 24 * 60)  # three days of minutes; later changes are judged by the rest
    first = next((each for each in looked if any(shows(w, each) for w in chosen) != now), None)
    if first is not None:
        assert change == first.timestamp()
    else:
        assert change is None or change > looked[-1].timestamp()
    if change is not None:
        assert schedule.at(change) != now
        assert schedule.at(change - 1) == now


@given(zones, instants)
def test_no_window_is_always_open_and_never_changes(zone, instant):
    schedule = parse_windows([], zone)
    assert schedule.at(instant)
    assert schedule.next_change(instant) is None


def test_windows_that_fill_the_week_never_change():
    schedule = parse_windows(["Mon-Fri 00:00-24:00", "Sat,Sun 00:00-24:00"], ZoneInfo("Asia/Shanghai"))
    assert schedule.next_change(1_790_000_000) is None


def test_a_window_that_the_clock_skips_does_not_open_that_day():
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_windows(["02:10-02:50"], zone)
    saturday = datetime(2026, 3, 28, 12, tzinfo=zone).timestamp()
    assert datetime.fromtimestamp(schedule.next_change(saturday), zone) == datetime(2026, 3, 30, 2, 10, tzinfo=zone)


def test_a_window_over_a_skipped_start_opens_when_the_clock_has_jumped():
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_windows(["02:30-05:00"], zone)
    before = datetime(2026, 3, 29, 1, 0, tzinfo=zone).timestamp()
    assert datetime.fromtimestamp(schedule.next_change(before), zone) == datetime(2026, 3, 29, 3, 0, tzinfo=zone)


def test_a_repeated_hour_is_open_twice():
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_windows(["02:00-03:00"], zone)
    at = datetime(2026, 10, 25, 2, 0, tzinfo=zone).timestamp()
    assert schedule.at(at)
    assert schedule.next_change(at) - at == 2 * 3600


def test_a_repeated_start_opens_again():
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_windows(["02:30-05:00"], zone)
    at = datetime(2026, 10, 25, 2, 45, tzinfo=zone).timestamp()
    closes = schedule.next_change(at)
    opens = schedule.next_change(closes)
    assert (closes - at, opens - closes) == (15 * 60, 30 * 60)


def test_a_weekly_window_that_is_skipped_opens_in_the_week_that_follows():
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_windows(["Sun 02:10-02:50"], zone)
    at = datetime(2026, 3, 22, 3, 0, tzinfo=zone).timestamp()
    assert datetime.fromtimestamp(schedule.next_change(at), zone) == datetime(2026, 4, 5, 2, 10, tzinfo=zone)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a window"),
        ("Mon-Fri", "not a window"),
        ("25:00-07:00", "no time of the day"),
        ("22:30-22:30", "never open"),
        ("24:00-07:00", "never open"),
        ("22:60-23:00", "no time of the day"),
        ("24:01-24:30", "no time of the day"),
        ("Mo-Fr 22:30-07:00", "no day of the week"),
        ("Mon,, 22:30-07:00", "no day of the week"),
    ],
)
def test_what_is_no_window_is_refused(text, what):
    with pytest.raises(UsageError, match=what):
        parse_windows([text], UTC)


def test_days_may_go_round_the_week_and_be_spelt_out():
    schedule = parse_windows(["saturday-MON 10:00-11:00"], UTC)
    monday = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    opened = [schedule.at((monday + timedelta(days=day)).timestamp()) for day in range(7)]
    assert opened == [True, False, False, False, False, True, True]


entries = st.dictionaries(
    st.tuples(st.one_of(st.none(), st.integers(0, 6)), st.integers(0, 1439)),
    st.integers(1, 999),
    min_size=1,
    max_size=6,
)


def expanded(timetable):
    """Minute of the week → rate, entry by entry; None if two entries meet."""
    table = {}
    for (day, minute), rate in timetable.items():
        for each in [day] if day is not None else range(7):
            if each * 1440 + minute in table:
                return None
            table[each * 1440 + minute] = rate * 1024.0
    return table


@given(entries, zones, instants)
def test_the_last_entry_before_now_holds(timetable, zone, instant):
    table = expanded(timetable)
    text = " ".join(
        f"{'' if day is None else DAYS[day] + '-'}{clock_text(minute)},{rate}k"
        for (day, minute), rate in timetable.items()
    )
    if table is None:
        with pytest.raises(UsageError, match="two limits"):
            parse_timetable(text, zone)
        return
    local = datetime.fromtimestamp(instant, zone)
    now = local.weekday() * 1440 + local.hour * 60 + local.minute
    at = next(minute % 10080 for minute in range(now + 10080, now, -1) if minute % 10080 in table)
    assert parse_timetable(text, zone).at(instant) == table[at]


def test_rclones_own_examples():
    schedule = parse_timetable("08:00,512k 12:00,10M 13:00,512k 18:00,30M 23:00,off", UTC)
    changes = [datetime(2026, 11, 23, 0, 30, tzinfo=UTC).timestamp()]
    while len(changes) < 7:
        changes.append(schedule.next_change(changes[-1]))
    hours = [datetime.fromtimestamp(each, UTC).hour for each in changes]
    assert hours == [0, 8, 12, 13, 18, 23, 8]
    rates = [schedule.at(each) for each in changes]
    assert rates == [0, 512 << 10, 10 << 20, 512 << 10, 30 << 20, 0, 512 << 10]
    assert all(later > earlier for earlier, later in pairwise(changes))


def test_one_rate_alone_holds_always():
    schedule = parse_timetable("10M", UTC)
    assert schedule.at(0) == 10 << 20
    assert schedule.next_change(0) is None


@pytest.mark.parametrize(
    "text", ["", "08:00", "08:00,", "24:00,1M", "08:00,512", "Foo-08:00,1M", "08:00,10M:1M", "8 M"]
)
def test_what_is_no_timetable_is_refused(text):
    with pytest.raises(UsageError):
        parse_timetable(text, UTC)
