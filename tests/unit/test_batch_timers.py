import plistlib
import shlex
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chunkdl.batch.openings import Opening, openings, openings_here
from chunkdl.batch.timer_environment import kept_environment
from chunkdl.batch.timers import (
    Starting,
    calendar,
    cron_lines,
    launchd_list,
    schtasks_lines,
    service_unit,
    timer_unit,
)
from chunkdl.core.windows import parse_windows

SHANGHAI, NEW_YORK, BERLIN = map(ZoneInfo, ("Asia/Shanghai", "America/New_York", "Europe/Berlin"))
NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
WEEKDAYS = (0, 1, 2, 3, 4)
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
RUN = Starting(("/usr/bin/python3", "-P", "-m", "chunkdl", "batch", "run"))


def of(*texts, zone=UTC):
    return parse_windows(texts, zone)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["22:30-07:00"], [Opening(1350, EVERY_DAY)]),
        (["Mon-Fri 22:30-07:00", "Sat,Sun 00:00-24:00"], [Opening(1350, WEEKDAYS)]),
        (["Mon-Fri 01:00-06:00", "Sun 13:00-18:00"], [Opening(60, WEEKDAYS), Opening(780, (6,))]),
        (["Sun 22:00-06:00", "Mon 06:00-08:00"], [Opening(1320, (6,))]),
        (["01:00-03:00", "02:00-04:00"], [Opening(60, EVERY_DAY)]),
        ([], []),
        (["00:00-24:00"], []),
    ],
)
def test_a_start_is_where_something_closed_opens(texts, found):
    assert list(openings(of(*texts))) == found


def test_by_another_clock_the_day_may_be_another():
    assert openings_here(of("Mon 02:00-06:00", zone=SHANGHAI), UTC, NOW) == (Opening(18 * 60, (6,)),)
    assert openings_here(of("22:30-07:00", zone=SHANGHAI), SHANGHAI, NOW) == (Opening(1350, EVERY_DAY),)


def test_where_clocks_change_on_different_days_the_earliest_time_is_taken():
    """22:30 in Berlin is 16:30 in New York, or 17:30 for some weeks; 02:00 in Shanghai is 13:00 or 14:00 there."""
    assert openings_here(of("22:30-07:00", zone=BERLIN), NEW_YORK, NOW) == (Opening(990, EVERY_DAY),)
    assert openings_here(of("Mon 02:00-06:00", zone=SHANGHAI), NEW_YORK, NOW) == (Opening(13 * 60, (6,)),)
    assert openings_here(of("Mon 00:30-06:00", zone=UTC), BERLIN, NOW) == (Opening(90, (0,)),)


def test_the_calendar_names_days_and_zone():
    found = (Opening(60, WEEKDAYS), Opening(780, (6,)))
    assert calendar(found, "Asia/Shanghai") == [
        "Mon,Tue,Wed,Thu,Fri *-*-* 01:00:00 Asia/Shanghai",
        "Sun *-*-* 13:00:00 Asia/Shanghai",
    ]
    assert calendar((Opening(1350, EVERY_DAY),), None) == ["*-*-* 22:30:00"]
    assert calendar((), "Asia/Shanghai") == ["hourly"]


def test_the_timer_makes_up_for_a_missed_start():
    unit = timer_unit((Opening(1350, EVERY_DAY),), None).splitlines()
    assert "Persistent=true" in unit
    assert "RandomizedDelaySec=5min" in unit


def test_the_service_escapes_what_systemd_would_read():
    hostile = Starting(("/opt/my $tools/python", "100%", "a$b", 'say "x"'), {"HF_HOME": '/srv/50%/"q" $x'})
    unit = service_unit(hostile).splitlines()
    assert r'ExecStart="/opt/my $tools/python" 100%% a$$b "say \"x\""' in unit
    assert r'Environment="HF_HOME=/srv/50%%/\"q\" $x"' in unit
    assert "SuccessExitStatus=20 21 143" in unit


def test_cron_counts_days_from_sunday_and_fears_percent_signs():
    start = Starting(("/my tools/python", "-P"), {"HF_HOME": "/srv/50%"})
    (first, second) = cron_lines((Opening(1350, WEEKDAYS), Opening(780, (0, 6))), start)
    assert first.startswith("30 22 * * 1,2,3,4,5 ")
    assert second.startswith("0 13 * * 0,1 ")
    command = first.split(" ", 5)[5]
    assert shlex.split(command.replace(r"\%", "%")) == ["env", "HF_HOME=/srv/50%", "/my tools/python", "-P"]
    assert cron_lines((Opening(5, EVERY_DAY),), RUN) == ["5 0 * * * /usr/bin/python3 -P -m chunkdl batch run"]
    assert cron_lines((), RUN)[0].startswith("0 * * * * ")


def test_the_property_list_reads_back():
    start = Starting(("/usr/bin/python3", "<&>"), {"HF_HOME": "/srv/a & b"})
    values = plistlib.loads(launchd_list((Opening(1350, (0, 6)), Opening(60, EVERY_DAY)), start).encode())
    assert values["ProgramArguments"] == ["/usr/bin/python3", "<&>"]
    assert values["EnvironmentVariables"] == {"HF_HOME": "/srv/a & b"}
    assert values["StartCalendarInterval"] == [
        {"Weekday": 1, "Hour": 22, "Minute": 30},
        {"Weekday": 0, "Hour": 22, "Minute": 30},
        {"Hour": 1, "Minute": 0},
    ]
    assert plistlib.loads(launchd_list((), RUN).encode())["StartCalendarInterval"] == [{"Minute": 0}]


def test_windows_gets_a_task_for_each_time():
    first, second = schtasks_lines(
        (Opening(1350, WEEKDAYS), Opening(60, EVERY_DAY)), Starting((r"C:\my py\python.exe",))
    )
    assert first.startswith('schtasks /Create /TN "chunkdl batch" /SC WEEKLY /D MON,TUE,WED,THU,FRI /ST 22:30 /TR ')
    assert first.endswith(r' "\"C:\my py\python.exe\""')
    assert '/TN "chunkdl batch 2" /SC DAILY /ST 01:00' in second
    assert "/SC HOURLY" in schtasks_lines((), RUN)[0]


def test_the_run_gets_what_the_shell_had_but_no_secret():
    environ = {
        "HF_HOME": "models/hf",
        "HF_HUB_CACHE": "~/hub",
        "HF_ENDPOINT": "https://hf-mirror.com",
        "HTTPS_PROXY": "http://user:secret@proxy:3128",
        "http_proxy": "http://proxy:3128",
        "HF_TOKEN": "hf_secret",
        "HOME": "/home/x",
        "CHUNKDL_MIRRORS": "",
        "TORCH_HOME": "/a\nb",
    }
    kept, (notice,) = kept_environment(environ, Path("/srv"))
    assert kept == {
        "HF_HOME": "/srv/models/hf",
        "HF_HUB_CACHE": "~/hub",
        "HF_ENDPOINT": "https://hf-mirror.com",
        "http_proxy": "http://proxy:3128",
    }
    for name in ("HF_TOKEN", "HTTPS_PROXY", "TORCH_HOME"):
        assert name in notice.message
    assert "secret@" not in notice.message
    assert "hf_secret" not in notice.message
    assert kept_environment({}, Path("/srv")) == ({}, ())
