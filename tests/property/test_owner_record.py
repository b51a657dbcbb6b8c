"""Owner records: fixed length, and nothing but a whole one is believed."""

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from chunkdl.process_identity import ProcessIdentity
from chunkdl.transfer.owner_record import RECORD_BYTES, OwnerRecord, decode_owner, encode_owner

numbers = st.integers(0, 1 << 62)
processes = st.builds(
    ProcessIdentity, st.text(max_size=64), st.text("0123456789abcdef-/", max_size=60), numbers, st.none() | numbers
)
owners = st.builds(
    OwnerRecord, processes, st.text("0123456789abcdef", min_size=16, max_size=16), numbers, numbers, numbers
)


@given(owners)
def test_round_trip_at_one_length(owner):
    data = encode_owner(owner)
    assert len(data) == RECORD_BYTES
    assert decode_owner(data) == owner


@given(owners, owners, st.integers(1, RECORD_BYTES - 1))
def test_half_of_one_and_half_of_another_is_one_of_them_or_nothing(old, new, cut):
    torn = encode_owner(new)[:cut] + encode_owner(old)[cut:]
    assert decode_owner(torn) in (None, old, new)


@given(owners, st.integers(0, RECORD_BYTES - 1))
def test_a_cut_record_is_none(owner, cut):
    assert decode_owner(encode_owner(owner)[:cut]) is None


def _sealed(text):
    body = text.encode().ljust(RECORD_BYTES - 10)
    return body + b" %08x\n" % zlib.crc32(body)


def test_sound_records_with_foreign_content_are_none():
    good = json.loads(encode_owner(OwnerRecord(ProcessIdentity("h", "b", 1, 2), "n", 1))[:-10])
    assert decode_owner(_sealed(json.dumps(good))) is not None
    process = good["process"]
    for change in (
        {"version": 2},
        {"generation": "1"},
        {"counter": -1},
        {"more": 1},
        {"process": None},
        {"process": process | {"pid": "1"}},
        {"process": process | {"pid": -1}},
        {"process": process | {"boot": 7}},
    ):
        assert decode_owner(_sealed(json.dumps(good | change))) is None
    for text in ("", "[]", "null", "{}", "\x00" * 40):
        assert decode_owner(_sealed(text)) is None
