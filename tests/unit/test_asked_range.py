import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.asked_range import asked_range


@pytest.mark.parametrize(
    ("header", "size", "meant"),
    [
        ("bytes=0-9", 100, (0, 10)),
        ("bytes=90-", 100, (90, 100)),
        ("bytes=90-1000", 100, (90, 100)),
        ("bytes=-10", 100, (90, 100)),
        ("bytes=-1000", 100, (0, 100)),
        (" Bytes=5-5 ", 100, (5, 6)),
        ("bytes=100-", 100, (100, 100)),
        ("bytes=0-", 0, (0, 0)),
        ("bytes=-0", 100, (100, 100)),
        ("bytes=9-5", 100, None),
        ("bytes=-", 100, None),
        ("bytes=0-1,5-6", 100, None),
        ("lines=0-1", 100, None),
        ("bytes=²-3", 100, None),
        (f"bytes=0-{'9' * 5000}", 100, None),
        ("", 100, None),
    ],
)
def test_what_a_range_header_means(header, size, meant):
    assert asked_range(header, size) == meant


@given(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 60)), st.one_of(st.none(), st.integers(0, 60)))
def test_it_is_a_slice(size, first, last):
    whole = list(range(size))
    meant = asked_range(f"bytes={'' if first is None else first}-{'' if last is None else last}", size)
    if first is None and last is None:
        assert meant is None
    elif first is None:
        assert whole[slice(*meant)] == (whole[-last:] if last else [])
    elif last is not None and last < first:
        assert meant is None
    else:
        assert whole[slice(*meant)] == whole[first : None if last is None else last + 1]
