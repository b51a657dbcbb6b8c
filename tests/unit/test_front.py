import hashlib
import random

import xxhash

from chunkdl.assemble.digests import ContentHasher
from chunkdl.core.journal_codec import Record
from chunkdl.model import ByteRange, Digest, DigestAlgorithm
from chunkdl.transfer.front import Front
from chunkdl.transfer.memory_part import MemoryPart
from chunkdl.transfer.runs import RunHasher

SIZE = 100_000
DATA = random.Random(7).randbytes(SIZE)
DIGEST = Digest(DigestAlgorithm.SHA256, hashlib.sha256(DATA).hexdigest())


def full_part(data=DATA):
    part = MemoryPart(len(data))
    part.write_at(memoryview(data), 0)
    return part


def front_over(part, claims=()):
    return Front(part, lambda: ContentHasher(DigestAlgorithm.SHA256, SIZE), claims)


def claim(start, stop, data=DATA):
    return Record(ByteRange(start, stop), xxhash.xxh3_128_digest(data[start:stop]), "host")


def test_it_proves_content_hashed_in_steps():
    front = front_over(full_part())
    for stop in (1, 7_000, 50_000, SIZE):
        assert front.advance(stop) is None
        assert front.hashed_to == stop
    assert front.prove(DIGEST).digest == DIGEST


def test_it_proves_nothing_before_the_end_and_nothing_wrong():
    front = front_over(full_part())
    front.advance(SIZE - 1)
    assert front.prove(DIGEST) is None
    wrong = bytearray(DATA)
    wrong[SIZE // 2] ^= 1
    lying = front_over(full_part(bytes(wrong)))
    lying.advance(SIZE)
    assert lying.prove(DIGEST) is None


def test_claims_that_hold_are_part_of_the_one_pass():
    front = front_over(full_part(), [claim(0, 4_000), claim(9_000, 20_000), claim(20_000, 30_000)])
    assert front.advance(SIZE) is None
    assert front.prove(DIGEST) is not None


def test_a_claim_whose_bytes_changed_comes_back_once_and_the_front_waits_there():
    torn = bytearray(DATA)
    torn[10_000] ^= 0xFF
    part = full_part(bytes(torn))
    front = front_over(part, [claim(0, 8_000), claim(8_000, 16_000)])
    assert front.advance(SIZE) == ByteRange(8_000, 16_000)
    assert front.hashed_to == 8_000
    part.write_at(memoryview(DATA)[8_000:16_000], 8_000)
    assert front.advance(SIZE) is None
    assert front.prove(DIGEST) is not None


def test_forgetting_behind_the_front_starts_over_and_ahead_of_it_does_not():
    front = front_over(full_part(), [claim(60_000, 70_000, bytes(SIZE))])
    front.advance(50_000)
    front.forget(ByteRange(65_000, 66_000))
    assert front.hashed_to == 50_000
    assert front.advance(SIZE) is None, "a forgotten claim is not held against the bytes"
    front.forget(ByteRange(10, 20))
    assert front.hashed_to == 0
    front.advance(SIZE)
    assert front.prove(DIGEST) is not None


def test_runs_hash_to_records_that_the_front_accepts():
    segment = 8_192
    runs = RunHasher(5_000, segment)
    records = []
    for start, stop in ((5_000, 6_000), (6_000, 30_000), (30_000, 40_001)):
        records += runs.feed(memoryview(DATA)[start:stop], start, "host")
    for record in records:
        assert record.range.start // segment == (record.range.stop - 1) // segment
        assert record.xxh3 == xxhash.xxh3_128_digest(DATA[record.range.start : record.range.stop])
    covered = sorted({offset for record in records for offset in range(record.range.start, record.range.stop)})
    assert covered == list(range(5_000, 40_001))
