"""The journal's format: what any crash or damage can make of it, and which claims count."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.journal_codec import Header, Record, claims, decode, encode_header, encode_record
from chunkdl.model import ByteRange, Digest, DigestAlgorithm

SEGMENT = 64
SIZE = 16 * SEGMENT + 7
HEADER = Header(Digest(DigestAlgorithm.SHA256, "ab" * 32), SIZE, SEGMENT)


@st.composite
def records(draw):
    start = draw(st.integers(0, SIZE - 1))
    limit = min(SIZE, (start // SEGMENT + 1) * SEGMENT)
    stop = draw(st.integers(start + 1, limit))
    return Record(ByteRange(start, stop), draw(st.binary(min_size=16, max_size=16)), draw(st.text(max_size=12)))


histories = st.lists(records(), max_size=12)


def journal(history):
    return encode_header(HEADER) + b"".join(map(encode_record, history))


@given(histories)
def test_what_is_encoded_is_decoded(history):
    data = journal(history)
    decoded = decode(data)
    assert (decoded.header, decoded.records, decoded.valid_length) == (HEADER, tuple(history), len(data))


def test_both_digest_algorithms_survive():
    header = Header(Digest(DigestAlgorithm.GIT_SHA1, "0f" * 20), 1 << 40, 8 << 20)
    assert decode(encode_header(header)).header == header


@given(histories, st.data())
def test_a_journal_cut_at_any_byte_decodes_to_the_records_that_are_whole(history, data):
    whole = journal(history)
    cut = data.draw(st.integers(0, len(whole)))
    decoded = decode(whole[:cut])
    ends = [len(journal(history[:n])) for n in range(len(history) + 1)]
    complete = [n for n, end in enumerate(ends) if end <= cut]
    assert decoded.valid_length == (ends[complete[-1]] if complete else 0)
    assert decoded.records == (tuple(history[: complete[-1]]) if complete else ())
    assert decoded.header == (HEADER if complete else None)


@given(histories, st.data())
def test_damage_at_any_byte_loses_that_record_and_what_follows(history, data):
    whole = bytearray(journal(history))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    ends = [len(journal(history[:n])) for n in range(len(history) + 1)]
    sound = [n for n, end in enumerate(ends) if end <= at]
    decoded = decode(bytes(whole))
    assert decoded.records == (tuple(history[: sound[-1]]) if sound else ())


@given(histories, st.integers(1, 200))
def test_zeros_that_a_power_cut_leaves_are_no_records(history, zeros):
    decoded = decode(journal(history) + bytes(zeros))
    assert decoded.records == tuple(history)
    assert decoded.valid_length == len(journal(history))


@given(histories, st.sets(st.integers(0, 40)), st.integers(8, 64))
def test_sectors_that_a_power_cut_kept_from_the_disk_leave_a_prefix(history, lost, sector):
    whole = bytearray(journal(history))
    for number in lost:
        start, stop = number * sector, min((number + 1) * sector, len(whole))
        whole[start:stop] = bytes(max(0, stop - start))
    records = decode(bytes(whole)).records
    assert records == tuple(history[: len(records)])


@given(st.binary(max_size=300), st.booleans())
def test_garbage_never_raises(junk, behind_magic):
    decoded = decode((b"chunkdl journal 1\n" if behind_magic else b"") + junk)
    assert decoded.valid_length <= len(junk) + 18


def _framed(body):
    framed = struct.pack("<H", len(body)) + body
    return framed + struct.pack("<I", zlib.crc32(framed))


@given(st.binary(max_size=120))
def test_sound_frames_with_senseless_bodies_are_refused_not_believed(body):
    decoded = decode(encode_header(HEADER) + _framed(body))
    assert all(HEADER.admits(record) and encode_record(record) == _framed(body) for record in decoded.records)
    assert decode(b"chunkdl journal 1\n" + _framed(body)).records == ()


def test_a_record_across_segments_or_beyond_the_file_ends_the_journal():
    good = Record(ByteRange(0, SEGMENT), bytes(16), "h:1")
    for bad in (ByteRange(SEGMENT - 1, SEGMENT + 1), ByteRange(SIZE - 1, SIZE + 1), ByteRange(0, 1 << 40)):
        history = [good, Record(bad, bytes(16), "h:1"), good]
        assert decode(journal(history)).records == (good,)


@given(histories)
def test_claims_are_disjoint_sorted_and_the_newest_of_overlapping_ones(history):
    expected = []
    for new in history:
        apart = [old for old in expected if old.range.stop <= new.range.start or new.range.stop <= old.range.start]
        expected = [*apart, new]
    assert claims(history) == tuple(sorted(expected, key=lambda record: record.range.start))


def test_a_growing_run_replaces_its_shorter_self():
    history = [Record(ByteRange(8, stop), bytes([stop]) * 16, "h:1") for stop in (10, 20, 64)]
    assert claims(history) == (history[-1],)
    assert claims(claims(history)) == claims(history)


@pytest.mark.parametrize(
    "bad", [Record(ByteRange(0, 1), b"short", "h:1"), Record(ByteRange(0, 1), bytes(16), "h" * 2000)]
)
def test_a_record_that_could_not_be_read_back_is_refused(bad):
    with pytest.raises(ValueError, match="not a journal record"):
        encode_record(bad)
