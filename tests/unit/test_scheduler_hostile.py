"""Mirrors that answer and then do nothing, as the hostile table found them: nothing waits for them in vain."""

import pytest
from scheduler_stage import Stage

from chunkdl.core import events as ev
from chunkdl.model import MIB

FAST = 4e6


def play_dead(stage, until, *, answers=True):
    """Let time pass while every lease is answered at once and never delivers; returns what was said, with times."""
    timed = []
    while stage.now < until and not stage.failed():
        for lease in [each for each in stage.live if each not in stage.scheduler.job.leases]:
            del stage.live[lease]
        for lease in list(stage.live):
            if answers and stage.scheduler.job.leases[lease].accepted_at is None:
                stage.accept(lease)
        said = stage.run(stage.now + 0.1)
        timed += said
        for _, each in said:
            if isinstance(each, ev.CancelLease):
                stage.end(ev.LeaseCancelled(each.lease, 0))
    return timed


def test_connections_of_a_sole_source_that_are_silent_together_climb_one_rung_together():
    stage = Stage("a", host_cap=4)
    stage.file(64 * MIB)
    timed = play_dead(stage, 26.0)
    cuts = [when for when, each in timed if isinstance(each, ev.CancelLease)]
    assert len(cuts) == 8
    assert cuts[:4] == pytest.approx([8.0] * 4, abs=0.6)
    assert cuts[4:] == pytest.approx([24.0] * 4, abs=0.9)


def test_a_sole_source_that_answers_and_never_sends_a_byte_is_given_up_after_the_budget():
    stage = Stage("a")
    stage.file(64 * MIB)
    stage.seal()
    play_dead(stage, 600.0)
    assert len(stage.failed()) == 1
    assert 120.0 <= stage.now <= 260.0


def test_one_byte_now_and_then_from_one_connection_keeps_the_file_alive():
    stage = Stage("a", start_connections=2, host_cap=2)
    stage.file(64 * MIB)
    stage.accept(1, 2)
    for _ in range(60):
        stage.received[1] += 1
        for _, each in stage.run(stage.now + 5.0):
            if isinstance(each, ev.CancelLease):
                stage.end(ev.LeaseCancelled(each.lease, 0))
                stage.accept(*[lease for lease in stage.live if lease != 1][-1:])
    assert stage.failed() == []


def test_a_mirror_that_never_answered_loses_its_range_once_another_is_idle():
    stage = Stage("a", "b", start_connections=1, host_cap=1, probe_bytes=8 * MIB)
    stage.file(16 * MIB)
    stage.accept(1)
    stage.run(2.0, {1: FAST})
    stage.finish(1, at=2.1)
    assert stage.run_to_cut().cause.endswith("while others are idle")
    assert stage.now == pytest.approx(5.0, abs=0.3)


def test_a_mirror_that_may_take_its_time_keeps_its_range_for_longer():
    stage = Stage("a", start_connections=1, host_cap=1, probe_bytes=8 * MIB)
    stage.mirror("b", first_byte_s=60.0)
    stage.file(16 * MIB)
    stage.accept(1)
    stage.run(2.0, {1: FAST})
    stage.finish(1, at=2.1)
    stage.run_to_cut()
    assert stage.now == pytest.approx(20.0, abs=0.3)


@pytest.mark.parametrize(("size", "chances"), [(20 * MIB, 0), (400 * MIB, 1)])
def test_a_mirror_that_failed_and_never_delivered_gets_none_of_the_last_bytes(size, chances):
    stage = Stage("a", "b", start_connections=1, host_cap=1, probe_bytes=size // 2)
    stage.file(size)
    stage.accept(1)
    stage.run(1.0, {1: FAST})
    before = len(stage.opened())
    stage.fail(2)
    stage.run(3.0, {1: FAST})
    assert [each.mirror for each in stage.opened()[before:]] == ["b"] * chances


def test_reasons_name_each_mirror_once():
    stage = Stage("a", "b")
    stage.file(1000)
    for lease, reason in ((1, "a answered HTTP 404"), (2, "HTTP 410")):
        for each in [each for each in stage.opened() if each.lease == lease]:
            stage.end(ev.LeaseRefused(each.lease, final=True, reason=reason))
    stage.seal()
    stage.run(3.0)
    assert stage.failed()[0].reasons == ("a answered HTTP 404", "b: HTTP 410")
