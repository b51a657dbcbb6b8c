"""A program for the torture tests: many fetches in one process, and what is left of each.

Arguments: folder, number of fetches, URLs. Prints one line of JSON after each fetch: resident bytes, descriptors,
threads, asyncio tasks and objects of ours, when everything of that fetch has been given back.
"""

import asyncio
import gc
import json
import os
import shutil
import sys
import threading
from pathlib import Path

from chunkdl.api import FetchOptions, run_fetch
from chunkdl.settings import Settings, mirror_at


def left():
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident_bytes": resident_pages * os.sysconf("SC_PAGE_SIZE"),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        # The loop's own pool grows to its size in its own time.
        "threads": sum(not each.name.startswith("asyncio") for each in threading.enumerate()),
        "tasks": len(asyncio.all_tasks()),
        "objects": sum(str(type(each).__module__).startswith("chunkdl.") for each in gc.get_objects()),
    }


async def main(folder, count, origin, *mirrors):
    for number in range(count):
        settings = Settings(
            origin=mirror_at(origin, is_origin=True),
            mirrors=tuple(map(mirror_at, mirrors)),
            cache_dir=folder / "hub",
            state_dir=folder / "state",
        )
        fetch = asyncio.ensure_future(run_fetch(["org/name"], FetchOptions(), settings))
        if number % 5 == 4:  # now and then somebody changes his mind
            await asyncio.wait([fetch], timeout=0.02 * (number % 7))
            fetch.cancel()
            await asyncio.wait([fetch])
        else:
            report = await fetch
            assert report.exit_code == 0, report
        shutil.rmtree(folder / "hub", ignore_errors=True)
        for thread in threading.enumerate():  # pools are told to end and not waited for
            if thread.name.startswith("chunkdl"):
                await asyncio.to_thread(thread.join, 10)
        sys.stdout.write(json.dumps(left()) + "\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
