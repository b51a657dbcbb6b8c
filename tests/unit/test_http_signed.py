import pytest
from yarl import URL

from chunkdl.http.signed import ResolvedUrls, life_s

SIGNED_AT = 1_700_000_000.0  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    ("query", "now", "life"),
    [
        ({"X-Amz-Expires": "3600", "X-Amz-Date": "20231114T221320Z"}, SIGNED_AT, 3600.0),
        ({"X-Amz-Expires": "3600", "X-Amz-Date": "20231114T221320Z"}, SIGNED_AT + 600, 3000.0),
        ({"X-Amz-Expires": "3600", "X-Amz-Date": "20231114T221320Z"}, SIGNED_AT + 9999, 0.0),
        ({"X-Amz-Expires": "3600", "X-Amz-Date": "20231114T221320Z"}, SIGNED_AT - 500, 3600.0),
        ({"X-Amz-Expires": "3600", "X-Amz-Date": "nonsense"}, SIGNED_AT, 3600.0),
        ({"X-Amz-Expires": "3600"}, None, 3600.0),
        ({"X-Goog-Expires": "60", "X-Goog-Date": "20231114T221320Z"}, SIGNED_AT + 10, 50.0),
        ({"x-oss-expires": "60", "x-oss-date": "20231114T221320Z"}, SIGNED_AT, 60.0),
        ({"Expires": "1700000100", "Signature": "x", "Key-Pair-Id": "y"}, SIGNED_AT, 100.0),
        ({"Expires": "1700000100"}, None, None),
        ({"Expires": "soon"}, SIGNED_AT, None),
        ({"etag": "x"}, SIGNED_AT, None),
        ({}, SIGNED_AT, None),
    ],
)
def test_life_of_signed_urls(query, now, life):
    assert life_s(query, now) == life


def test_a_url_is_used_for_four_fifths_of_its_life():
    urls, url = ResolvedUrls(), URL("https://cdn.example/x")
    urls.put("s", url, 100.0, 1000.0)
    assert urls.get("s", 1079.0) is url
    assert urls.get("s", 1080.0) is None
    assert urls.get("s", 1000.0) is None


def test_a_url_without_a_known_life_is_used_until_forgotten():
    urls, url = ResolvedUrls(), URL("https://cdn.example/x")
    urls.put("s", url, None, 0.0)
    assert urls.get("s", 1e9) is url
    urls.forget("s")
    urls.forget("s")
    assert urls.get("s", 0.0) is None


def test_memory_is_bounded():
    urls, url = ResolvedUrls(), URL("https://cdn.example/x")
    for number in range(5000):
        urls.put(str(number), url, None, 0.0)
    assert urls.get("0", 0.0) is None
    assert urls.get("4999", 0.0) is url
