"""Where a source's redirects led, remembered while that is good for more requests.

A hub counts every resolve request and no CDN request, so that short leases must reuse the signed URL.
Decides for how long; deliberately does not know what answers such a URL gives.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

# scheduling.md §9.1: a URL is left alone from 80 % of its life on, so that a request never meets its end.
_USED_SHARE = 0.8

# One entry a file of a run; the oldest is resolved again beyond this.
_MAX_URLS = 4096

# Signing schemes that state a life in seconds beside the moment of signing: S3, Google, Aliyun OSS v4.
_RELATIVE = (("x-amz-expires", "x-amz-date"), ("x-goog-expires", "x-goog-date"), ("x-oss-expires", "x-oss-date"))


def life_s(query: Mapping[str, str], peer_now_s: float | None) -> float | None:
    """Seconds for which a signed URL will work, None if its query does not say.

    ``peer_now_s`` is the redirecting peer's ``Date`` in seconds since the epoch, so that our clock
    does not matter; without it absolute ends cannot be used.
    """
    asked = {name.lower(): value for name, value in query.items()}
    for life, signed_at in _RELATIVE:
        if asked.get(life, "").isdecimal():
            return _since_signing(float(asked[life]), asked.get(signed_at, ""), peer_now_s)
    end = asked.get("expires", "")  # CloudFront, OSS v1, S3 v2: seconds since the epoch
    if end.isdecimal() and peer_now_s is not None:
        return max(0.0, float(end) - peer_now_s)
    return None


def _since_signing(life: float, signed_at: str, peer_now_s: float | None) -> float:
    try:
        signed = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return life
    return life if peer_now_s is None else max(0.0, min(life, signed + life - peer_now_s))


class ResolvedUrls:
    """Final URLs by source URL; ``now`` is seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._urls: OrderedDict[str, tuple[URL, float]] = OrderedDict()

    def get(self, source_url: str, now: float) -> URL | None:
        """The URL to ask instead, if one is known and young enough."""
        url, until = self._urls.get(source_url, (None, 0.0))
        if url is not None and now >= until:
            self.forget(source_url)
            return None
        return url

    def put(self, source_url: str, url: URL, life: float | None, now: float) -> None:
        """Remember ``url`` for 80 % of ``life`` seconds, or until it is refused if that is unknown."""
        self._urls[source_url] = (url, float("inf") if life is None else now + life * _USED_SHARE)
        self._urls.move_to_end(source_url)
        if len(self._urls) > _MAX_URLS:
            self._urls.popitem(last=False)

    def forget(self, source_url: str) -> None:
        """Resolve anew next time."""
        self._urls.pop(source_url, None)
