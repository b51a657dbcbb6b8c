import hashlib

import pytest

from chunkdl.assemble.digests import ContentHasher, hash_bytes, hash_file
from chunkdl.errors import StoreBroken
from chunkdl.model import Digest, DigestAlgorithm, Strength, Verified

SHA256, GIT = DigestAlgorithm.SHA256, DigestAlgorithm.GIT_SHA1


@pytest.mark.parametrize(
    ("content", "name"),
    [  # git hash-object
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
    ],
)
def test_git_names_content_with_its_size_in_front(content, name):
    assert hash_bytes(content, Digest(GIT, name)) == Verified(Digest(GIT, name), len(content), Strength.DIGEST)


def test_sha256_is_over_the_content_alone():
    name = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert hash_bytes(b"hello\n", Digest(SHA256, name)) is not None


def test_a_prefix_proves_nothing_even_if_its_hash_matches():
    hasher = ContentHasher(SHA256, 10)
    hasher.update(b"hello")
    assert hasher.prove(Digest(SHA256, hashlib.sha256(b"hello").hexdigest())) is None


def test_views_of_any_item_size_count_in_bytes():
    hasher = ContentHasher(SHA256, 8)
    hasher.update(memoryview(bytearray(8)).cast("I"))
    assert hasher.prove(Digest(SHA256, hashlib.sha256(bytes(8)).hexdigest())) is not None


def test_a_file_is_proven_in_steps_that_are_reported(tmp_path):
    content = bytes(range(256)) * 10_000
    path = tmp_path / "x"
    path.write_bytes(content)
    steps = []
    digest = Digest(SHA256, hashlib.sha256(content).hexdigest())
    assert hash_file(path, digest, len(content), steps.append) == Verified(digest, len(content))
    assert sum(steps) == len(content)
    assert max(steps) <= 1 << 20


def test_a_wrong_size_or_a_flipped_bit_proves_nothing(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"hellp")
    digest = Digest(SHA256, hashlib.sha256(b"hello").hexdigest())
    assert hash_file(path, digest, 5) is None
    path.write_bytes(b"hello!")
    steps = []
    assert hash_file(path, digest, 5, steps.append) is None
    assert steps == []


def test_the_listener_may_stop_the_hashing(tmp_path):
    class Stopped(Exception):
        pass

    def stop(_count):
        raise Stopped

    path = tmp_path / "x"
    path.write_bytes(b"hello")
    with pytest.raises(Stopped):
        hash_file(path, Digest(SHA256, "0" * 64), 5, stop)


def test_a_missing_file_is_a_store_error(tmp_path):
    with pytest.raises(StoreBroken, match="gone"):
        hash_file(tmp_path / "gone", Digest(SHA256, "0" * 64), 5)
