from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chunkdl.batch.choosing import choose
from chunkdl.batch.job import Job, JobKind, JobState, Task, Wish


def job(name, priority=0, kind=JobKind.FETCH):
    wish = Wish(Task(name, kind), priority=priority)
    return Job(name, wish, JobState.WAITING, 0.0)


def running(*jobs):
    return {each.id: each for each in jobs}


def names(jobs):
    return [each.id for each in jobs]


def test_the_most_urgent_fill_the_places():
    moves = choose([job("a"), job("b"), job("c"), job("d")], running(job("r")), at_once=3)
    assert (moves.stop, names(moves.start)) == ((), ["a", "b"])


def test_a_full_house_of_equals_is_left_alone():
    moves = choose([job("a")], running(job("r"), job("s")), at_once=2)
    assert (moves.stop, moves.start) == ((), ())


def test_all_of_lower_priority_make_room_even_where_there_is_a_place():
    moves = choose([job("urgent", 5), job("late")], running(job("r"), job("s", 5)), at_once=3)
    assert (moves.stop, names(moves.start)) == (("r",), ["urgent"]), (
        "the late one waits beside the one that was stopped"
    )


def test_a_mirror_test_has_the_link_for_itself():
    test = job("test", kind=JobKind.MIRRORS_TEST)
    assert choose([test, job("a")], running(job("r"))).stop == ("r",)
    assert names(choose([test, job("a")], running(job("r"))).start) == ["test"]
    assert choose([job("a", 9)], running(test)).start == (), "it is short, whatever waits"


def test_a_mirror_test_waits_for_what_is_more_urgent():
    test = job("test", kind=JobKind.MIRRORS_TEST)
    assert choose([test], running(job("r", 1))).start == ()
    assert names(choose([job("a", 1), test], {}).start) == ["a"]


def test_what_has_failed_stops_nobody_and_takes_a_free_place():
    failing = replace(job("failing", 9), failures=3)
    assert choose([failing], running(job("r"), job("s"), job("t"))) == choose([], {})
    moves = choose([failing, job("a")], running(job("r")))
    assert (moves.stop, names(moves.start)) == ((), ["failing", "a"])
    moves = choose([failing, job("urgent", 5)], running(job("r")))
    assert (moves.stop, names(moves.start)) == (("r",), ["failing", "urgent"])


def test_the_less_urgent_begin_when_the_urgent_one_has_a_plan():
    waiting, at_work = [job("a"), job("b")], running(job("urgent", 5))
    assert choose(waiting, at_work, unplanned_s={"urgent": 19.0}).start == ()
    assert names(choose(waiting, at_work).start) == ["a", "b"]
    assert names(choose([job("urgent", 5), *waiting], {}).start) == ["urgent"], "not together with it either"


def test_one_that_finds_no_plan_is_not_waited_for_for_ever():
    at_work = running(job("silent", 5))
    assert names(choose([job("a")], at_work, unplanned_s={"silent": 21.0}).start) == ["a"]
    failing = running(replace(job("failing", 5), failures=1))
    assert names(choose([job("a")], failing, unplanned_s={"failing": 1.0}).start) == ["a"]


jobs = st.lists(st.integers(-2, 2), max_size=6)


@given(jobs, jobs, st.integers(1, 4))
def test_it_settles_with_the_most_urgent_running(waiting, running_now, at_once):
    """Looked at again and again, as the runner does, it rests with nobody less urgent in a better one's place."""
    at_work = running(*(job(f"r{number}", priority) for number, priority in enumerate(running_now[:at_once])))
    queue = [job(f"w{number}", priority) for number, priority in enumerate(waiting)]
    for _ in range(20):
        moves = choose(sorted(queue, key=lambda each: -each.wish.priority), at_work, at_once)
        if not moves.stop and not moves.start:
            break
        queue += [at_work.pop(each) for each in moves.stop]
        queue = [each for each in queue if each not in moves.start]
        at_work |= running(*moves.start)
    else:
        raise AssertionError("it never comes to rest")
    assert len(at_work) <= at_once
    assert not queue or len(at_work) == at_once
    assert max((each.wish.priority for each in queue), default=-9) <= min(
        (each.wish.priority for each in at_work.values()), default=9
    )
