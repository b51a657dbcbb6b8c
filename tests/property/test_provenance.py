from hypothesis import given
from hypothesis import strategies as st

from chunkdl.core.journal_codec import Record
from chunkdl.core.provenance import Provenance
from chunkdl.model import ByteRange

HOSTS = ("a", "b", "c")


@st.composite
def deliveries(draw):
    start = draw(st.integers(0, 60))
    stop = draw(st.integers(start + 1, 64))
    number = draw(st.integers(0, 2**32))
    return Record(ByteRange(start, stop), number.to_bytes(16, "big"), draw(st.sampled_from(HOSTS)))


@given(st.lists(deliveries(), max_size=30))
def test_every_byte_belongs_to_its_newest_writer(records):
    owner = {}
    for record in records:
        owner |= dict.fromkeys(range(record.range.start, record.range.stop), record.host)
    found = {}
    previous = 0
    for piece in Provenance(records):
        assert piece.range.start >= previous
        previous = piece.range.stop
        found |= dict.fromkeys(range(piece.range.start, piece.range.stop), piece.host)
    assert found == owner


@given(st.lists(deliveries(), max_size=30))
def test_a_hash_is_kept_only_for_bytes_nobody_touched_since(records):
    provenance = Provenance(records)
    for kept in provenance.records():
        newest = max(i for i, record in enumerate(records) if record.range == kept.range and record.xxh3 == kept.xxh3)
        later = records[newest + 1 :]
        assert not any(r.range.start < kept.range.stop and kept.range.start < r.range.stop for r in later)


@given(st.lists(deliveries(), max_size=20), deliveries())
def test_forgotten_bytes_have_no_owner(records, gone):
    provenance = Provenance(records)
    provenance.forget(gone.range)
    for piece in provenance:
        assert piece.range.stop <= gone.range.start or gone.range.stop <= piece.range.start


def test_a_growing_run_replaces_its_shorter_self():
    provenance = Provenance()
    for stop in (10, 20, 30):
        provenance.add(Record(ByteRange(0, stop), bytes([stop]) * 16, "a"))
    assert [(piece.range, piece.xxh3) for piece in provenance] == [(ByteRange(0, 30), bytes([30]) * 16)]
