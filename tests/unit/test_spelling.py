import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.spelling import (
    percent,
    printable,
    spell_bytes,
    spell_count,
    spell_duration,
    spell_rate,
    spell_reference,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (440_449_768, "420 MiB"),
        (1023 * 1024 * 1024, "1.00 GiB"),
        (5 * 1024**4, "5.00 TiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes(count, text):
    assert spell_bytes(count) == text


def test_a_limit_of_20m_and_the_rate_beside_it_agree():
    assert spell_rate(20 * 1024 * 1024) == "20.0 MiB/s"


@given(st.integers(0, 2**60))
def test_columns_stay_narrow(count):
    assert len(spell_bytes(count)) <= 11


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds, text):
    assert spell_duration(seconds) == text


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_percent_never_claims_more_than_there_is(done, total):
    assert percent(done, total) * total <= 100 * done
    assert (percent(done, total) == 100) == (done >= total)


def test_nothing_to_do_is_done():
    assert percent(0, 0) == 100


def test_plural():
    assert (spell_count(1, "file"), spell_count(0, "file")) == ("1 file", "0 files")


@given(st.text())
def test_printable_is_one_line_without_control_characters(text):
    spelt = printable(text)
    assert len(spelt.splitlines()) <= 1
    assert "\x1b" not in spelt


def test_names_in_any_script_stay_readable():
    assert printable("模型-модель") == "模型-модель"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("org/name@v1", "org/name@v1"),
        ("ms:org/name", "ms:org/name"),
        ("https://h.example/a/b.pth", "https://h.example/a/b.pth"),
        ("https://me:hidden@h.example/b.pth", "https://h.example/b.pth"),
        ("https://h.example/b.pth?X-Amz-Signature=hidden", "https://h.example/b.pth?..."),
        ("https://h.example/b.pth?a=hidden#sha256=00", "https://h.example/b.pth?..."),
        ("https://h.example?hidden", "https://h.example?..."),
        ("https://h.example/a@b/c", "https://h.example/a@b/c"),
    ],
)
def test_a_reference_shows_no_secret_of_an_address(typed, shown):
    assert spell_reference(typed) == shown
