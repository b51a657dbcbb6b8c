"""What an idle connection does at the end: steals, hedges, and what it must not do."""

from scheduler_stage import Stage

from chunkdl.core import events as ev
from chunkdl.model import MIB, ByteRange


def tail(slow_rate, fast_rate, size=24 * MIB, first=16 * MIB, at=4.0, **config):
    """Two hosts with one connection each: ``slow`` holds [0, first), ``fast`` the rest, which ends at ``at``."""
    config = {"start_connections": 1, "host_cap": 1, "probe_bytes": first} | config
    stage = Stage("slow", "fast", **config)
    stage.file(size)
    stage.accept(1, at=0.0)
    stage.accept(2, at=0.0)
    assert [each.range for each in stage.opened()] == [ByteRange(0, first), ByteRange(first, size)]
    stage.run(at, {1: slow_rate, 2: fast_rate})
    return stage


def steals(said):
    return [each for each in said if isinstance(each, ev.OpenLease) and each.cause.startswith("steals")]


def test_the_tail_is_split_in_proportion_to_the_rates():
    stage = tail(1 * MIB, 3 * MIB, at=2.0)
    stage.run(2.7, {1: MIB, 2: 3 * MIB})
    said = stage.finish(2, at=2.7)
    shorten = next(each for each in said if isinstance(each, ev.ShortenLease))
    thief = steals(said)[0]
    assert shorten.lease == 1
    assert thief.range == ByteRange(shorten.stop, 16 * MIB)
    left = 16 * MIB - stage.received[1]
    stolen = len(thief.range) / left
    assert 0.68 < stolen < 0.76  # three quarters, less what the thief's latency costs


def test_a_young_lease_is_left_alone():
    stage = tail(1 * MIB, 40 * MIB, at=0.2)
    assert steals(stage.finish(2, at=0.2)) == []


def test_a_victim_that_is_nearly_done_is_left_alone():
    stage = tail(4 * MIB, 4 * MIB, at=3.9)
    said = stage.finish(2, at=3.9)
    assert steals(said) == []


def test_the_same_lease_is_not_robbed_again_at_once():
    stage = tail(0.3 * MIB, 3 * MIB, at=2.7)
    thief = steals(stage.finish(2, at=2.7))[0].lease
    stage.accept(thief, at=2.8)
    assert steals(stage.finish(thief, at=2.9)) == []
    stage.run(3.1, {1: 0.3 * MIB})
    assert steals(stage.tell(ev.DeadlineReached(), at=3.3)) != []


def test_small_files_are_never_split():
    stage = Stage("slow", "fast", start_connections=1, host_cap=1)
    stage.file(MIB)
    stage.file(MIB)
    stage.accept(1, 2, at=0.0)
    stage.run(1.0, {1: 50e3, 2: MIB})
    assert steals(stage.finish(2, at=1.0)) == []


def test_the_last_bytes_of_a_slow_lease_are_hedged_and_the_first_to_end_wins():
    stage = Stage("slow", "fast", start_connections=1, host_cap=1)
    stage.file(MIB // 4)
    stage.file(MIB)
    stage.accept(1, 2, at=0.0)
    stage.run(1.0, {1: 5e3, 2: MIB})
    said = stage.finish(2, at=1.0)
    hedge = next(each for each in said if isinstance(each, ev.OpenLease) and each.hedge)
    assert hedge.mirror == "fast"
    assert hedge.range == ByteRange(stage.received[1], MIB // 4)
    stage.accept(hedge.lease, at=1.1)
    stage.run(1.3, {1: 5e3, hedge.lease: MIB})
    said = stage.finish(hedge.lease, at=1.4)
    assert stage.cancelled(said) == [1]
    stage.end(ev.LeaseCancelled(1, stage.received[1]), at=1.5)
    assert stage.scheduler.job.files[0].stored.covers(0, MIB // 4)


def test_the_owner_that_wins_has_its_hedge_cancelled():
    stage = Stage("slow", "fast", start_connections=1, host_cap=1)
    stage.file(MIB // 4)
    stage.file(MIB)
    stage.accept(1, 2, at=0.0)
    stage.run(1.0, {1: 5e3, 2: MIB})
    hedge = next(each for each in stage.finish(2, at=1.0) if isinstance(each, ev.OpenLease) and each.hedge)
    assert stage.cancelled(stage.finish(1, at=1.05)) == [hedge.lease]


def test_without_a_budget_nothing_is_hedged():
    stage = Stage("slow", "fast", start_connections=1, host_cap=1, hedge_floor_bytes=0, hedge_share=0.0)
    stage.file(MIB // 4)
    stage.file(MIB)
    stage.accept(1, 2, at=0.0)
    stage.run(1.0, {1: 5e3, 2: MIB})
    assert not any(each.hedge for each in stage.opened(stage.finish(2, at=1.0)))


def test_duplicates_are_counted_as_waste():
    stage = Stage("slow", "fast", start_connections=1, host_cap=1)
    stage.file(MIB // 4)
    stage.file(MIB)
    stage.accept(1, 2, at=0.0)
    stage.run(1.0, {1: 5e3, 2: MIB})
    hedge = stage.opened(stage.finish(2, at=1.0))[0].lease
    stage.accept(hedge, at=1.1)
    before = stage.received[1]
    stage.run(2.0, {1: 5e3})
    stage.finish(hedge, at=2.0)
    assert stage.scheduler.wasted_bytes == stage.received[1] - before > 0


def test_nothing_is_stolen_or_hedged_while_our_limiter_binds():
    stage = tail(1 * MIB, 3 * MIB, at=2.0)
    stage.tell(ev.LimiterBound(True))
    stage.run(2.7, {1: MIB, 2: 3 * MIB})
    assert stage.opened(stage.finish(2, at=2.7)) == []


def test_a_newcomer_probes_by_stealing():
    stage = Stage("slow", start_connections=1, host_cap=1, probe_bytes=64 * MIB)
    stage.file(64 * MIB, "slow")
    stage.accept(1, at=0.0)
    stage.run(3.0, {1: MIB})
    stage.mirror("new")
    said = stage.tell(ev.SourceAdded(0, "new"), at=3.0)
    assert [each.mirror for each in steals(said)] == ["new"]


def test_a_thief_that_may_not_deliver_the_range_does_not_get_it():
    stage = Stage("slow", start_connections=1, host_cap=1, probe_bytes=64 * MIB)
    stage.file(64 * MIB, "slow")
    stage.accept(1, at=0.0)
    stage.run(3.0, {1: MIB})
    stage.mirror("other")
    assert stage.opened(stage.tell(ev.DeadlineReached(), at=3.5)) == []
