"""What follows from failures: back-off to the exact time, exclusion, giving up, second chances."""

import pytest
from scheduler_stage import Stage, first_time

from chunkdl.core import events as ev
from chunkdl.model import MIB, ByteRange


def exhausted(stage, until):
    """Refuse every connection until ``until``; returns what was said, with times."""
    timed = []
    while stage.now < until:
        for lease in list(stage.live):
            timed += [(stage.now, each) for each in stage.fail(lease)]
        timed += stage.run(min(until, stage.now + 0.5))
    return timed


@pytest.mark.parametrize(("jitter", "rest_s"), [(0.0, 0.5), (1.0, 1.0)])
def test_the_first_failure_rests_half_a_second_to_a_second(jitter, rest_s):
    stage = Stage("a", start_connections=1, jitter=jitter)
    stage.file(1000)
    assert stage.fail(1, at=10.0) == []
    assert stage.scheduler.next_deadline() == pytest.approx(10.0 + rest_s)
    assert stage.tell(ev.DeadlineReached(), at=10.0 + rest_s - 0.01) == []
    assert [each.lease for each in stage.opened(stage.tell(ev.DeadlineReached(), at=10.0 + rest_s))] == [2]


def test_back_off_doubles_and_one_stored_byte_forgives_all():
    stage = Stage("a", "b", start_connections=1, host_cap=1, jitter=1.0)
    stage.file(100 * MIB, "b")
    stage.accept(1, at=0.0)
    stage.file(1000, "a", at=0.0)
    rests = []
    for lease in (2, 3, 4):
        stage.received[1] += 1000  # others progress: our link is fine
        failed_at = stage.now
        stage.fail(lease, at=failed_at)
        while lease + 1 not in stage.live:
            stage.received[1] += 1000
            stage.tell(ev.DeadlineReached(), at=stage.now + 0.25)
        rests.append(stage.now - failed_at)
    assert rests == [1.0, 2.0, 4.0]
    stage.accept(5)
    stage.received[5] = 10
    stage.tell(ev.DeadlineReached(), at=stage.now + 0.1)
    assert stage.scheduler.job.mirrors["a"].standing.failures == 0


def test_connections_that_fail_together_count_once():
    stage = Stage("a", start_connections=4)
    stage.file(100 * MIB)
    for lease in (1, 2, 3, 4):
        stage.fail(lease, at=1.0)
    assert stage.scheduler.job.mirrors["a"].standing.failures == 1
    assert stage.host("a.example:443").errors == 4


def test_retry_after_is_obeyed_to_the_second_and_running_leases_go_on():
    stage = Stage("a", start_connections=2)
    stage.file(100 * MIB)
    stage.accept(1, at=0.1)
    assert stage.end(ev.LeaseThrottled(2, 7.0, "429"), at=1.0) == []
    assert stage.host("a.example:443").connections == 1
    timed = stage.run(7.9, {1: 1000.0})
    assert first_time(timed, ev.OpenLease) is None
    assert stage.scheduler.job.hosts["a.example:443"].controller.limit == 1  # one worked, two were too many


def test_a_sole_throttled_mirror_is_asked_again_when_it_said():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    stage.end(ev.LeaseThrottled(1, 300.0, "429"), at=1.0)
    assert first_time(stage.run(302.0), ev.OpenLease) == pytest.approx(301.0)
    assert not stage.failed()  # a wait that was asked for is no lack of progress


def test_a_retry_after_of_nothing_does_not_buy_endless_attempts():
    stage = Stage("a", start_connections=1, no_progress_s=60.0)
    stage.file(1000)
    attempts = 0
    while not stage.failed() and stage.now < 300.0:
        for lease in list(stage.live):
            attempts += 1
            stage.end(ev.LeaseThrottled(lease, 0.0, "429"))
        stage.run(stage.now + 0.5)
    assert stage.failed()
    assert attempts < 130


def test_sources_that_wait_for_each_other_do_not_wait_for_ever():
    """The only ranged source lied here, the other has no ranges: each would be left to the other."""
    stage = Stage("liar", "plain", start_connections=1)
    stage.file(4 * MIB, "liar")
    stage.accept(1, at=0.1)
    stage.finish(1, at=0.5)
    stage.scheduler.job.mirrors["plain"].streams_only = True
    stage.tell(ev.SourceAdded(0, "plain"), at=0.6)
    said = stage.tell(ev.RangesRejected(0, (ByteRange(0, 4 * MIB),), avoid=("liar.example:443",)), at=1.0)
    assert [(each.mirror, each.whole) for each in stage.opened(said)] == [("plain", True)]


def test_after_a_failure_one_probe_goes_before_the_rest():
    stage = Stage("a", start_connections=4)
    stage.file(100 * MIB)
    for lease in (1, 2, 3, 4):
        stage.fail(lease, at=1.0)
    assert len(stage.opened(stage.tell(ev.DeadlineReached(), at=2.0))) == 1
    stage.accept(5, at=2.1)
    stage.received[5] += 1000
    assert len(stage.opened(stage.tell(ev.DeadlineReached(), at=2.5))) == 3


def test_a_file_that_one_mirror_lacks_comes_from_another():
    stage = Stage("a", "b", start_connections=1)
    stage.file(1000)
    said = stage.end(ev.LeaseRefused(1, final=True, reason="404 Not Found"), at=0.2)
    assert [each.mirror for each in stage.opened(said)] == ["b"]


def test_a_file_that_everybody_refuses_fails_at_once_with_reasons():
    stage = Stage("a", "b", start_connections=1)
    stage.file(1000)
    stage.seal()
    stage.end(ev.LeaseRefused(1, final=True, reason="404 Not Found"), at=0.2)
    said = stage.end(ev.LeaseRefused(2, final=True, reason="403 Forbidden"), at=0.4)
    assert stage.failed(said) == [ev.FailFile(0, ("a: 404 Not Found", "b: 403 Forbidden"))]


def test_before_the_job_is_sealed_a_late_source_gets_two_seconds_to_appear():
    stage = Stage("a", "b", start_connections=1)
    stage.file(1000, "a")
    stage.end(ev.LeaseRefused(1, final=True, reason="404"), at=1.0)
    assert first_time(stage.run(2.5), ev.FailFile) is None
    assert len(stage.opened(stage.tell(ev.SourceAdded(0, "b")))) == 1


def test_without_a_late_source_the_file_fails_after_two_seconds():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    stage.end(ev.LeaseRefused(1, final=True, reason="404"), at=1.0)
    assert first_time(stage.run(5.0), ev.FailFile) == pytest.approx(3.0, abs=0.3)


def test_a_late_source_is_waited_for_while_mirrors_are_asked():
    stage = Stage("a", start_connections=1)
    stage.tell(ev.MirrorsAsked(begun=True), at=0.0)
    stage.file(1000)
    stage.end(ev.LeaseRefused(1, final=True, reason="404"), at=1.0)
    assert stage.failed([each for _, each in stage.run(18.0)]) == []
    stage.mirror("b")
    said = stage.tell(ev.SourceAdded(0, "b"))
    assert [each.mirror for each in stage.opened(said)] == ["b"]


@pytest.mark.parametrize(("answered_at", "failed_at"), [(9.0, 9.0), (None, 20.0)])
def test_nobody_is_waited_for_once_all_are_asked_or_the_time_for_it_is_over(answered_at, failed_at):
    stage = Stage("a", start_connections=1)
    stage.tell(ev.MirrorsAsked(begun=True), at=0.0)
    stage.file(1000)
    timed = [(1.0, each) for each in stage.end(ev.LeaseRefused(1, final=True, reason="404"), at=1.0)]
    if answered_at is not None:
        timed += stage.run(answered_at - 0.1)
        timed += [(answered_at, each) for each in stage.tell(ev.MirrorsAsked(begun=False), at=answered_at)]
    timed += stage.run(40.0)
    assert first_time(timed, ev.FailFile) == pytest.approx(failed_at, abs=1.1)


def test_a_source_that_asked_for_time_and_then_refused_is_not_waited_for():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    stage.end(ev.LeaseThrottled(1, 300.0, "429"), at=0.5)
    stage.run(301.0)
    stage.end(ev.LeaseRefused(2, final=True, reason="404"), at=301.0)
    assert first_time(stage.run(330.0), ev.FailFile) == pytest.approx(303.0, abs=1.1)


def test_a_failure_names_what_happened_last_and_not_what_was_long_over():
    stage = Stage("a", start_connections=1, host_cap=1, probe_bytes=400 * MIB)
    stage.file(4000 * MIB)
    stage.end(ev.LeaseThrottled(1, 1.0, "answered HTTP 503"), at=0.5)
    stage.run(3.0)
    stage.accept(2)
    stage.run(20.0, {2: 1e6})
    while not stage.failed() and stage.now < 1000.0:
        for _, each in stage.run(stage.now + 0.5):
            if isinstance(each, ev.CancelLease):
                stage.end(ev.LeaseCancelled(each.lease, 0))
                stage.accept(*stage.live)
    assert [each.reasons for each in stage.failed()] == [("a: silent for 128 s",)]


def test_a_dead_sole_source_is_given_up_after_the_budget():
    stage = Stage("a", start_connections=1, no_progress_s=60.0)
    stage.file(1000)
    when = first_time(exhausted(stage, 200.0), ev.FailFile)
    assert 55.0 < when < 95.0
    assert stage.failed()[0].reasons == ("a: connection refused",)


def test_files_that_never_had_their_turn_fall_with_their_only_source():
    stage = Stage("a", start_connections=1, no_progress_s=60.0)
    for _ in range(50):
        stage.file(1000)
    exhausted(stage, 150.0)
    assert len(stage.failed()) == 50


def test_progress_resets_the_budget():
    stage = Stage("a", start_connections=1, no_progress_s=60.0, jitter=1.0)
    stage.file(100 * MIB)
    for _ in range(40):  # a byte a lease, then a reset: slow, but never in vain
        lease = next(iter(stage.live), None)
        if lease is not None:
            stage.accept(lease)
            stage.received[lease] += 1
            stage.end(ev.LeaseCutShort(lease, stage.received[lease], "reset"))
        stage.run(stage.now + 5.0)
    assert stage.now > 150.0
    assert not stage.failed()


def test_waiting_for_a_turn_spends_nothing():
    stage = Stage("a", "dead", start_connections=1, host_cap=1, no_progress_s=30.0)
    stage.file(400 * MIB, "a")
    stage.file(1000, "a", "dead")
    stage.accept(1)
    for _ in range(20):
        for lease in [n for n, each in stage.live.items() if each.mirror == "dead"]:
            stage.fail(lease)
        stage.run(stage.now + 10.0, {1: 10000.0})
    assert not stage.failed()


def test_three_broken_answers_make_a_host_the_last_choice():
    stage = Stage("odd", "good", start_connections=1)
    for _ in range(4):
        stage.file(100 * MIB, "odd", "good")
    for _ in range(3):
        lease = next(n for n, each in stage.live.items() if each.mirror == "odd")
        stage.end(ev.LeaseMisbehaved(lease, stage.received[lease], "wrong total"))
        stage.run(stage.now + 40.0)
    assert "odd" not in [each.mirror for each in stage.live.values()]
    stage.file(1000, "odd")
    stage.run(stage.now + 40.0)
    assert "odd" in [each.mirror for each in stage.live.values()]  # where nobody else has it, it may try


def test_an_excluded_host_loses_its_leases_and_gets_none():
    stage = Stage("liar", "good", start_connections=2)
    stage.file(400 * MIB)
    theirs = [n for n, each in stage.live.items() if each.mirror == "liar"]
    assert stage.cancelled(stage.tell(ev.HostExcluded("liar.example:443", "wrong bytes"), at=1.0)) == theirs
    for lease in theirs:
        stage.end(ev.LeaseCancelled(lease, stage.received[lease]), at=1.1)
    stage.run(100.0, dict.fromkeys(stage.live, 1000.0))
    assert {each.mirror for each in stage.live.values()} == {"good"}
    assert stage.host("liar.example:443").state == "excluded"


def test_a_file_with_liars_only_fails_and_says_why():
    stage = Stage("liar", start_connections=1)
    stage.file(1000)
    stage.seal()
    stage.tell(ev.HostExcluded("liar.example:443", "wrong bytes"), at=1.0)
    stage.end(ev.LeaseCancelled(1, 0), at=1.1)
    stage.run(4.0)
    assert stage.failed()[0].reasons == ("liar: wrong bytes",)


def test_rejected_bytes_come_from_another_host():
    stage = Stage("liar", "good", start_connections=1)
    stage.file(4 * MIB)
    stage.accept(1, at=0.1)
    assert stage.finish(1, at=0.5) == [ev.ProveFile(0)]
    said = stage.tell(ev.RangesRejected(0, (ByteRange(0, MIB),), avoid=("liar.example:443",)), at=1.0)
    assert [(each.mirror, each.range) for each in stage.opened(said)] == [("good", ByteRange(0, MIB))]
    stage.accept(2, at=1.1)
    assert stage.finish(2, at=1.5) == [ev.ProveFile(0)]


def test_rejected_bytes_come_from_the_same_host_if_there_is_no_other():
    stage = Stage("only", start_connections=1)
    stage.file(4 * MIB)
    stage.accept(1, at=0.1)
    stage.finish(1, at=0.5)
    said = stage.tell(ev.RangesRejected(0, (ByteRange(0, MIB),), avoid=("only.example:443",)), at=1.0)
    assert len(stage.opened(said)) == 1


def test_rejected_bytes_of_our_own_disk_blame_nobody():
    stage = Stage("a", start_connections=1)
    stage.file(8 * MIB, pending=(ByteRange(4 * MIB, 8 * MIB),))
    stage.tell(ev.RangesRejected(0, (ByteRange(0, MIB),)), at=0.5)
    stage.accept(1, at=0.6)
    said = stage.finish(1, at=1.0)
    assert [each.range for each in stage.opened(said)] == [ByteRange(0, MIB)]
    assert stage.scheduler.wasted_bytes == 0
    assert stage.host("a.example:443").errors == 0


def test_a_source_without_ranges_streams_alone_from_the_first_missing_byte():
    stage = Stage("plain", start_connections=4)
    stage.file(100 * MIB, pending=(ByteRange(10 * MIB, 100 * MIB),))
    said = []
    for lease in (1, 2, 3, 4):
        said += stage.end(ev.LeaseUnranged(lease, "plain.example:443"), at=0.2)
    streams = [each for each in stage.opened(said) if each.whole]
    assert [each.range for each in streams] == [ByteRange(10 * MIB, 100 * MIB)]


def test_a_source_without_ranges_is_not_asked_while_another_has_them():
    stage = Stage("plain", "ranged", start_connections=1)
    stage.file(100 * MIB)
    plain = next(n for n, each in stage.live.items() if each.mirror == "plain")
    stage.accept(*[n for n in stage.live if n != plain], at=0.1)
    stage.accept(plain, at=0.1, ranged=False)
    stage.finish(plain, at=0.5)
    stage.run(20.0, dict.fromkeys(stage.live, 1e6))
    assert not any(each.whole for each in stage.opened())
    assert [each.mirror for each in stage.opened()].count("plain") == 1


def test_a_lone_stream_is_restarted_whole_rather_than_in_pieces():
    stage = Stage("plain", start_connections=1)
    stage.file(100 * MIB)
    said = stage.accept(1, at=0.1, ranged=False)
    assert stage.cancelled(said) == [1]
    said = stage.end(ev.LeaseCancelled(1, 0), at=0.2)
    assert [(each.range, each.whole) for each in stage.opened(said)] == [(ByteRange(0, 100 * MIB), True)]


def test_a_story_tells_what_happened():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    stage.fail(1, at=1.5)
    assert [line.split("  ", 1)[1] for line in map(str.strip, stage.scheduler.story(0))] == [
        "added, 1000 of 1000 bytes pending, sources a",
        "lease 1 [0, 1000) to a at a.example:443: front",
        "lease 1 no answer: connection refused, 0 bytes",
    ]
    assert stage.scheduler.story(99) == []
