from chunkdl.batch.ending import ALL_DONE, SOME_PARKED, Mode, ending_of
from chunkdl.batch.job import Job, JobState, Task, Wish


def ending(**how):
    job = Job("a", Wish(Task("org/a"), every="0 3 * * *"), JobState.WAITING, 0.0, not_before=900.0, **how)
    return ending_of(Mode.ONCE, [job], 100.0, opened=True, until=None)


def test_a_recurring_job_that_came_is_done_until_its_next_time():
    assert (ending(exit_code=0).exit_code, ending(exit_code=0).parked) == (ALL_DONE, 0)
    assert ending(exit_code=None).exit_code == ALL_DONE  # it was never tried, or stopped


def test_a_recurring_job_that_will_only_fail_again_is_for_somebody_to_look_at():
    assert (ending(exit_code=3).exit_code, ending(exit_code=3).parked, ending(exit_code=3).left) == (SOME_PARKED, 1, 0)
