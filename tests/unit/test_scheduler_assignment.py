"""Which mirror gets which bytes: the rules of assignment, told as stories."""

from scheduler_stage import Stage

from chunkdl.core import events as ev
from chunkdl.model import MIB, ByteRange


def spans(leases):
    return [(each.mirror, each.range.start // MIB, each.range.stop // MIB) for each in leases]


def warm(stage, lease, rate, at, latency_s=0.2):
    """Let ``lease`` finish so that its host is known to give ``rate`` bytes/s a connection."""
    stage.accept(lease, at=at, latency_s=latency_s)
    seconds = (stage.stops[lease] - stage.received[lease]) / rate
    return stage.finish(lease, at=at + seconds)


def test_untried_mirrors_take_turns_from_the_front_with_probes():
    stage = Stage("a", "b", start_connections=2)
    assert spans(stage.opened(stage.file(100 * MIB))) == [
        ("a", 0, 4),
        ("b", 4, 8),
        ("a", 8, 12),
        ("b", 12, 16),
    ]


def test_higher_priority_goes_first_while_rates_are_unknown():
    stage = Stage(start_connections=1)
    stage.mirror("low", priority=0)
    stage.mirror("high", priority=5)
    assert [each.mirror for each in stage.opened(stage.file(100 * MIB))] == ["high", "low"]


def test_a_mirrors_own_cap_is_kept():
    stage = Stage(start_connections=4)
    stage.mirror("narrow", max_connections=1)
    assert len(stage.opened(stage.file(100 * MIB))) == 1


def test_a_known_connection_gets_ten_seconds_of_its_rate():
    stage = Stage("a", start_connections=1)
    stage.file(4000 * MIB)
    said = warm(stage, 1, rate=8 * MIB, at=0.1)
    assert spans(stage.opened(said)) == [("a", 4, 80)]  # 80 MiB, brought back to the 8 MiB grid


def test_where_round_trips_are_short_leases_are_too():
    stage = Stage("a", start_connections=1)
    stage.file(4000 * MIB)
    said = warm(stage, 1, rate=8 * MIB, at=0.1, latency_s=0.02)
    assert spans(stage.opened(said)) == [("a", 4, 12)]  # one second: fifty round trips


def test_near_the_end_a_connection_gets_half_of_what_is_left():
    stage = Stage("a", start_connections=1)
    stage.file(36 * MIB)
    said = warm(stage, 1, rate=4 * MIB, at=0.0)
    assert spans(stage.opened(said)) == [("a", 4, 16)]  # 32 MiB are left: 16, cut at the grid


def test_no_crumb_is_left_behind():
    stage = Stage("a", start_connections=1)
    said = stage.file(4 * MIB + 1000)
    assert [each.range for each in stage.opened(said)] == [ByteRange(0, 4 * MIB + 1000)]


def test_an_idle_round_trip_may_cost_an_eighth_of_a_lease():
    stage = Stage("a", start_connections=1)
    stage.file(8 * MIB)
    stage.accept(1, at=0.5, latency_s=0.5)
    said = stage.finish(1, at=1.5)  # 4 MiB/s with half a second of latency: all 4 MiB that are left
    assert spans(stage.opened(said)) == [("a", 4, 8)]


def test_small_files_go_first_but_leave_half_of_the_seats_to_big_ones():
    stage = Stage(start_connections=4)
    for _ in range(3):
        stage.file(1000, "a")
    stage.file(100 * MIB, "a")
    said = stage.mirror("a")
    assert [each.file for each in stage.opened(said)] == [0, 1, 3, 3]


def test_small_files_take_every_seat_when_nothing_big_waits():
    stage = Stage(start_connections=4)
    for _ in range(6):
        stage.file(1000, "a")
    assert [each.file for each in stage.opened(stage.mirror("a"))] == [0, 1, 2, 3]


def test_files_are_taken_in_the_order_of_their_numbers():
    stage = Stage("a", start_connections=1)
    stage.file(4 * MIB)
    stage.file(4 * MIB)
    stage.file(4 * MIB)
    stage.accept(1, at=0.1)
    assert [each.file for each in stage.opened(stage.finish(1, at=0.5))] == [1]


def test_a_slow_mirror_gets_nothing_that_a_fast_one_will_finish_sooner():
    stage = Stage(start_connections=1, lease_s=2.0)
    stage.mirror("fast", rate_bytes_per_s=50e6)
    stage.mirror("slow", rate_bytes_per_s=0.05e6)
    stage.file(150 * MIB)
    stage.accept(1, 2, at=0.1, latency_s=0.1)
    stage.run(0.8, {1: 50e6, 2: 0.05e6})
    said = stage.end(ev.LeaseCutShort(2, stage.received[2], "reset"))
    assert "slow" not in [each.mirror for each in stage.opened(said)]


def test_a_slow_mirrors_lease_shrinks_to_what_it_can_do_in_time():
    stage = Stage(start_connections=1, lease_s=10.0)
    stage.mirror("fast", rate_bytes_per_s=10e6)
    stage.mirror("slow", rate_bytes_per_s=1e6)
    stage.file(100 * MIB)
    lengths = {each.mirror: len(each.range) for each in stage.opened()}
    assert lengths["slow"] < lengths["fast"] / 5


def test_two_mirrors_that_lead_to_one_host_share_its_seats():
    stage = Stage("a", "b", start_connections=2)
    stage.file(400 * MIB)
    for lease in (1, 2, 3, 4):
        stage.accept(lease, at=0.1, host="cdn.example:443")
    assert stage.host("cdn.example:443").connections == 4
    assert stage.host("cdn.example:443").mirrors == ("a", "b")
    assert stage.opened(stage.finish(1, at=0.2)) == []  # three are still open where two may be
    assert stage.opened(stage.finish(2, at=0.3)) == []
    assert len(stage.opened(stage.finish(3, at=0.4))) == 1


def test_a_mirror_learns_where_small_and_big_files_come_from():
    stage = Stage("a", start_connections=2)
    stage.file(1000)
    stage.file(100 * MIB)
    stage.accept(1, at=0.1, host="a.example:443")
    stage.accept(2, at=0.1, host="cdn.example:443")
    stage.finish(2, at=0.5)
    assert stage.scheduler.job.mirrors["a"].host_for(small=True) == "a.example:443"
    assert stage.scheduler.job.mirrors["a"].host_for(small=False) == "cdn.example:443"


def test_the_runs_cap_is_shared_so_that_nobody_starves():
    stage = Stage("a", "b", start_connections=16, max_leases=8)
    said = stage.file(4000 * MIB)
    assert [each.mirror for each in stage.opened(said)].count("b") == 4


def test_a_file_is_asked_only_of_its_own_mirrors():
    stage = Stage("a", "b", start_connections=1)
    assert [each.mirror for each in stage.opened(stage.file(100 * MIB, "b"))] == ["b"]


def test_a_source_found_later_is_used_at_once():
    stage = Stage("a", "b", start_connections=1)
    stage.file(100 * MIB, "a")
    assert [each.mirror for each in stage.opened(stage.tell(ev.SourceAdded(0, "b"), at=1.0))] == ["b"]


def test_only_what_is_pending_is_asked_for():
    stage = Stage("a", start_connections=4)
    said = stage.file(20 * MIB, pending=(ByteRange(3 * MIB, 5 * MIB), ByteRange(19 * MIB, 20 * MIB)))
    assert spans(stage.opened(said)) == [("a", 3, 5), ("a", 19, 20)]


def test_a_run_ends_with_proof_and_completion():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    stage.seal()
    stage.accept(1, at=0.1)
    assert stage.finish(1, at=0.2) == [ev.ProveFile(0)]
    assert stage.tell(ev.FileProven(0), at=0.3) == [ev.CompleteRun()]
    assert stage.scheduler.next_deadline() is None


def test_a_cancelled_run_closes_everything_and_decides_nothing_more():
    stage = Stage("a", start_connections=2)
    stage.file(100 * MIB)
    assert stage.cancelled(stage.tell(ev.RunCancelled(), at=1.0)) == [1, 2]
    assert stage.end(ev.LeaseCancelled(1, 0), at=1.1) == []
    assert stage.scheduler.next_deadline() is None
