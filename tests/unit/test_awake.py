"""Time that this process slept through is nobody's fault."""

from itertools import pairwise

import pytest

from chunkdl.transfer.awake import GAP_S, AwakeClock


def readings(*moments):
    """What an AwakeClock says at these moments of the real one, counted from its first reading."""
    times = iter((moments[0], *moments))
    clock = AwakeClock(lambda: next(times))
    said = [clock() for _ in moments]
    return [each - said[0] for each in said]


def test_it_goes_as_the_real_one_while_we_are_awake():
    assert readings(100.0, 100.1, 100.1, 101.9, 103.8) == pytest.approx([0.0, 0.1, 0.1, 1.9, 3.8])


@pytest.mark.parametrize("asleep_s", [GAP_S + 0.1, 60.0, 3 * 3600.0])
def test_a_gap_is_hidden_but_for_one_beat(asleep_s):
    woken = 100.1 + asleep_s
    assert readings(100.0, 100.1, woken, woken + 0.1) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_it_tells_how_long_it_slept():
    now = 100.0
    clock = AwakeClock(lambda: now)
    now = 101.0
    assert clock.asleep_s == 0.0
    now = 3701.0
    assert clock.asleep_s == pytest.approx(3600.0 - 0.1)


def test_it_never_goes_back():
    said = readings(0.0, 5.0, 5.1, 4000.0, 4000.1, 4009.0, 4010.5)
    assert all(late >= early for early, late in pairwise(said))
