import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.http.refusal_text import refusal_text

S3 = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message><Key>x</Key></Error>'


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (S3, "application/xml", "AccessDenied: Request has expired"),
        (b'{"error": "Invalid range"}', "application/json; charset=utf-8", "Invalid range"),
        (b'{"message": "slow down"}', "application/problem+json", "slow down"),
        (b"rate limited\nsecond line", "text/plain", "rate limited"),
        (b"<html><TITLE>403 Forbidden</TITLE></html>", "text/html", "403 Forbidden"),
        (b"<html>nothing</html>", "text/html", ""),
        (b"[1]", "application/json", ""),
        (b"{", "application/json", ""),
        (b"", "", ""),
    ],
)
def test_the_field_that_says_why(body, kind, said):
    assert refusal_text(body, kind) == said


def test_signatures_are_not_repeated():
    signature = "abcdefghij" * 5
    for told in (f"bad {signature}", f"GET /x?X-Amz-Signature={signature} refused"):
        assert signature not in refusal_text(told.encode(), "text/plain")


@given(st.binary(max_size=400), st.sampled_from(["text/plain", "application/json", "text/html", "application/xml"]))
def test_whatever_comes_is_one_short_printable_line(body, kind):
    said = refusal_text(body, kind)
    assert len(said) <= 120
    assert said.isprintable()
