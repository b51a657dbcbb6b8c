"""What a fetch may leave open behind it: descriptors and threads of this process."""

import threading
import time
from pathlib import Path

# They end within milliseconds; one that does not end at all is what is looked for.
LIMIT_S = 20.0


def files_open_under(folder):
    """Paths below ``folder`` that this process holds open, deleted ones too."""
    open_now = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            open_now.append(str(link.readlink()))
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return sorted(path for path in open_now if path.startswith(str(folder)))


def our_threads():
    return [each for each in threading.enumerate() if each.name.startswith("chunkdl-")]


def threads_left():
    """Names of our threads that are still alive after a bounded wait."""
    deadline = time.monotonic() + LIMIT_S
    for each in our_threads():
        each.join(max(0.0, deadline - time.monotonic()))
    return [each.name for each in our_threads()]
