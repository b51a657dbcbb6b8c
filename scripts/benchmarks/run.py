"""Side by side on one machine: what a gigabyte costs, and what unequal or silent mirrors cost.

Prints Markdown tables. Everything runs on loopback: the figures compare programs, not networks.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / "benchmarks"), str(ROOT / "tests")]

from measuring import Cost, measure, middle, table  # noqa: E402
from rivals import FILE, REPO, Job, aria2c, chunkdl, hf, limited_batch, limited_fetch  # noqa: E402
from support.nginx import NginxMirror  # noqa: E402

from chunkdl.testing import HubRepo, MirrorProcess, SeededContent  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
# Unequal as real mirrors are, and slow enough that shaping, not this machine, is what binds.
RATES_BYTES_PER_S = (16 * MIB, 8 * MIB, 4 * MIB)
SHAPED_BYTES = 280 * MIB
# A limit is judged over ten seconds, after five in which buffers fill.
LIMITS_BYTES_PER_S = (4 * MIB, 20 * MIB)
SETTLING_S, JUDGED_S = 5, 10

Command = Callable[[Job], list[str]]


def repository(size: int) -> HubRepo:
    """One large file, as LFS."""
    return HubRepo(REPO, {FILE: SeededContent(seed=1, size=size), "config.json": b"{}"})


def in_fresh_home(folder: Path, work: Callable[[Path], object]) -> None:
    """Call ``work`` with an empty folder that is gone afterwards, so that no run profits from another."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        work(Path(home))


def side_by_side(folder: Path, size: int, repeat: int, rivals: dict[str, Command]) -> str:
    """The cost of a file from one unshaped nginx."""
    repo = repository(size)
    costs: dict[str, list[tuple[Cost, float]]] = {name: [] for name in rivals}
    with NginxMirror([repo], folder / "nginx") as mirror:
        log = folder / "nginx" / "access.log"

        def once(name: str, home: Path) -> None:
            job = Job([mirror.url], repo.commit, repo.entries[FILE].digest, home)
            cost = measure(rivals[name](job), job.environment)
            costs[name].append((cost, cost.ended - log.stat().st_mtime))  # nginx logs a request when it ends

        for _ in range(repeat):
            for name in rivals:
                in_fresh_home(folder, partial(once, name))
    rows = [
        [
            name,
            middle([cost.cpu_s * GIB / size for cost, _ in each]),
            middle([size / cost.wall_s / MIB for cost, _ in each], 0),
            middle([cost.rss_bytes / MIB for cost, _ in each], 0),
            middle([tail_s for _, tail_s in each]),
        ]
        for name, each in costs.items()
    ]
    return table(["", "CPU s/GiB", "goodput MiB/s", "peak RSS MiB", "last byte to end, s"], rows)


def unequal(folder: Path, repeat: int, rivals: dict[str, Command], *, silence: bool) -> str:
    """The share of what three shaped mirrors could give; with ``silence`` the fastest stops halfway."""
    repo = repository(SHAPED_BYTES)
    shares: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeat):
        for name, command in rivals.items():
            in_fresh_home(folder, lambda home: shares[name].append(share(repo, command, home, silence=silence)))  # noqa: B023  called at once
    said = "share of what the other two could give" if silence else "share of the sum of rates"
    return table(["", said], [[name, middle(each)] for name, each in shares.items()])


def share(repo: HubRepo, command: Command, home: Path, *, silence: bool) -> float:
    """Ideal wall time of an omniscient client by that of ``command``."""
    with ExitStack() as stack:
        mirrors = [stack.enter_context(MirrorProcess([repo], rate_bytes_per_s=rate)) for rate in RATES_BYTES_PER_S]
        fastest = Fastest(mirrors[0], SHAPED_BYTES // 4 if silence else None)
        stack.callback(fastest.wake)
        # The slowest is the hub, so that the others' failures are not the listing's.
        job = Job([each.url for each in reversed(mirrors)], repo.commit, repo.entries[FILE].digest, home)
        cost = measure(command(job), job.environment, fastest.look)
    others = sum(RATES_BYTES_PER_S[1:]) if silence else sum(RATES_BYTES_PER_S)
    return (SHAPED_BYTES - fastest.gave) / others / cost.wall_s


def limited(folder: Path, repeat: int, ways: dict[str, Callable[[Job, int], list[str]]]) -> str:
    """What three servers gave in the ten seconds after the first five, as a share of the limit that was asked for."""
    rows = []
    for limit in LIMITS_BYTES_PER_S:
        repo = repository(limit * (SETTLING_S + JUDGED_S + 2))
        for name, way in ways.items():
            shares: list[float] = []
            for _ in range(repeat):
                in_fresh_home(folder, lambda home: shares.append(share_of_limit(repo, way, home, limit)))  # noqa: B023  called at once
            rows.append([f"{name}, {limit // MIB} MiB/s", middle(shares, 3)])
    return table(["", "measured at the servers, of the limit"], rows)


def share_of_limit(repo: HubRepo, way: Callable[[Job, int], list[str]], home: Path, limit: int) -> float:
    """The rate at the servers by the limit."""
    with ExitStack() as stack:
        mirrors = [stack.enter_context(MirrorProcess([repo], send_buffer_bytes=64 << 10)) for _ in RATES_BYTES_PER_S]
        job = Job([each.url for each in mirrors], repo.commit, repo.entries[FILE].digest, home)
        meter = Meter(mirrors)
        measure(way(job, limit), job.environment, meter.look)
    return meter.rate_bytes_per_s() / limit


class Meter:
    """Reads what servers gave at the beginning and the end of the seconds that count."""

    def __init__(self, mirrors: list[MirrorProcess]) -> None:
        self._mirrors = mirrors
        self._began = 0.0
        self._seen: list[tuple[float, int]] = []

    def look(self) -> None:
        """Note the moment after the settling and the one after the judged time, counted from the first bytes."""
        due = SETTLING_S + JUDGED_S * len(self._seen)
        now = time.monotonic()
        if len(self._seen) < 2 and (not self._began or now >= self._began + due):  # noqa: PLR2004  beginning and end
            given = sum(each.read("bytes_served") for each in self._mirrors)
            if not self._began:
                self._began = now if given > MIB else 0.0
            else:
                self._seen.append((time.monotonic(), given))

    def rate_bytes_per_s(self) -> float:
        """Between the two."""
        (start, before), (stop, after) = self._seen
        return (after - before) / (stop - start)


class Fastest:
    """The mirror that goes silent, connections open, once it has given ``limit`` bytes (never if None)."""

    def __init__(self, mirror: MirrorProcess, limit: int | None) -> None:
        self._mirror = mirror
        self._limit = limit
        self.gave = 0

    def look(self) -> None:
        """Stop the mirror's process when it is time."""
        if self._limit is not None and not self.gave and (gave := self._mirror.read("bytes_served")) >= self._limit:
            os.kill(self._mirror.pid, signal.SIGSTOP)
            self.gave = gave

    def wake(self) -> None:
        """Let the process end."""
        os.kill(self._mirror.pid, signal.SIGCONT)


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hf", default=shutil.which("hf"), help="the hf program to compare with")
    parser.add_argument("--size", type=float, default=2, metavar="GIB", help="size of the side-by-side file")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; medians are printed, with the spread")
    parser.add_argument("--only", choices=("cost", "unequal", "silent", "limit"), help="one table instead of all")
    asked = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108  a disk would be what is measured
    with tempfile.TemporaryDirectory(prefix="chunkdl-bench-", dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}")
        if asked.only in {None, "cost"}:
            rivals: dict[str, Command] = {"chunkdl": chunkdl, "hf download (no digest)": partial(hf, asked.hf)}
            rivals |= {"aria2c, 8 connections, sha-256": partial(aria2c, prove=True)}
            rivals |= {"aria2c, 8 connections (no digest)": partial(aria2c, prove=False)}
            print(f"\n{asked.size:g} GiB from one nginx on loopback, into memory:\n")
            print(side_by_side(folder, int(asked.size * GIB), asked.repeat, rivals))
        shaped: dict[str, Command] = {"chunkdl": chunkdl, "aria2c": partial(aria2c, prove=True)}
        shaped |= {"aria2c --timeout=8": partial(aria2c, prove=True, timeout_s=8)}
        rates = ", ".join(str(each // MIB) for each in RATES_BYTES_PER_S)
        for kind, said in (("unequal", "steady"), ("silent", "the fastest goes silent midway")):
            if asked.only in {None, kind}:
                print(f"\n{SHAPED_BYTES // MIB} MiB from three mirrors of {rates} MiB/s, {said}:\n")
                print(unequal(folder, asked.repeat, shaped, silence=kind == "silent"))
        if asked.only in {None, "limit"}:
            print("\nA rate limit, three unshaped mirrors, ten seconds after the first five:\n")
            ways = {"fetch --limit-rate": limited_fetch, "batch run --bwlimit": limited_batch}
            print(limited(folder, asked.repeat, ways))


if __name__ == "__main__":
    main()
