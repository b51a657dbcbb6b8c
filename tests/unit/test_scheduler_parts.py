"""The small parts of the scheduler: rate meters, the backlog of files, the network of the simulator."""

import pytest
from scheduler_stage import Stage

from chunkdl.core import events as ev
from chunkdl.core.mirror_stats import RateMeter
from chunkdl.model import MIB, ByteRange
from chunkdl.testing.simulated_network import Flow, HostModel, LinkModel, Weather, optimum_s, share_rates


def test_a_meter_shows_a_steady_rate_from_the_start():
    meter = RateMeter(3.0, 0.0)
    for tenth in range(1, 50):
        meter.add(1e5, tenth / 10)
    assert meter.rate(4.9) == pytest.approx(1e6, rel=0.05)


def test_silence_lowers_a_meter():
    meter = RateMeter(3.0, 0.0)
    meter.add(1e6, 1.0)
    assert meter.rate(1.0) > meter.rate(4.0) > meter.rate(30.0)


def test_a_moment_is_no_rate():
    meter = RateMeter(3.0, 0.0)
    assert not meter.is_known(0.05)
    assert meter.is_known(0.2)
    assert RateMeter(3.0, 5.0).rate(5.0) == 0.0


@pytest.mark.parametrize("start", [0.1, 2.1, 64.1, 128.1, 1e6 / 3])
def test_a_deadline_that_was_kept_is_not_asked_for_again(start):
    stage = Stage("a", start_connections=1)
    stage.file(100 * MIB, at=start)
    for _ in range(50):
        deadline = stage.scheduler.next_deadline()
        stage.tell(ev.DeadlineReached(), at=deadline)
        assert stage.scheduler.next_deadline() > deadline


@pytest.mark.parametrize("refusing", [False, True], ids=["alone", "beside a mirror that refuses everything"])
def test_thousands_of_waiting_files_cost_little_for_each_event(refusing):
    """An event looks at the files it is about, not at all of them: counted, not timed."""
    names = ("a", "b") if refusing else ("a",)
    stage = Stage(*names, start_connections=1, host_cap=1)
    if refusing:
        stage.scheduler.job.mirrors["b"].refusals = stage.scheduler.config.refusals_to_doubt
    for number in range(2000):
        stage.scheduler.handle(ev.FileAdded(number, 1000, (ByteRange(0, 1000),), names, MIB), 0.0)
    touched = []
    backlog = stage.scheduler.job.backlog
    listed = backlog.candidates
    backlog_type = type(backlog)

    class Counting(backlog_type):
        __slots__ = ()

        def candidates(self, mirror, *, small):
            for file in listed(mirror, small=small):
                touched.append(file.id)
                yield file

    stage.scheduler.job.backlog = Counting.__new__(Counting)
    for slot in backlog_type.__slots__:
        setattr(stage.scheduler.job.backlog, slot, getattr(backlog, slot))
    lease = stage.scheduler.job.leases[1].id
    stage.scheduler.handle(ev.LeaseFinished(lease), 1.0)
    assert 1 <= len(touched) <= 16


def test_a_steal_from_a_file_of_700_gb_scans_nothing():
    stage = Stage("a", "b", start_connections=8)
    stage.file(700 * 10**9)
    stage.accept(*list(stage.live), at=0.1)
    stage.run(1.0, dict.fromkeys(stage.live, 10e6))
    file = stage.scheduler.job.files[0]
    assert len(list(file.pending)) + len(list(file.leased)) + len(list(file.stored)) < 70


HOST = HostModel("h", bandwidth=8e6, per_connection=3e6, latency_s=0.1)


def flow(host=HOST, stop=10**9):
    made = Flow(1, 0, "m", host, 0, stop)
    made.open = True
    return made


def test_flows_share_a_host_within_their_own_limit():
    flows = [flow(), flow()]
    share_rates(flows, Weather(0), LinkModel(), 0.0)
    assert [each.rate for each in flows] == [3e6, 3e6]
    flows.append(flow())
    share_rates(flows, Weather(0), LinkModel(), 0.0)
    assert [each.rate for each in flows] == pytest.approx([8e6 / 3] * 3)


def test_the_link_scales_everybody_down():
    flows = [flow(), flow()]
    share_rates(flows, Weather(0), LinkModel(bandwidth=3e6), 0.0)
    assert [each.rate for each in flows] == [1.5e6, 1.5e6]


def test_the_optimum_knows_outages():
    host = HostModel("h", bandwidth=1e6, per_connection=1e6, latency_s=0.0, down=((2.0, 5.0),))
    assert optimum_s(4_000_000, [(host, 4)], Weather(0), LinkModel()) == pytest.approx(7.0, abs=0.3)


def test_weather_is_the_same_for_the_same_seed():
    host = HostModel("h", bandwidth=1e6, per_connection=1e6, latency_s=0.0, wobble=0.3)
    one, two, other = Weather(1), Weather(1), Weather(2)
    readings = [each.bandwidth(host, 7.0) for each in (one, two, other)]
    assert readings[0] == readings[1] != readings[2]
