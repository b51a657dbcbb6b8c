"""Signed URLs as object stores make them: good for a while, and only byte for byte.

Decides whether a raw request target is one that this signer made and how long it lasts. Deliberately
does not know what lies behind it. Time is passed in.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from dataclasses import dataclass, field

_SIGNATURE = re.compile(
    r"(?P<signed>/cdn/(?P<digest>[0-9a-f]+)\?.*&e=(?P<until>\d+)&g=(?P<age>\d+))&X-Amz-Signature=(?P<mac>\w+)"
)
# Escapes that a client's URL class likes to rewrite: %7E to ~, %2F to /, %3A to :, lower-case hex, a plus sign.
_DELICATE = "response-content-disposition=inline%3B%20filename%2A%3DUTF-8%27%27a%7Eb%2fc%3Ad+e"


@dataclass
class UrlSigner:
    """Makes and checks signed targets; ``revoke`` expires all that were made so far.

    Args:
        secret: two signers of one secret accept each other's targets.
        ttl_s: how long a target is good for; announced in whole seconds, never more than it lasts.
        query: what stands in front of the signature's own parameters.
    """

    secret: str
    ttl_s: float
    query: str = _DELICATE
    _generation: int = field(default=0, init=False)

    def sign(self, digest: str, now: float) -> str:
        """Return the target (path and query) for a content by its hex digest."""
        until_ms = int((now + self.ttl_s) * 1000)  # never later than promised: with 0 s it has expired at once
        signed = f"/cdn/{digest}?{self.query}&X-Amz-Expires={math.floor(self.ttl_s)}&e={until_ms}&g={self._generation}"
        return f"{signed}&X-Amz-Signature={self._mac(signed)}"

    def check(self, target: str, now: float) -> str | None:
        """Return the digest that ``target`` gives access to, or None if it was altered or has expired."""
        parts = _SIGNATURE.fullmatch(target)
        if parts is None or not hmac.compare_digest(parts["mac"], self._mac(parts["signed"])):
            return None
        fresh = now * 1000 < int(parts["until"]) and int(parts["age"]) == self._generation
        return parts["digest"] if fresh else None

    def revoke(self) -> None:
        """Make every target signed so far answer as expired."""
        self._generation += 1

    def _mac(self, signed: str) -> str:
        return hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
