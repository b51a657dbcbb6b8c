import hashlib

import pytest

from chunkdl.core.content_headers import EMPTY, ContentFacts, etag_digest, read_facts
from chunkdl.model import Digest

SHA256, GIT = "a" * 64, "b" * 40
LARGE = Digest.parse(f"sha256:{SHA256}")
SMALL = Digest.parse(f"git-sha1:{GIT}")


class TestEtag:
    @pytest.mark.parametrize("etag", [f'"{SHA256}"', SHA256, f' "{SHA256}" '])
    def test_of_64_digits_is_a_sha256(self, etag):
        assert etag_digest(etag) == LARGE

    def test_of_40_digits_is_what_git_says(self):
        assert etag_digest(f'"{GIT}"') == SMALL

    @pytest.mark.parametrize(
        "etag",
        [
            "",
            '""',
            f'W/"{SHA256}"',
            f'W/"{GIT}"',
            f'"{"c" * 32}"',
            f'"{"c" * 32}-10"',
            f'"{"c" * 37}-10"',
            f'"{"d" * 61}-12"',
            f'"{SHA256.upper()}"',
            f'"{SHA256}',
            f'"{SHA256}0"',
            f'"{GIT}-gzip"',
            '"5f3759df-1000"',
            f'"{SHA256}", "{SHA256}"',
        ],
    )
    def test_anything_else_is_no_digest(self, etag):
        assert etag_digest(etag) is None


class TestFacts:
    @pytest.mark.parametrize(
        ("status", "headers", "size"),
        [
            (200, {"content-length": "7"}, 7),
            (200, {"content-length": "0"}, 0),
            (200, {"content-length": "7", "content-encoding": "gzip"}, None),
            (200, {"content-length": "7", "content-encoding": "identity"}, 7),
            (200, {"content-length": "7", "transfer-encoding": "chunked"}, None),
            (200, {"content-length": "7", "x-linked-size": "9"}, 9),
            (200, {"content-length": "9" * 19}, None),
            (200, {}, None),
            (302, {"content-length": "7"}, None),
            (302, {"content-length": "7", "x-linked-size": "9"}, 9),
            (302, {"x-linked-size": "nine"}, None),
            (302, {"x-linked-size": "-9"}, None),
            (206, {"content-length": "1", "content-range": "bytes 0-0/9"}, 9),
            (206, {"content-length": "1", "content-range": "bytes 0-0/*"}, None),
            (206, {"content-length": "1"}, None),
            (206, {"content-range": "bytes 0-0/9", "content-encoding": "gzip"}, None),
            (416, {"content-range": "bytes */0", "content-length": "6"}, 0),
            (416, {"content-range": "bytes */9", "content-length": "6"}, None),
            (416, {"content-length": "0"}, None),
        ],
    )
    def test_the_size_is_the_whole_contents(self, status, headers, size):
        assert read_facts(status, headers).size == size

    def test_the_hubs_own_tag_counts_before_the_data_hosts(self):
        both = {"x-linked-etag": f'"{SHA256}"', "etag": f'"{GIT}"'}
        assert read_facts(200, both).digest == LARGE
        assert read_facts(200, both | {"x-linked-etag": f'W/"{SHA256}"'}).digest == SMALL
        assert read_facts(200, {"etag": '"x"'}).digest is None

    def test_the_commit_is_passed_on_as_it_is(self):
        assert read_facts(200, {"x-repo-commit": "main"}).commit == "main"
        assert read_facts(200, {"x-repo-commit": ""}).commit is None


class TestJoining:
    def test_an_earlier_word_stands(self):
        first, second = ContentFacts(1, SMALL, "c"), ContentFacts(2, LARGE, "d")
        assert first.joined(second) == first
        assert ContentFacts().joined(second) == second
        assert second.joined(ContentFacts()) == second

    def test_a_size_of_nought_gives_way(self):
        assert ContentFacts(0, SMALL).joined(ContentFacts(9)) == ContentFacts(9, SMALL)
        assert ContentFacts(0).joined(ContentFacts()).size == 0
        assert ContentFacts(9).joined(ContentFacts(0)).size == 9

    def test_complete_is_what_does_not_contradict_itself(self):
        empty_sha256 = Digest.parse(f"sha256:{hashlib.sha256(b'').hexdigest()}")
        assert ContentFacts(9, SMALL).complete
        assert ContentFacts(0, EMPTY).complete
        assert ContentFacts(0, empty_sha256).complete
        for facts in (
            ContentFacts(9),
            ContentFacts(None, SMALL),
            ContentFacts(0, SMALL),
            ContentFacts(9, EMPTY),
            ContentFacts(9, empty_sha256),
        ):
            assert not facts.complete

    def test_git_names_the_empty_content_so(self):
        assert hashlib.sha1(b"blob 0\0", usedforsecurity=False).hexdigest() == EMPTY.hex
