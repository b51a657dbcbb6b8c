import pytest

from chunkdl.mirrors.figures import lessons
from chunkdl.mirrors.measures import Exchange, Sample, Trial, steady_rate
from chunkdl.model import Mirror

MIRROR = Mirror("https://m.example", "m.example")


def test_connections_that_tell_of_their_bytes_at_one_moment_are_timed_over_the_whole_sample():
    marks = [(9.999, 30_000), (10.0, 100_000)]
    assert steady_rate(marks, began=8.0, ended=10.0) == pytest.approx(50_000)


def test_a_sample_that_our_bounds_cut_at_once_says_nothing_of_a_rate():
    cut = Exchange(asked_at=1.0, answered_at=1.1, ended_at=1.101, bytes=8_000, marks=((1.101, 8_000),))
    full = Exchange(asked_at=2.0, answered_at=2.1, ended_at=4.1, bytes=100_000, marks=((4.1, 100_000),))
    samples = (Sample(0, "f", 0, (full,)), Sample(1, "f", 0, (cut,)))
    trial = Trial(MIRROR, (), samples)
    assert trial.goodputs(several=False) == [pytest.approx(50_000)]


def test_what_several_connections_brought_is_never_the_rate_of_one():
    """The sample over one connection was cut by our bounds, the one over several told."""
    cut = Exchange(asked_at=1.0, answered_at=1.1, ended_at=1.101, bytes=8_000, marks=((1.101, 8_000),))
    full = Exchange(asked_at=2.0, answered_at=2.1, ended_at=4.1, bytes=100_000, marks=((4.1, 100_000),), host="h:443")
    samples = (Sample(0, "f", 0, (cut,)), Sample(0, "f", 9, (full, full), several=True))
    trial = Trial(MIRROR, (), samples)
    assert trial.goodput(several=False) is None
    assert trial.goodput(several=True) == pytest.approx(100_000)
    assert lessons([trial], lambda _: "")[0].rate_bytes_per_s == 0.0


def test_a_mirror_that_allows_one_connection_has_both_rates():
    full = Exchange(asked_at=2.0, answered_at=2.1, ended_at=4.1, bytes=100_000, marks=((4.1, 100_000),))
    trial = Trial(MIRROR, (), (Sample(0, "f", 0, (full,)), Sample(0, "f", 9, (full,), several=True)))
    assert trial.goodput(several=False) == trial.goodput(several=True) == pytest.approx(50_000)
