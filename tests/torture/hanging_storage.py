"""A program for the torture tests: ``chunkdl`` on storage of which one call never comes back.

Arguments: where it hangs, then the command line. Says ``hangs`` when it does. ``main`` holds the main thread itself,
with all signals blocked there: as in a call on a dead mount, no Python of that thread runs any more.
"""

import os
import signal
import sys
import threading

from chunkdl import disk
from chunkdl.assemble import hub_destination, place
from chunkdl.cli.main import main
from chunkdl.transfer import ownership

NEVER = threading.Event()


def hanging(*_args, **_named):
    sys.stderr.write("hangs\n")
    sys.stderr.flush()
    NEVER.wait()


def holding_the_main_thread(*_args, **_named):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    sys.stderr.write("hangs\n")
    sys.stderr.flush()
    os.read(os.pipe()[0], 1)


CALLS = {
    "listing": (hub_destination, "take_inventory", hanging),
    "owner": (ownership, "_read", hanging),
    "write": (disk, "write_all", hanging),
    "sync": (disk, "sync_data", hanging),
    "small": (place, "write_new", hanging),
    "rename": (place, "replace", hanging),
    "main": (hub_destination.HubDestination, "paths_of", holding_the_main_thread),
}

if __name__ == "__main__":
    setattr(*CALLS[sys.argv.pop(1)])
    sys.exit(main())
