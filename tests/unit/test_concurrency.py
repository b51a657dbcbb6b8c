"""How many connections a host gets: the controller alone, fed with made-up goodput."""

import pytest

from chunkdl.core.concurrency import ConnectionController, Stage, Work

LATENCY_S = 0.05


class Host:
    """A host whose goodput is a function of the number of connections; others give a constant."""

    def __init__(self, goodput, start=4, cap=16, others=lambda _width: 0.0):
        self.goodput = goodput
        self.others = others
        self.controller = ConnectionController(start, cap, floor=start)
        self.now = self.own = self.everyone = 0.0
        self.said = []

    def run(self, seconds, *, may_try=True):
        for _ in range(int(seconds / 0.25)):
            width = self.controller.limit
            self.now += 0.25
            self.own += 0.25 * self.goodput(width)
            self.everyone += 0.25 * (self.goodput(width) + self.others(width))
            work = Work(width, self.own, self.everyone)
            said = self.controller.step(self.now, work, LATENCY_S, may_try=may_try)
            self.said += [said] if said else []
        return self.controller.limit


def test_doubles_while_every_connection_pays():
    host = Host(lambda width: 1e6 * width)
    assert host.run(5.0) == 16
    assert host.said == ["8 connections: ramp", "16 connections: ramp"]


def test_ramps_within_a_second_or_two():
    assert Host(lambda width: 1e6 * width).run(2.0) == 16


def test_a_full_pipe_keeps_the_few():
    host = Host(lambda _width: 5e6)
    assert host.run(5.0) == 4
    assert host.said == ["8 connections: ramp", "4 connections: 8 gave little more"]


def test_between_the_steps_as_many_stay_as_carry_the_goodput():
    assert Host(lambda width: 1e6 * min(width, 4.8)).run(5.0) == 5


def test_never_beyond_the_cap():
    assert Host(lambda width: 1e6 * width, cap=6).run(8.0) == 6


def test_a_trial_is_kept_when_it_pays():
    host = Host(lambda width: 1e6 * min(width, 4))
    host.run(5.0)
    host.goodput = lambda width: 1e6 * width
    assert host.run(25.0) > 4
    assert "5 connections: trial kept" in host.said


def test_a_trial_that_only_takes_from_others_is_undone():
    host = Host(lambda width: 1e6 * min(width, 4))
    host.run(5.0)
    host.goodput, host.others = (lambda width: 1e6 * width), (lambda width: 20e6 - 1e6 * width)
    host.run(10.0, may_try=False)
    host.run(25.0)
    assert "4 connections: trial undone" in host.said
    assert not any("kept" in line for line in host.said)


def test_fruitless_trials_become_rare():
    host = Host(lambda _width: 5e6)
    host.run(300.0)
    assert sum("trial undone" in line for line in host.said) <= 6


def test_only_one_host_tries_at_a_time():
    host = Host(lambda _width: 5e6)
    host.run(60.0, may_try=False)
    assert not any("trial" in line for line in host.said)


def test_goodput_that_collapses_narrows_the_host():
    host = Host(lambda _width: 8e6, start=8)
    host.run(8.0, may_try=False)
    host.goodput = lambda _width: 1e6
    assert host.run(12.0, may_try=False) < 8


@pytest.mark.parametrize(("working", "limit"), [(3, 3), (0, 4), (8, 4)])
def test_a_refusal_leaves_what_works_or_half(working, limit):
    controller = ConnectionController(8, 16)
    controller.back_off(10.0, working, asked_at=9.0)
    assert controller.limit == limit
    assert controller.stage is Stage.HOLD


def test_refusals_of_requests_made_together_count_once():
    controller = ConnectionController(8, 16)
    controller.back_off(10.0, 0, asked_at=9.0)
    assert controller.back_off(10.1, 0, asked_at=9.0) == ""
    assert controller.limit == 4
    controller.back_off(12.0, 0, asked_at=11.0)
    assert controller.limit == 2


def test_the_ceiling_of_a_refusal_is_forgotten_after_a_minute():
    host = Host(lambda width: 1e6 * width)
    host.controller.back_off(0.0, 3, asked_at=0.0)
    assert host.run(55.0) == 3
    assert host.run(60.0) > 3


def test_an_interruption_makes_what_was_measured_worthless():
    host = Host(lambda width: 1e6 * width)
    for _ in range(20):
        host.run(0.25)
        host.controller.interrupt()
    assert host.controller.limit == 4
