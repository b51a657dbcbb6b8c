import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.response import ContentRange, Usable, content_length, judge, parse_content_range, retry_after_s
from chunkdl.errors import ContentEncoded, HTTPStatus, NotTheFile, RangeMismatch
from chunkdl.model import ByteRange

SIZE = 1000
ASKED = ByteRange(100, 200)
EXACT = {"content-range": "bytes 100-199/1000", "content-length": "100"}


def verdict(status, headers, asked=ASKED):
    return judge(status, headers, asked, size=SIZE, mirror="m1")


def test_exact_206():
    assert verdict(206, EXACT) == Usable(ranged=True, start=100, stop=200, framed=True, total=SIZE)


def test_206_may_leave_the_total_and_the_length_open():
    assert verdict(206, {"content-range": "bytes 100-199/*"}) == Usable(
        ranged=True, start=100, stop=200, framed=False, total=None
    )


def test_206_that_announces_more_than_its_range_is_cut():
    assert not verdict(206, EXACT | {"content-length": "5000"}).framed


@pytest.mark.parametrize(
    "content_range",
    [
        "",
        "bytes 96-195/1000",
        "bytes 104-203/1000",
        "bytes 100-198/1000",
        "bytes 100-299/1000",
        "bytes 100-199/999",
        "bytes */1000",
        "items 100-199/1000",
        "bytes 199-100/1000",
        "bytes 100-199/150",
        "bytes 100-199/1000, 300-400/1000",
        "bytes -100-199/1000",
        "bytes 100-199/" + "9" * 40,
    ],
)
def test_any_other_content_range_is_a_mismatch(content_range):
    with pytest.raises(RangeMismatch, match="m1") as caught:
        verdict(206, EXACT | {"content-range": content_range})
    assert caught.value.mirror == "m1"


def test_206_shorter_than_its_own_range_is_a_mismatch():
    with pytest.raises(RangeMismatch):
        verdict(206, EXACT | {"content-length": "99"})


def test_206_unasked_is_a_mismatch():
    with pytest.raises(RangeMismatch):
        verdict(206, EXACT, asked=None)


def test_416_is_a_mismatch_since_the_size_is_known():
    with pytest.raises(RangeMismatch, match="416"):
        verdict(416, {"content-range": "bytes */50"})


@pytest.mark.parametrize("asked", [None, ASKED])
@pytest.mark.parametrize(("headers", "framed"), [({"content-length": "1000"}, True), ({}, False)])
def test_200_starts_at_0_with_the_right_length_or_none(asked, headers, framed):
    got = verdict(200, headers, asked)
    assert (got.ranged, got.start, got.stop, got.framed) == (False, 0, SIZE, framed)


def test_200_of_another_length_is_a_mismatch():
    with pytest.raises(RangeMismatch, match="999"):
        verdict(200, {"content-length": "999"})


@pytest.mark.parametrize("status", [200, 206])
def test_encoded_bodies_are_refused(status):
    with pytest.raises(ContentEncoded, match="gzip"):
        verdict(status, EXACT | {"content-encoding": "GZip"})
    assert verdict(206, EXACT | {"content-encoding": "identity"}).ranged


@pytest.mark.parametrize("length", [{}, {"content-length": "512"}])
def test_an_html_page_is_not_the_file(length):
    with pytest.raises(NotTheFile):
        verdict(200, {"content-type": "text/html; charset=utf-8"} | length)


def test_an_html_file_of_the_right_length_is():
    assert verdict(200, {"content-type": "text/html", "content-length": "1000"}).framed


@pytest.mark.parametrize(
    ("status", "retryable"), [(204, False), (302, False), (403, False), (404, False), (429, True), (503, True)]
)
def test_other_statuses(status, retryable):
    with pytest.raises(HTTPStatus) as caught:
        verdict(status, {"x-error-code": "GatedRepo", "x-error-message": "ask\x07 first\n"})
    assert (caught.value.status, caught.value.retryable, caught.value.error_code) == (status, retryable, "GatedRepo")
    assert caught.value.message == f"m1 answered HTTP {status}, GatedRepo, ask first"


@pytest.mark.parametrize(
    ("status", "headers", "wish"),
    [
        (503, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "1.5"}, 1.5),
        (429, {}, None),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "-5"}, None),
        (429, {"retry-after": "999999"}, 3600.0),
        (429, {"ratelimit": '"resolvers";r=0;t=55'}, 56.0),
        (429, {"ratelimit": '"resolvers";r=0;t=55', "retry-after": "1"}, 56.0),
        (429, {"ratelimit": '"resolvers";r=3;t=55', "retry-after": "1"}, 1.0),
        (503, {"ratelimit": '"resolvers";r=0;t=55'}, None),
        (
            503,
            {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:19 GMT"},
            40.0,
        ),
        (503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Sat, 01 Jan 2000 00:10:00 GMT"}, 0.0),
        (503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
    ],
)
def test_what_the_peer_wishes(status, headers, wish):
    assert retry_after_s(status, headers) == wish


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "12"}, 12),
        ({}, None),
        ({"content-length": "1_2"}, None),
        ({"content-length": "+12"}, None),
        ({"content-length": "٣"}, None),
        ({"content-length": "12", "transfer-encoding": "chunked"}, None),
    ],
)
def test_content_length(headers, length):
    assert content_length(headers) == length


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.integers(0, 10**12))
def test_content_range_round_trip(start, length, beyond):
    stop = start + length
    assert parse_content_range(f"bytes {start}-{stop - 1}/{stop + beyond}") == ContentRange(start, stop, stop + beyond)


@given(st.text())
def test_content_range_survives_anything(text):
    got = parse_content_range(text)
    assert got is None or got.start < got.stop
