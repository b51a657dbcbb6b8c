"""Proving from a command: threads at work, progress shown, and an end within a second of a signal."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from chunkdl.caches.proving import Proving
from chunkdl.observe import Progress
from chunkdl.transfer.threads import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chunkdl.caches.proving import Claim
    from chunkdl.observe import WatchedEvent
    from chunkdl.transfer.receipts import Receipts

# As often as a fetch tells.
_TELL_EVERY_S = 0.1
# A disk does not read faster for more readers than this, and a large machine has other work.
_MOST_THREADS = 16


async def prove(claims: Sequence[Claim], receipts: Receipts | None, watch: Callable[[WatchedEvent], None]) -> Proving:
    """Judge all claims, over all cores; ``watch`` hears of the progress. Cancelled, it leaves at once."""
    stop = threading.Event()
    proving = Proving(claims, receipts, stop)
    began = time.monotonic()
    workers = min(_MOST_THREADS, usable_cpus(), max(1, proving.count))
    pool = ThreadPoolExecutor(workers, "chunkdl-prove")
    try:
        running = {asyncio.wrap_future(pool.submit(proving.work)) for _ in range(workers)}
        while running:
            done, running = await asyncio.wait(running, timeout=_TELL_EVERY_S)
            for each in done:
                each.result()
            watch(_progress(proving, time.monotonic() - began))
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return proving


def _progress(proving: Proving, elapsed_s: float) -> Progress:
    rate = proving.done_bytes / elapsed_s if elapsed_s > 0 else 0.0
    left = max(0, proving.total_bytes - proving.done_bytes)
    return Progress(
        proving.done_bytes,
        proving.total_bytes,
        fetched_bytes=0,
        goodput_bytes_per_s=rate,
        eta_s=left / rate if rate else None,
        files_done=len(proving.judged),
        files_total=proving.count,
        hosts=(),
    )
