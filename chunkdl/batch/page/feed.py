"""Who listens to the page's events, and what each still has to be sent.

Decides the bounds: so many listeners, so many messages for one that is slow (the oldest go, since each message says
everything), so much history. Deliberately knows no HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from chunkdl.batch.page.view import sample_of, view_of

if TYPE_CHECKING:
    from chunkdl.batch.moment import Moment

# Some people with some windows each; more is an accident or an attack.
MOST_LISTENERS = 16
# A browser in the background sleeps for seconds; of what it missed only the last counts.
_MOST_MESSAGES = 4
# What the plot shows: long enough to see a mirror come and go, and what a night looks like is the report's affair.
HISTORY_S = 600.0
_MOST_SAMPLES = 700
_END = b"event: end\ndata: {}\n\n"
_STILL_HERE = b": still here\n\n"


class Listener:
    """One of them: messages that wait for it."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque(maxlen=_MOST_MESSAGES)
        self._ready = asyncio.Event()

    def offer(self, message: bytes) -> None:
        """One more; the oldest goes if there is no room."""
        self._messages.append(message)
        self._ready.set()

    async def take(self, patience_s: float) -> bytes:
        """What has come, once something has; after ``patience_s`` a comment that keeps the connection known."""
        try:
            async with asyncio.timeout(patience_s):
                await self._ready.wait()
        except TimeoutError:
            return _STILL_HERE
        taken = b"".join(self._messages)
        self._messages.clear()
        self._ready.clear()
        return taken


class Feed:
    """All of them. One event loop."""

    def __init__(self) -> None:
        self.ended = False
        self._listeners: set[Listener] = set()
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=_MOST_SAMPLES)
        self._latest: Moment | None = None

    def publish(self, moment: Moment) -> None:
        """Tell everybody; cheap while nobody listens."""
        while self._samples and not 0 <= moment.at - self._samples[0][0] <= HISTORY_S:
            self._samples.popleft()  # too old, or the clock was set back
        self._samples.append((moment.at, sample_of(moment)))
        self._latest = moment
        if self._listeners:
            self._tell(_event("moment", self._message(moment)))

    def join(self) -> Listener | None:
        """A new listener, who gets the history and the latest moment first; None if there are too many."""
        if len(self._listeners) >= MOST_LISTENERS:
            return None
        listener = Listener()
        self._listeners.add(listener)
        opening = _event("history", self._history())
        if self._latest is not None:
            opening += _event("moment", self._message(self._latest))
        listener.offer(b"retry: 3000\n" + opening)
        return listener

    def leave(self, listener: Listener) -> None:
        """It went away."""
        self._listeners.discard(listener)

    def end(self) -> None:
        """The run is over; everybody is told."""
        self.ended = True
        self._tell(_END)

    def _tell(self, message: bytes) -> None:
        for each in self._listeners:
            each.offer(message)

    def _message(self, moment: Moment) -> dict[str, Any]:
        return {**view_of(moment), "rates": sample_of(moment)}

    def _history(self) -> dict[str, Any]:
        return {"span_s": HISTORY_S, "samples": [[at, rates] for at, rates in self._samples]}


def _event(name: str, values: dict[str, Any]) -> bytes:
    """One event; JSON in ASCII holds no line break that would end it."""
    return f"event: {name}\ndata: {json.dumps(values, separators=(',', ':'))}\n\n".encode("ascii")
