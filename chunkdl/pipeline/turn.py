"""Waiting until what one owner file stands for is ours: a part file, or the work on one reference.

Decides how often a waiting process looks, what it shows meanwhile, and that a right which a thread acquires
while we are being cancelled is given back all the same.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from chunkdl.errors import StoreError
from chunkdl.transfer.ownership import HeldElsewhere, Owned, Ownership
from chunkdl.transfer.threads import settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from chunkdl.pipeline.session import Session

# How often a waiting process looks whether the owner is done or dead: a dead one on this host is
# noticed at the next look, and one look is one small read.
_LOOK_EVERY_S = 0.5


class Turn:
    """One wish to own one owner file. Whoever begins to ``wait`` must call ``give_back``, however that ends."""

    def __init__(self, session: Session, pool: ThreadPoolExecutor, path: Path, what: str) -> None:
        """``pool`` is where files are looked at; ``what`` tells waits of one run apart."""
        self.owned: Owned | None = None
        self.seen: set[str] = set()  # nonces of those who were waited for
        self._session = session
        self._pool = pool
        self.path = path
        self._what = what

    async def wait(self, over: Callable[[], bool]) -> Owned | None:
        """Own it, waiting while somebody else does; None once ``over`` says that nothing is left to wait for.

        ``over`` is asked in a thread: it may look at files.

        Raises ``StoreError`` if owner files cannot be made here.
        """
        threads, waiting = self._session.threads, self._session.engine.waiting
        attempt = partial(Ownership.acquire, self.path, time.monotonic)
        try:
            while (held := await settled(threads.submit(self._pool, self._own, attempt, over))) is not None:
                waiting(self._what, held.owner, held.published.done_bytes if held.published else 0)
                await asyncio.sleep(_LOOK_EVERY_S)
                attempt = partial(held.again)
        finally:
            waiting(self._what, None, 0)
        return self.owned

    def give_back(self, *, unfinished: bool = False) -> None:
        """Blocks for one small file operation; calling twice is harmless.

        ``unfinished`` leaves the work to one of those who wait, else all of them are free to go.
        """
        if self.owned is not None:
            with suppress(StoreError):  # our end is seen all the same: no reason to call a placed content a failure
                self.owned.leave() if unfinished else self.owned.release()

    def _own(self, attempt: Callable[[], Owned | HeldElsewhere], over: Callable[[], bool]) -> HeldElsewhere | None:
        """In a thread: who else holds it, or None and it is ours, or nothing is left to wait for."""
        held = attempt()
        if isinstance(held, HeldElsewhere):
            if held.published is not None:
                self.seen.add(held.published.nonce)
            return None if over() else held
        self.owned = held
        return None
