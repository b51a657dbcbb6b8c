"""A program for the torture tests: writes a part file and its journal until it is killed.

Arguments: folder, seed of what this run writes, after how many appends the journal is compacted. Says
how many claims it found, then a dot for each append that has returned. What it writes at which offset is
a function of the offset alone, so whoever looks afterwards can tell a wrong byte; which ranges it writes
in which order is a function of the seed.
"""

import asyncio
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash

from chunkdl.core.journal_codec import Header, Record, claims
from chunkdl.model import ByteRange, Digest
from chunkdl.transfer.journal import Journal
from chunkdl.transfer.partfile import PartFile

SEGMENT = 1 << 14
HEADER = Header(Digest.parse("sha256:" + "cd" * 32), 64 * SEGMENT + 99, SEGMENT)
_PATTERN = xxhash.xxh3_64_digest(b"pattern") * 4096  # 32 KiB


def content(start, stop):
    """The bytes of ``[start, stop)``: each block of 4 KiB begins with its own number."""
    first, beyond = start // 4096, -(-stop // 4096)
    blocks = b"".join(b.to_bytes(8, "big") + _PATTERN[b % 8 : b % 8 + 4088] for b in range(first, beyond))
    return blocks[start - first * 4096 : stop - first * 4096]


def history(seed):
    """Endless batches of ranges inside segments: runs that grow from one start, as leases record them."""
    rng = random.Random(seed)
    while True:
        batch = []
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(HEADER.size)
            limit = min(HEADER.size, (start // SEGMENT + 1) * SEGMENT)
            stops = sorted(rng.randint(start + 1, limit) for _ in range(rng.randint(1, 3)))
            batch += [ByteRange(start, stop) for stop in stops]
        yield batch


def record(wanted):
    """The claim about a range."""
    return Record(wanted, xxhash.xxh3_128_digest(content(wanted.start, wanted.stop)), f"host{wanted.start % 3}:443")


def say(answer):
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


async def main(folder, seed, compact_every):
    with ThreadPoolExecutor(2) as executor:
        part = PartFile.open(folder / "part", HEADER.size)
        journal, found = await Journal.open(folder / "journal", HEADER, executor)
        say(len(found))
        said = list(found)
        for number, batch in enumerate(history(seed)):
            for wanted in batch:
                part.write_at(content(wanted.start, wanted.stop), wanted.start)
            if number % compact_every == compact_every - 1:
                await journal.rewrite(claims(said))
            said += map(record, batch)
            await journal.append(said[-len(batch) :])
            say(".")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
