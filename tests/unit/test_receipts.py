import hashlib

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.journal_codec import Header, Record, encode_header, encode_record
from chunkdl.model import MIB, ByteRange, Digest, DigestAlgorithm
from chunkdl.transfer.receipts import Receipts, Taking

DATA = bytes(range(256)) * 16 * 1024 * 2 + b"tail"  # two segments and a bit
DIGEST = Digest(DigestAlgorithm.SHA256, hashlib.sha256(DATA).hexdigest())


def taken(steps):
    taking, at = Taking(DIGEST, len(DATA)), 0
    for step in steps:
        taking.update(memoryview(DATA)[at : at + step])
        at += step
    taking.update(memoryview(DATA)[at:])
    return taking


@given(st.lists(st.integers(1, 5 * MIB), max_size=4))
def test_a_receipt_does_not_depend_on_how_it_was_read(steps):
    taking = taken(steps)
    assert [each.range for each in taking.records] == [
        ByteRange(at, min(at + taking.header.segment_bytes, len(DATA)))
        for at in range(0, len(DATA), taking.header.segment_bytes)
    ]
    for each in taking.records:
        assert each.xxh3 == xxhash.xxh3_128_digest(DATA[each.range.start : each.range.stop])
        assert taking.header.admits(each)


def test_what_is_kept_is_found(tmp_path):
    receipts, taking = Receipts(tmp_path), taken([])
    receipts.keep(taking.header, taking.records)
    found = receipts.find(DIGEST)
    assert (found.header, found.records) == (taking.header, tuple(taking.records))


def test_a_journal_becomes_a_receipt_with_one_record_a_range(tmp_path):
    header = Header(DIGEST, len(DATA), 4 * MIB)
    old, new = (Record(ByteRange(0, stop), bytes([stop % 256]) * 16, "h") for stop in (10, 20))
    (tmp_path / "journal").write_bytes(encode_header(header) + encode_record(old) + encode_record(new))
    Receipts(tmp_path).keep_journal(tmp_path / "journal", DIGEST, DIGEST)
    assert Receipts(tmp_path).find(DIGEST).records == (new,)


def test_a_journal_of_less_than_a_digest_becomes_the_receipt_of_the_whole_one(tmp_path):
    listed = Digest(DigestAlgorithm.SHA256_PREFIX, DIGEST.hex[:8])
    record = Record(ByteRange(0, 10), bytes(16), "h")
    (tmp_path / "journal").write_bytes(encode_header(Header(listed, len(DATA), 4 * MIB)) + encode_record(record))
    Receipts(tmp_path).keep_journal(tmp_path / "journal", listed, DIGEST)
    assert Receipts(tmp_path).find(DIGEST).records == (record,)


@pytest.mark.parametrize(
    "digest", [Digest(DigestAlgorithm.SHA256, "a" * 64), Digest(DigestAlgorithm.UNPROVEN, DIGEST.hex)]
)
def test_a_journal_of_another_content_or_of_an_unproven_one_is_no_receipt(tmp_path, digest):
    header = Header(digest if digest.names_content is False else DIGEST, len(DATA), 4 * MIB)
    (tmp_path / "journal").write_bytes(encode_header(header))
    Receipts(tmp_path).keep_journal(tmp_path / "journal", digest, digest)
    assert Receipts(tmp_path).find(digest) is None


def test_a_state_folder_that_cannot_be_used_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    receipts = Receipts(tmp_path / "file")
    receipts.keep(Header(DIGEST, len(DATA), 4 * MIB), ())
    assert receipts.find(DIGEST) is None


def test_garbage_is_no_receipt(tmp_path):
    receipts = Receipts(tmp_path)
    receipts.path_of(DIGEST).parent.mkdir()
    receipts.path_of(DIGEST).write_bytes(b"garbage")
    assert receipts.find(DIGEST) is None
