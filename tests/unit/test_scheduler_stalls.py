"""The one watchdog: who is cut when, who is renewed, and when nobody is to blame. Exact virtual times."""

import pytest
from scheduler_stage import Stage

from chunkdl.core import events as ev
from chunkdl.model import MIB, ByteRange

FAST = 2e6
LONG = 400 * MIB  # leases that do not end within a story


def two_hosts(size=4000 * MIB, **config):
    """One lease on each of two hosts, both answered at 0.1 s."""
    stage = Stage("a", "b", **{"start_connections": 1, "host_cap": 1, "probe_bytes": LONG} | config)
    stage.file(size)
    stage.accept(1, 2, at=0.1)
    return stage


def cuts(timed):
    return [(when, each.lease, each.cause) for when, each in timed if isinstance(each, ev.CancelLease)]


def test_a_silent_lease_is_cut_after_eight_seconds_and_its_host_rests():
    stage = two_hosts()
    stage.run(5.0, {1: FAST, 2: FAST})
    timed = stage.run(20.0, {2: FAST})
    when, lease, cause = cuts(timed)[0]
    assert (lease, cause[:7]) == (1, "no byte")
    assert when == pytest.approx(13.0, abs=0.3)
    assert stage.scheduler.job.hosts["a.example:443"].standing.failures == 1


def test_what_was_received_stays_and_the_rest_goes_to_somebody_else():
    stage = two_hosts()
    stage.run(5.0, {1: FAST, 2: FAST})
    stage.run(13.3, {2: FAST})
    stored = stage.received[1]
    stage.end(ev.LeaseCancelled(1, stored), at=13.4)
    said = stage.end(ev.LeaseCutShort(2, stage.received[2], "reset"), at=13.5)
    assert stored > 0
    assert [(each.mirror, each.range.start) for each in stage.opened(said)] == [("b", stored)]


def test_a_silent_lease_near_the_end_is_taken_over_as_soon_as_others_are_idle():
    stage = two_hosts(size=64 * MIB, probe_bytes=32 * MIB)
    stage.run(3.0, {1: 4e6, 2: 4e6})
    stage.run(5.0, {2: 4e6})
    stage.finish(2, at=5.1)
    timed = [(stage.now, each) for each in stage.said]
    assert "takes over from silent lease 1" in [e.cause for _, e in timed if isinstance(e, ev.OpenLease)]
    assert stage.stops[1] == stage.received[1]


def test_a_sole_source_is_renewed_ever_more_patiently_and_never_blamed():
    stage = Stage("a", start_connections=1, host_cap=1, probe_bytes=LONG)
    stage.file(4000 * MIB)
    waits = []
    for _ in range(4):
        lease = next(iter(stage.live))
        stage.accept(lease)
        started = stage.now
        cut = stage.run_to_cut()
        waits.append(round(stage.now - started))
        assert cut == ev.CancelLease(lease, "sole source, renewed")
        stage.end(ev.LeaseCancelled(lease, 0))
    assert waits == [8, 16, 32, 64]
    assert stage.host("a.example:443").errors == 0


def test_a_byte_brings_the_patience_of_a_sole_source_back_to_eight_seconds():
    stage = Stage("a", start_connections=1, host_cap=1, probe_bytes=LONG)
    stage.file(4000 * MIB)
    stage.accept(1, at=0.0)
    stage.run_to_cut()
    stage.end(ev.LeaseCancelled(1, 0))
    stage.accept(2)
    stage.run(stage.now + 1.0, {2: FAST})
    heard_at = stage.now
    stage.run_to_cut()
    assert stage.now - heard_at == pytest.approx(8.0, abs=0.3)


def test_if_everything_is_silent_one_lease_probes_and_nobody_is_blamed():
    stage = two_hosts()
    stage.run(5.0, {1: FAST, 2: FAST})
    timed = stage.run(14.0)
    assert [(lease, cause) for _, lease, cause in cuts(timed)][:1] == [(1, "link down, probing")]
    assert stage.host("a.example:443").errors == stage.host("b.example:443").errors == 0
    assert stage.host("b.example:443").state == "stalled"


def test_while_our_limiter_binds_silence_means_nothing():
    stage = two_hosts()
    stage.run(5.0, {1: FAST, 2: FAST})
    stage.tell(ev.LimiterBound(True))
    assert cuts(stage.run(60.0, {2: FAST})) == []
    stage.tell(ev.LimiterBound(False))
    when = cuts(stage.run(80.0, {2: FAST}))[0][0]
    assert when == pytest.approx(68.0, abs=0.3)  # eight seconds from the end of the limit


def test_a_lease_held_by_our_own_disk_is_not_stalled():
    stage = two_hosts()
    stage.run(5.0, {1: FAST, 2: FAST})
    stage.held.add(1)
    assert cuts(stage.run(40.0, {2: FAST})) == []


def test_a_stream_on_its_way_to_what_is_missing_is_not_silent():
    stage = Stage("plain", start_connections=1)
    stage.file(1000 * MIB, pending=(ByteRange(500 * MIB, 1000 * MIB),))
    stage.end(ev.LeaseUnranged(1, "plain.example:443"), at=0.2)
    stage.accept(2, ranged=False)
    for _ in range(100):
        stage.skipped[2] = stage.skipped.get(2, 0) + 1000
        stage.run(stage.now + 5.0)
    assert stage.cancelled() == []
    cut = stage.run_to_cut(10.0)
    assert cut.lease == 2, "but it is once nothing is skipped any more"


def test_a_dribble_far_below_its_hosts_own_rate_is_cut_without_blame():
    stage = Stage("a", "b", start_connections=2, host_cap=2, probe_bytes=LONG)
    stage.file(4000 * MIB)
    stage.accept(1, 2, 3, 4, at=0.1)
    stage.run(12.0, {1: FAST, 2: FAST, 3: FAST, 4: FAST})
    timed = stage.run(30.0, {1: 20e3, 2: FAST, 3: FAST, 4: FAST})
    when, lease, cause = cuts(timed)[0]
    assert (lease, cause) == (1, "far below its host's own rate")
    assert when == pytest.approx(24.5, abs=1.0)  # the meter takes two seconds to believe it, the rule ten more
    assert stage.host("a.example:443").errors == 0


def test_a_late_first_byte_is_waited_for_while_others_are_busy():
    stage = Stage("a", "b", start_connections=1, host_cap=1, probe_bytes=LONG)
    stage.file(4000 * MIB)
    stage.accept(1, at=0.1)
    assert cuts(stage.run(14.0, {1: FAST})) == []


def test_a_mirror_that_may_take_hours_is_given_hours():
    stage = Stage(start_connections=1)
    stage.mirror("lan", first_byte_s=7200.0)
    stage.file(100 * MIB)
    assert stage.opened()[0].first_byte_s == 7200.0
    assert cuts(stage.run(600.0)) == []


def test_a_sole_source_gets_longer_for_its_first_byte_each_time():
    stage = Stage("a", start_connections=1)
    stage.file(1000)
    limits = []
    for _ in range(4):
        lease = next(iter(stage.live))
        limits.append(stage.live[lease].first_byte_s)
        stage.fail(lease, at=stage.now + 1.0)
        stage.run(stage.now + 10.0)
    assert limits == [15.0, 30.0, 60.0, 120.0]
