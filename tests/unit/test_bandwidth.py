import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.bandwidth import TokenBucket, parse_rate
from chunkdl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0.0),
        ("off", 0.0),
        ("1000", 1000.0),
        ("500K", 500 * 1024.0),
        ("20M", 20 * 1024.0**2),
        ("1.5g", 1.5 * 1024**3),
        ("20MB", 20e6),
        ("20MiB", 20 * 1024.0**2),
        ("20Mbit", 2.5e6),
        ("20 MB/s", 20e6),
        ("100Mbps", None),
        ("20Mbit/s", 2.5e6),
        ("", None),
        ("M", None),
        ("-5M", None),
        ("20X", None),
        ("1e6", None),
        ("nan", None),
        ("20M extra", None),
    ],
)
def test_rates_as_people_write_them(text, rate):
    if rate is None:
        with pytest.raises(UsageError, match="not a rate"):
            parse_rate(text)
    else:
        assert parse_rate(text) == rate


def flow(bucket, piece_bytes, until_s):
    """Bytes that pass when a reader takes pieces as fast as it may."""
    now, taken = 0.0, 0
    while now < until_s:
        taken += piece_bytes
        now += bucket.take(piece_bytes, now)
    return taken


@given(st.floats(1e4, 1e9), st.integers(1, 1 << 20))
def test_over_ten_seconds_the_rate_holds(rate, piece_bytes):
    bucket = TokenBucket(rate)
    flowed = 0
    now = 0.0
    for _ in range(2000):
        if now >= 15:
            break
        now += bucket.take(piece_bytes, now) or piece_bytes / rate
        flowed += piece_bytes
    assert flowed <= rate * (now + 0.5) + piece_bytes
    assert flowed >= rate * now - piece_bytes


def test_within_five_per_cent_after_the_burst():
    bucket = TokenBucket(20 * 2**20)
    before = flow(bucket, 1 << 20, 5.0)
    assert before <= 20 * 2**20 * 5.5 + (1 << 20)
    bucket = TokenBucket(20 * 2**20)
    assert flow(bucket, 1 << 20, 15.0) - before == pytest.approx(20 * 2**20 * 10, rel=0.05)


def test_no_limit_never_waits():
    bucket = TokenBucket(0)
    assert [bucket.take(1 << 30, now) for now in (0.0, 0.0, 1.0)] == [0.0, 0.0, 0.0]


def test_a_pause_saves_up_no_more_than_the_burst():
    bucket = TokenBucket(1000, burst_bytes=500)
    assert bucket.take(500, 0.0) == 0.0
    assert bucket.take(500, 3600.0) == 0.0
    assert bucket.take(500, 3600.0) == pytest.approx(0.5)


def test_a_changed_rate_counts_from_now_on():
    bucket = TokenBucket(1000, burst_bytes=0)
    assert bucket.take(1000, 0.0) == pytest.approx(1.0)
    bucket.set_rate(2000, 0.0)
    assert bucket.take(0, 0.0) == pytest.approx(0.5)
    bucket.set_rate(0, 0.0)
    assert bucket.take(10**9, 0.0) == 0.0


def test_a_limit_set_on_an_unlimited_bucket_starts_empty():
    bucket = TokenBucket(0)
    bucket.take(10**9, 0.0)
    bucket.set_rate(1000, 10.0)
    assert bucket.take(1000, 10.0) == pytest.approx(1.0)


def test_a_clock_that_stands_still_or_steps_back_gives_nothing():
    bucket = TokenBucket(1000, burst_bytes=0)
    bucket.take(100, 10.0)
    assert bucket.take(100, 9.0) == pytest.approx(0.2)
