"""The torture tests again and again with other seeds, thorough, until the time is over or something breaks."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# How many times more of everything than scripts/test does: a round takes about ten minutes.
FACTOR = 4
# Mirrors that lie stand elsewhere, since in scripts/test they are no torture; here their file has a GiB.
TESTS = ["tests/torture", "tests/integration/test_lying_mirrors.py"]


def one_round(seed: int, factor: int, tests: list[str]) -> bool:
    """True if everything held."""
    environ = {**os.environ, "CHUNKDL_SEED": str(seed), "CHUNKDL_TORTURE": str(factor)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--quiet",
        "--exitfirst",
        "-o",
        "faulthandler_timeout=0",
        *(tests or TESTS),
    ]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == 0


def main() -> int:
    """Start rounds until ``--minutes`` are over; the last one ends in its own time."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, help="of the first round; the others count on from it")
    parser.add_argument("--factor", type=int, default=FACTOR, help="how much more than scripts/test does")
    parser.add_argument("tests", nargs="*", help="files; all of tests/torture and the lying mirrors unless named")
    wanted = parser.parse_args()
    first = wanted.seed if wanted.seed is not None else secrets.randbelow(1 << 31)
    until, rounds = time.monotonic() + 60 * wanted.minutes, 0
    while rounds == 0 or time.monotonic() < until:
        seed = first + rounds
        print(f"round {rounds + 1}, seed {seed}", flush=True)
        if not one_round(seed, wanted.factor, wanted.tests):
            replay = f"CHUNKDL_SEED={seed} CHUNKDL_TORTURE={wanted.factor} pytest"
            print(f"broken; replay: {replay} {' '.join(wanted.tests or TESTS)}")
            return 1
        rounds += 1
    print(f"{rounds} rounds held, seeds {first} to {first + rounds - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
