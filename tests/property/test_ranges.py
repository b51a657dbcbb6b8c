"""RangeSet against the plainest possible model: a set of integers."""

from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.ranges import RangeSet
from chunkdl.model import ByteRange

SPAN = 40
bounds = st.tuples(st.integers(0, SPAN), st.integers(0, SPAN)).map(sorted)
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), bounds), max_size=30)


def build(history):
    ranges, model = RangeSet(), set()
    for act, (start, stop) in history:
        getattr(ranges, act)(start, stop)
        (model.update if act == "add" else model.difference_update)(range(start, stop))
    return ranges, model


def members(runs):
    return [offset for run in runs for offset in range(run.start, run.stop)]


def runs_of(model):
    """Maximal runs of a set of integers, by brute force."""
    return [
        ByteRange(low, next(high for high in range(low, SPAN + 2) if high not in model))
        for low in sorted(model)
        if low - 1 not in model
    ]


@given(steps)
def test_holds_exactly_the_bytes_of_the_model_in_maximal_runs(history):
    ranges, model = build(history)
    assert list(ranges) == runs_of(model)
    assert list(ranges.pairs()) == [(run.start, run.stop) for run in runs_of(model)]
    assert ranges.total == len(model)
    assert bool(ranges) == bool(model)
    assert ranges.first() == (runs_of(model)[0] if model else None)


@given(steps, bounds)
def test_overlap_and_gaps_split_a_range_between_them(history, window):
    ranges, model = build(history)
    start, stop = window
    inside = set(range(start, stop))
    assert members(ranges.overlap(start, stop)) == sorted(inside & model)
    assert members(ranges.gaps(start, stop)) == sorted(inside - model)


@given(steps, bounds)
def test_covers_means_that_every_byte_is_there(history, window):
    ranges, model = build(history)
    start, stop = window
    assert ranges.covers(start, stop) == set(range(start, stop)).issubset(model)


@given(steps, st.integers(0, SPAN))
def test_a_run_ends_at_the_first_missing_byte(history, offset):
    ranges, model = build(history)
    assert ranges.run_from(offset) == next(at for at in range(offset, SPAN + 2) if at not in model)


@given(steps)
def test_equal_sets_are_equal_however_they_were_built(history):
    ranges, model = build(history)
    assert ranges == RangeSet(ByteRange(each, each + 1) for each in model)
    assert ranges != RangeSet([*ranges, ByteRange(SPAN + 5, SPAN + 6)])


@given(steps, bounds)
def test_a_copy_is_independent(history, window):
    ranges, model = build(history)
    twin = ranges.copy()
    twin.remove(0, SPAN)
    twin.add(*window)
    assert members(ranges) == sorted(model)
    assert members(twin) == list(range(*window))


def test_says_what_it_holds():
    assert repr(RangeSet([ByteRange(0, 4), ByteRange(8, 12), ByteRange(4, 5)])) == "{[0, 5) [8, 12)}"
