"""Bytes in memory, written by several threads."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from chunkdl.transfer.memory_part import MemoryPart

WRITERS = 4
SIZE = 1 << 20


def test_first_writes_at_once_all_count():
    step = SIZE // WRITERS
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(WRITERS) as threads:
            for _ in range(200):
                part, start = MemoryPart(SIZE), Barrier(WRITERS)

                def write(number, part=part, start=start):
                    start.wait(10)
                    part.write_at(memoryview(bytes([number + 1]) * step), number * step)

                list(threads.map(write, range(WRITERS)))
                assert {part.data[number * step] for number in range(WRITERS)} == {1, 2, 3, 4}
    finally:
        sys.setswitchinterval(interval)
