"""A batch runner to be killed: ``batch_process.py FOLDER T0 SPEED``; its wall clock stood at NOON at T0."""

import asyncio
import os
import random
import sys
import time
from datetime import UTC
from pathlib import Path

from chunkdl.batch.bookkeeping import Books
from chunkdl.batch.ending import Mode
from chunkdl.batch.orders import Orders
from chunkdl.batch.policy import policy_of
from chunkdl.batch.policy_record import policy_now, read_policy_record
from chunkdl.batch.runner import Runner
from chunkdl.batch.runner_lock import RunnerLock

NOON = 1_790_000_000 // 86_400 * 86_400 + 12 * 3600


async def work(folder: Path, began: float, speed: float) -> int:
    def clock():
        return NOON + (time.time() - began) * speed

    def policy(remembered):
        text, _ = policy_now(read_policy_record(remembered), UTC)
        return policy_of(text, UTC)

    async def nothing(*_anything):
        pass

    lock = RunnerLock(folder / "state")
    lock.acquire()
    print("ready", flush=True)  # noqa: T201  for whoever waits for it
    orders = Orders(Mode.WATCH, None, policy, dict(os.environ), nothing, nothing)
    async with Books(folder / "state" / "batch.sqlite") as books:
        runner = Runner(
            books, orders, lambda moment: stop_when_done(moment, asyncio.current_task()), random.Random(), clock
        )
        try:
            await runner.run()
        except asyncio.CancelledError:
            return 0
    return 1


def stop_when_done(moment, task):
    if moment.jobs and all(each.job.state == "done" for each in moment.jobs):
        task.cancel()


if __name__ == "__main__":
    sys.exit(asyncio.run(work(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))
