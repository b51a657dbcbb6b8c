import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.convert.numbers import FLOATS, converted


def ours(values, source, target):
    data, lost = converted(memoryview(bytearray(np.array(values, FLOATS[source]).tobytes())), source, target)
    return np.frombuffer(data, FLOATS[target]), lost


@given(st.integers(0, 2**32 - 1))
def test_bf16_rounds_to_the_nearest_even_bit_by_bit(bits):
    value = np.array([bits], "<u4").view("<f4")
    result, lost = ours(value, "F32", "BF16")
    if np.isnan(value[0]):
        assert np.isnan(result[0].astype("f4"))
        return
    kept, rest = bits >> 16, bits & 0xFFFF
    kept += rest > 0x8000 or (rest == 0x8000 and kept & 1)
    assert int(result.view("<u2")[0]) == kept
    assert lost == (np.isfinite(value[0]) and not np.isfinite(result.astype("f4")[0]))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_fp16_is_the_nearest_number_or_overflows_and_is_counted(value):
    (result,), lost = ours([value], "F32", "F16")
    if abs(value) >= 65520:  # halfway between the largest and the next that there is none of
        assert (np.isinf(result), lost) == (True, 1)
        return
    assert lost == 0
    around = [np.nextafter(result, np.float16(end)) for end in (-np.inf, np.inf)]
    assert all(abs(float(result) - value) <= abs(float(each) - value) for each in around if np.isfinite(each))


@pytest.mark.parametrize("target", ["F16", "BF16"])
def test_what_is_no_number_stays_so_and_is_no_overflow(target):
    (nan, above, below), lost = ours([np.nan, np.inf, -np.inf], "F32", target)
    assert np.isnan(float(nan))
    assert (float(above), float(below), lost) == (np.inf, -np.inf, 0)


@pytest.mark.parametrize(
    ("value", "source", "target"),
    [(1e39, "F64", "BF16"), (1e300, "F64", "F16"), (1e5, "BF16", "F16"), (3.4e38, "F32", "BF16")],
)
def test_every_overflow_is_counted(value, source, target):
    (result, one), lost = ours([value, 1], source, target)
    assert (float(result), float(one), lost) == (np.inf, 1.0, 1)


def test_half_types_turn_into_each_other():
    assert ours([0.1], "F16", "BF16")[0][0] == ml_dtypes.bfloat16(np.float16(0.1))
    assert ours([0.1], "BF16", "F16")[0][0] == np.float16(ml_dtypes.bfloat16(0.1))


def test_nothing_becomes_nothing():
    assert ours([], "F32", "F16")[0].size == 0
