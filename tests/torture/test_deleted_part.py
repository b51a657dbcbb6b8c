"""``hf cache rm`` beside a transfer: names go while threads write, bytes do not."""

import random
from concurrent.futures import ThreadPoolExecutor

from chunkdl.transfer.partfile import PartFile
from tests.support.trials import seeded

SIZE = 8 << 20
BLOCK = 1 << 14
BLOCKS = SIZE // BLOCK
WRITERS = 4
DELETIONS = 12


def block(number):
    return number.to_bytes(4, "big") * (BLOCK // 4)


def test_a_part_deleted_again_and_again_under_four_writers_is_whole_in_the_end(tmp_path):
    path = tmp_path / "blobs" / "p"
    path.parent.mkdir()
    numbers = list(range(BLOCKS))
    random.Random(seeded()).shuffle(numbers)
    with PartFile.open(path, SIZE) as part, ThreadPoolExecutor(WRITERS) as writers:
        stride = BLOCKS // DELETIONS
        for first in range(0, BLOCKS, stride):
            batch = [
                writers.submit(part.write_at, block(number), number * BLOCK)
                for number in numbers[first : first + stride]
            ]
            path.unlink()
            path.parent.rmdir()
            assert part.vanished()
            part.rescue(path)
            for write in batch:
                write.result(30)
        assert not part.vanished()
    data = path.read_bytes()
    assert len(data) == SIZE
    assert [n for n in range(BLOCKS) if data[n * BLOCK : (n + 1) * BLOCK] != block(n)] == []
