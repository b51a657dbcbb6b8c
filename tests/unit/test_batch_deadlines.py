from dataclasses import replace
from datetime import UTC

import pytest

from chunkdl.batch.deadlines import Late, Warned, late, passing_bytes
from chunkdl.batch.job import Job, JobState, Task, Wish
from chunkdl.batch.policy import PolicyText, policy_of

MIDNIGHT, HOUR_S = 1_790_000_000 // 86_400 * 86_400.0, 3600.0
NIGHT = policy_of(PolicyText(windows=("22:00-06:00",), bwlimit="00:00,500B 04:00,off", time_zone="UTC"), UTC)


def job(name, total, deadline=None, done=0):
    return Job(name, Wish(Task(name), 0, deadline), JobState.WAITING, 0.0, total_bytes=total, done_bytes=done)


def test_what_windows_and_limits_let_through():
    stops = [MIDNIGHT, MIDNIGHT + 2 * HOUR_S, MIDNIGHT + 5 * HOUR_S, MIDNIGHT + 12 * HOUR_S]
    passing = passing_bytes(NIGHT, 1000.0, MIDNIGHT, stops)
    hour = 1000 * HOUR_S
    assert list(passing.values()) == [0.0, 2 * hour / 2, 4 * hour / 2 + hour, 4 * hour / 2 + 2 * hour]


@pytest.mark.parametrize("hours", [0.5, 4.0, 5.5, 23.0, 30.0])
def test_one_pass_for_all_finds_what_one_for_each_does(hours):
    stops = [MIDNIGHT + each * HOUR_S for each in (1.0, hours, 40.0)]
    alone = passing_bytes(NIGHT, 900.0, MIDNIGHT, [stops[1]])
    assert passing_bytes(NIGHT, 900.0, MIDNIGHT, stops)[stops[1]] == pytest.approx(alone[stops[1]])


def test_nobody_is_warned_of_what_lies_too_far_ahead_to_be_added_up():
    hourly = policy_of(PolicyText(bwlimit=" ".join(f"{hour:02d}:00,{hour + 1}M" for hour in range(24))), UTC)
    far = MIDNIGHT + 300 * 86_400
    assert late([job("a", 1 << 60, far)], hourly, 1e9, MIDNIGHT) == []


def test_what_goes_first_counts_before_a_deadline():
    due = MIDNIGHT + HOUR_S  # half of 1000 bytes a second until then
    jobs = [job("first", 1_500_000, done=500_000), job("due", 1_000_000, due), job("unknown", 0, due)]
    (found,) = late(jobs, NIGHT, 1000.0, MIDNIGHT)
    assert (found.job.id, found.missing_bytes) == ("due", 200_000)
    assert late(jobs, NIGHT, 0.0, MIDNIGHT) == []


def test_a_late_job_is_told_once_and_again_when_it_is_much_worse():
    warned, first = Warned(), Late(job("a", 9, 1.0), 100)
    assert warned.news([first]) == [first]
    assert warned.news([replace(first, missing_bytes=140)]) == []
    worse = replace(first, missing_bytes=160)
    assert warned.news([worse]) == [worse]
    assert warned.news([replace(first, missing_bytes=200)]) == []
    assert warned.news([]) == []
    assert warned.news([first]) == [first]
