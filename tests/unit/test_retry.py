import pytest

from chunkdl.core.policy import SchedulerConfig
from chunkdl.core.retry import Standing, backoff_s

CONFIG = SchedulerConfig()


class Draw:
    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


@pytest.mark.parametrize(
    ("failures", "drawn", "expected"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (3, 1.0, 4.0), (3, 0.5, 2.25), (10, 1.0, 30.0), (10_000, 1.0, 30.0)],
)
def test_back_off_draws_between_the_floor_and_a_doubling_ceiling(failures, drawn, expected):
    assert backoff_s(failures, CONFIG, Draw(drawn), ceiling_s=30.0) == expected


def test_a_minute_forgives_one_failure():
    standing = Standing()
    for at in (0.0, 1.0, 2.0):
        standing.failed(at, "reset", CONFIG, asked_at=at)
    assert standing.failures == 3
    standing.failed(62.5, "reset", CONFIG, asked_at=62.0)
    assert standing.failures == 3
    standing.failed(1000.0, "reset", CONFIG, asked_at=999.0)
    assert standing.failures == 1
    assert standing.errors == 5


def test_who_rests_as_it_was_told_to_is_not_forgiven_meanwhile():
    """A server that says "in a minute" for ever was never given up: each minute forgave what it had just done."""
    standing = Standing()
    for at in (0.0, 61.0, 122.0):
        standing.failed(at, "429", CONFIG, asked_at=at)
        standing.rest(at + 60.0)
    assert standing.failures == 3
    assert standing.failing_since == 0.0
    assert standing.is_hopeless(122.0, CONFIG)


def test_success_forgives_failures_but_not_broken_answers():
    standing = Standing()
    for _ in range(3):
        standing.broke_protocol(1.0)
    standing.failed(1.0, "odd", CONFIG, asked_at=0.0)
    standing.succeeded()
    assert (standing.failures, standing.failing_since) == (0, None)
    assert standing.is_distrusted(CONFIG)
    standing.heal(120.0, CONFIG)
    assert standing.is_distrusted(CONFIG)
    standing.heal(121.0, CONFIG)
    assert not standing.is_distrusted(CONFIG)
    standing.broke_protocol(122.0)
    assert standing.is_distrusted(CONFIG)
    assert standing.strikes == 4


def test_a_longer_rest_is_not_shortened():
    standing = Standing()
    standing.rest(10.0)
    standing.rest(5.0)
    assert standing.is_cooling(9.9)
    assert not standing.is_cooling(10.0)


def test_hopeless_only_after_asking_for_the_whole_budget():
    standing = Standing()
    standing.failed(0.0, "refused", CONFIG, asked_at=0.0)
    assert not standing.is_hopeless(1000.0, CONFIG)  # asked once, long ago: no evidence
    for at in (40.0, 80.0, 121.0):
        standing.failed(at, "refused", CONFIG, asked_at=at)
    assert standing.is_hopeless(122.0, CONFIG)
    standing.patience_until = 200.0
    assert not standing.is_hopeless(122.0, CONFIG)


def test_who_was_left_alone_long_enough_starts_anew():
    standing = Standing()
    for at in (0.0, 10.0, 20.0):
        standing.failed(at, "refused", CONFIG, asked_at=at)
    assert standing.is_doubted(CONFIG)
    standing.heal(80.0, CONFIG)
    assert (standing.failures, standing.is_doubted(CONFIG)) == (2, False)
    standing.heal(200.0, CONFIG)
    assert (standing.failures, standing.failing_since) == (0, None)
