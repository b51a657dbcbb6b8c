"""A program for the torture tests: one of many processes that want to own the same part file.

Arguments: owner file. Each line on stdin is a command: ``claim`` looks once, ``work`` does what an owner
does between two looks, ``leave`` releases. The answer is one line: ``owned <generation>``, ``held``,
``mine``, ``lost``, ``left``.
"""

import sys
import time
from pathlib import Path

from chunkdl.transfer.ownership import Owned, Ownership


def say(answer):
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


def main(path):
    ownership, owned = Ownership(path, time.monotonic), None
    for command in map(str.strip, sys.stdin):
        if command == "claim":
            answer = ownership.claim()
            owned = answer if isinstance(answer, Owned) else None
            say(f"owned {owned.generation}" if owned else "held")
        elif command == "work":
            owned.publish(1)
            say("mine" if owned.still_mine() else "lost")
        elif command == "leave":
            owned.release()
            say("left")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
